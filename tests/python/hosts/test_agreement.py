"""From one weight file, all frameworks give the same outputs, scores and gradients.

PyTorch agrees with NumPy to the last bit. The tests run in .venv and call answers.py in the
environment of each framework (scripts/lib/hosts.sh).
"""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import CrossAttention, HierarchicalAttention, MemoryAugmentedAttention

ROOT = Path(__file__).resolve().parents[3]
# (environment, framework)
HOSTS = {
    "torch": ("torch", "torch"),
    "jax": ("jax", "jax"),
    "keras2": ("keras2", "keras"),
    "keras3": ("keras3", "keras"),
    "keras3-torch": ("torch", "keras"),
    "keras3-jax": ("jax", "keras"),
}
# The backend of Keras in each environment.
BACKENDS = {"torch": "torch", "jax": "jax", "keras2": "tensorflow", "keras3": "tensorflow"}
RNG = np.random.default_rng(7)
MASKS = {
    "attention_mask": RNG.random((4, 10, 20)) < 0.7,
    "query_mask": RNG.random((4, 10)) < 0.8,  # tokens that read nothing
    "value_mask": RNG.random((4, 20)) < 0.8,
    "use_causal_mask": True,
}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "published": ({"units": 64, "memory_size": 20, "num_heads": 4}, {}),
    "masks": ({"units": 32, "memory_size": 20, "num_heads": 2}, MASKS),
    "uniform": (
        {"units": 8, "memory_size": 20, "num_heads": 3, "fully_masked": "uniform"},
        {"query_mask": MASKS["query_mask"]},
    ),
    "projected": (
        {"units": 16, "memory_size": 20, "num_heads": 2, "key_dim": 3, "value_dim": 2},
        {"use_causal_mask": True},
    ),
    "bare": (
        {"units": 6, "memory_size": 5, "num_heads": 2, "use_bias": False, "residual": False},
        {},
    ),
}


# Cases of the layers of two inputs, with the (steps, width) of each input.
CROSS_MASKS = {**MASKS, "attention_mask": RNG.random((10, 20)) < 0.7}
SIDE_MASKS = {
    "short_mask": RNG.random((4, 10)) < 0.8,
    "long_mask": RNG.random((4, 10)) < 0.8,
    "attention_mask": RNG.random((4, 10, 10)) < 0.7,
    "use_causal_mask": True,
}
UNEVEN = {"source1_units": 4, "source2_units": 24}
PAIR_CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], dict[str, tuple[int, int]]]] = {
    "cross": (
        *(CrossAttention, {"units": 32, "num_heads": 4}, {}),
        {"x1": (10, 32), "x2": (10, 32)},
    ),
    "cross_masks": (
        *(CrossAttention, {"units": 16, "num_heads": 2, **UNEVEN}, CROSS_MASKS),
        {"x1": (10, 4), "x2": (20, 24)},
    ),
    "hierarchical": (
        *(HierarchicalAttention, {"units": 16, "num_heads": 2, "short_units": 4}, {}),
        {"short": (10, 4), "long": (10, 16)},
    ),
    "hierarchical_masks": (
        *(HierarchicalAttention, {"units": 12, "num_heads": 3, "key_dim": 5}, SIDE_MASKS),
        {"short": (10, 12), "long": (10, 12)},
    ),
    "hierarchical_uniform": (
        HierarchicalAttention,
        {"units": 8, "num_heads": 2, "fully_masked": "uniform", "use_bias": False},
        {"short_mask": SIDE_MASKS["short_mask"]},
        {"short": (10, 8), "long": (10, 8)},
    ),
}


def ask(
    folder: Path, case: str, layer: Any, inputs: dict[str, tuple[int, int]], call: dict[str, Any]
) -> None:
    """Writes a case: the weight file, the call, and NumPy's results."""
    rng = np.random.default_rng(8)
    # Without zero biases, so that an error in any term shows.
    layer.set_weights({n: w + 0.1 * rng.standard_normal(w.shape) for n, w in layer.weights.items()})
    layer.save(folder / f"{case}.safetensors")
    drawn = {
        name: rng.standard_normal((4, *sizes), dtype=np.float32) for name, sizes in inputs.items()
    }
    pair = list(drawn.values())
    y, scores = layer(*pair, **call, return_attention_scores=True)
    grad_y = rng.standard_normal(y.shape, dtype=np.float32)
    order = list(layer.weights)
    np.savez(folder / f"{case}.npz", **drawn, grad_y=grad_y, order=order, **call)
    gradients = layer.backward(*pair, grad_y, **call)
    named = {f"grad {part}": value for part, value in gradients.items()}
    sides = scores if isinstance(scores, tuple) else (scores,)
    named |= {f"scores {place}": side for place, side in enumerate(sides)}
    np.savez(folder / f"{case}.numpy.npz", y=y, **named)


Answers = dict[str, tuple[Path, subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """For each environment a folder with all cases and its results, and how its process ended."""
    asked = tmp_path_factory.mktemp("asked") / "cases"
    asked.mkdir()
    for case, (config, call) in CASES.items():
        layer = MemoryAugmentedAttention(**config, seed=3)
        ask(asked, case, layer, {"x": (10, config["units"])}, call)
    for case, (kind, config, call, inputs) in PAIR_CASES.items():
        ask(asked, case, kind(**config, seed=3), inputs, call)
    # Importing a framework takes most of the time, on one core.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ended = pool.map(lambda environment: answer(environment, asked), BACKENDS)
        return dict(zip(BACKENDS, ended, strict=True))


def answer(environment: str, asked: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Runs all cases in the frameworks of an environment, in a copy of the folder."""
    frameworks = [framework for other, framework in HOSTS.values() if other == environment]
    folder = asked.with_name(environment)
    shutil.copytree(asked, folder)
    python = ROOT / ".venv-hosts" / environment / "bin" / "python"
    backend = {"KERAS_BACKEND": BACKENDS[environment], "TF_CPP_MIN_LOG_LEVEL": "2"}
    ended = subprocess.run(
        [python, ROOT / "tests/python/hosts/answers.py", folder, *frameworks],
        env={**os.environ, **backend},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return folder, ended


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("case", [*CASES, *PAIR_CASES])
def test_every_framework_agrees_with_numpy(answers: Answers, host: str, case: str) -> None:
    environment, framework = HOSTS[host]
    folder, ended = answers[environment]
    assert ended.returncode == 0, ended.stdout
    with np.load(folder / f"{case}.numpy.npz") as data:
        expected = dict(data)
    with np.load(folder / f"{case}.{framework}.npz") as data:
        found = dict(data)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype == np.float32
        if framework == "torch":
            np.testing.assert_array_equal(found[name], value, err_msg=name)
            continue
        assert found[name].shape == value.shape
        scale = max(np.abs(value).max(), name.endswith("key.bias"))
        assert np.abs(found[name] - value).max() <= 3e-6 * scale, name
