"""One weight file, every host: outputs, scores and gradients agree, PyTorch to the bit with NumPy.

Runs in .venv and calls answers.py in the environment of each host (scripts/lib/hosts.sh).
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention

ROOT = Path(__file__).resolve().parents[3]
# Environment, layer, and the backend of Keras.
HOSTS = [
    ("torch", "torch", "torch"),
    ("jax", "jax", "jax"),
    ("keras2", "keras", "tensorflow"),
    ("keras3", "keras", "tensorflow"),
    ("torch", "keras", "torch"),
    ("jax", "keras", "jax"),
]
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


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the weight files, the calls, and NumPy's answers."""
    folder = tmp_path_factory.mktemp("cases")
    rng = np.random.default_rng(8)
    for case, (config, call) in CASES.items():
        layer = MemoryAugmentedAttention(**config, seed=3)
        # No bias is zero, so that no term can hide.
        layer.set_weights(
            {n: w + 0.1 * rng.standard_normal(w.shape) for n, w in layer.weights.items()}
        )
        layer.save(folder / f"{case}.safetensors")
        x, grad_y = rng.standard_normal((2, 4, 10, config["units"]), dtype=np.float32)
        order = list(layer.weights)
        np.savez(folder / f"{case}.npz", x=x, grad_y=grad_y, order=order, **call)
        y, scores = layer(x, **call, return_attention_scores=True)
        gradients = layer.backward(x, grad_y, **call)
        named = {f"grad {part}": value for part, value in gradients.items()}
        np.savez(folder / f"{case}.numpy.npz", y=y, scores=scores, **named)
    return folder


@pytest.fixture(scope="module", params=HOSTS, ids="-".join)
def answered(request: pytest.FixtureRequest, asked: Path) -> tuple[str, Path]:
    """A host's name, and the folder, where its answers now are."""
    environment, host, backend = request.param
    for answer in asked.glob(f"*.{host}.npz"):
        answer.unlink()  # of this layer elsewhere
    python = ROOT / ".venv-hosts" / environment / "bin" / "python"
    result = subprocess.run(
        [python, ROOT / "tests/python/hosts/answers.py", host, asked],
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return host, asked


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_numpy(answered: tuple[str, Path], case: str) -> None:
    host, folder = answered
    with np.load(folder / f"{case}.numpy.npz") as data:
        expected = dict(data)
    with np.load(folder / f"{case}.{host}.npz") as data:
        found = dict(data)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype == np.float32
        if host == "torch":
            np.testing.assert_array_equal(found[name], value, err_msg=name)
            continue
        assert found[name].shape == value.shape
        scale = max(np.abs(value).max(), name == "grad key.bias")
        assert np.abs(found[name] - value).max() <= 3e-6 * scale, name
