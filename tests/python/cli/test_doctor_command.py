"""`memattn doctor`: exit codes, output, and repaired files."""

import json
import re
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import CrossAttention, MemoryAugmentedAttention
from memattn.inspection import diagnose

from .conftest import parts_of

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def healthy(tmp_path: Path) -> MemoryAugmentedAttention:
    """A healthy layer, saved as healthy.safetensors in the folder of the command."""
    layer = MemoryAugmentedAttention(8, 5, 2, seed=0)
    layer.save(tmp_path / "healthy.safetensors")
    return layer


@pytest.fixture
def ill(tmp_path: Path) -> MemoryAugmentedAttention:
    """A layer with the zero memory of the published one, saved as ill.safetensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        layer = MemoryAugmentedAttention(8, 5, 2, memory_initializer="zeros", seed=0)
    layer.save(tmp_path / "ill.safetensors")
    return layer


def document(call: Run, code: int, *arguments: str) -> dict[str, Any]:
    done = call("doctor", *arguments, "--json")
    assert (done.returncode, done.stderr) == (code, "")
    return parts_of(done.stdout, "doctor")


def test_a_healthy_layer_exits_with_0(call: Run, healthy: MemoryAugmentedAttention) -> None:
    done = call("doctor", "healthy.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "healthy.safetensors: healthy, checked with 4,096 standard normal tokens (seed 0)\n"
    )
    assert document(call, 0, "healthy.safetensors") == {
        "file": "healthy.safetensors",
        "layer": "",
        "healthy": True,
        "tokens": {
            "source": "4,096 standard normal tokens (seed 0)",
            "count": 4096,
            "reference": True,
        },
        "findings": [],
        "not_judged": {},
        "repair": None,
    }


def test_a_faulty_layer_exits_with_3_and_lists_its_findings(
    call: Run, ill: MemoryAugmentedAttention
) -> None:
    done = call("doctor", "ill.safetensors")
    assert (done.returncode, done.stderr) == (3, "")
    for said in (
        "ill.safetensors: faulty",
        "error: identical-slots: all 5 slots are equal to the last bit, and zero",
        "What to do: Break the symmetry: memattn doctor FILE --repair OUT",
        "error: uniform-attention",
    ):
        assert said in done.stdout
    found = document(call, 3, "ill.safetensors")
    assert found["healthy"] is False
    assert found["repair"] is None
    for finding in found["findings"]:
        assert set(finding) == {"name", "severity", "found", "meaning", "advice", "evidence"}
    assert [finding["name"] for finding in found["findings"]] == [
        "identical-slots",
        "uniform-attention",
        "untrained",
    ]
    assert found["findings"][0]["evidence"] == {
        "slots": 5,
        "of": 5,
        "groups": [[0, 1, 2, 3, 4]],
        "largest_difference": 0,
    }


def test_tokens_of_data_may_reveal_faults(
    call: Run, healthy: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1000, 8)))
    done = call("doctor", "healthy.safetensors", "--data", "x.npy")
    assert done.returncode == 3
    assert "faulty, checked with 1,000 tokens of x.npy" in done.stdout
    np.save(tmp_path / "x.npy", np.ones((10, 8)))
    done = call("doctor", "healthy.safetensors", "--data", "x.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not checked: dead-slots: 10 tokens are too few" in done.stdout


def test_repair_separates_slots_within_the_stated_bound(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    before = (tmp_path / "ill.safetensors").read_bytes()
    done = call("doctor", "ill.safetensors", "--repair", "out.safetensors", "--seed", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Repaired 5 slots with a jitter of" in done.stdout
    assert done.stdout.endswith("wrote out.safetensors\n")
    assert (tmp_path / "ill.safetensors").read_bytes() == before
    repaired = MemoryAugmentedAttention.load(tmp_path / "out.safetensors")
    assert diagnose(repaired).findings == []
    assert call("doctor", "out.safetensors").returncode == 0
    # The change is as stated, and at most a thousandth.
    arguments = ("ill.safetensors", "--repair", "again.safetensors", "--seed", "3")
    found = document(call, 0, *arguments)["repair"]
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "out.safetensors").read_bytes()
    assert set(found) == {
        *("file", "slots", "seed", "jitter", "allowed_change", "bound", "measured_change"),
        *("token_norm", "output_norm", "healthy", "findings"),
    }
    assert (found["file"], found["seed"], found["healthy"]) == ("again.safetensors", 3, True)
    x = np.random.default_rng(0).standard_normal((1, 1000, 8))
    x = x[:, np.linalg.norm(x[0], axis=1) <= found["token_norm"]]
    change = np.linalg.norm(repaired(x) - ill(x), axis=-1).max()
    assert change <= found["bound"] * found["output_norm"]
    assert found["measured_change"] <= found["bound"] <= found["allowed_change"] == 1e-3
    jitter = re.search(r"a jitter of ([\d.]+)", done.stdout)
    assert float(jitter[1]) == pytest.approx(found["jitter"], rel=0.05)
    other = call("doctor", "ill.safetensors", "--repair", "other.safetensors", "--seed", "4")
    assert other.returncode == 0
    assert (tmp_path / "other.safetensors").read_bytes() != again


def test_repair_with_data_uses_their_largest_token_norm(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    x = 5 * np.random.default_rng(0).standard_normal((300, 8))
    np.save(tmp_path / "x.npy", x)
    arguments = ("--repair", "out.safetensors", "--data", "x.npy")
    found = document(call, 0, "ill.safetensors", *arguments)["repair"]
    assert found["token_norm"] == pytest.approx(np.linalg.norm(x, axis=1).max(), rel=1e-6)


def test_repair_reports_the_faults_that_remain(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    kernel = ill.weights["query.kernel"].copy()
    kernel[:, 1] = 0
    ill.set_weights({"query.kernel": kernel})
    ill.save(tmp_path / "ill.safetensors")
    done = call("doctor", "ill.safetensors", "--repair", "out.safetensors")
    assert (done.returncode, done.stderr) == (3, "")
    assert "still warning: uniform-heads: 1 of 2 heads (1)" in done.stdout
    found = document(call, 3, "ill.safetensors", "--repair", "out.safetensors")
    assert found["repair"]["healthy"] is False
    assert [finding["name"] for finding in found["repair"]["findings"]] == ["uniform-heads"]


def test_repair_never_overwrites_an_input(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    before = (tmp_path / "ill.safetensors").read_bytes()
    (tmp_path / "link.safetensors").symlink_to("ill.safetensors")
    for output in ("ill.safetensors", "./ill.safetensors", "link.safetensors"):
        done = call("doctor", "ill.safetensors", "--repair", output)
        assert (done.returncode, done.stdout) == (2, "")
        assert "is also the input; choose another file" in done.stderr
    np.save(tmp_path / "x.npy", np.ones((300, 8)))
    done = call("doctor", "ill.safetensors", "--repair", "x.npy", "--data", "x.npy")
    assert "is also the input; choose another file" in done.stderr
    assert (tmp_path / "ill.safetensors").read_bytes() == before


def test_repair_refuses_healthy_and_nan_layers(
    call: Run, healthy: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    spoiled = MemoryAugmentedAttention(8, 5, 2, seed=0)
    spoiled.set_weights({"memory": np.full((5, 8), np.nan)})
    spoiled.save(tmp_path / "nan.safetensors")
    (tmp_path / "out.safetensors").write_text("old")
    for name, kind, said in [
        ("healthy", "nothing-to-repair", "no slots are identical, so there is nothing to repair"),
        ("nan", "cannot-repair", "NaN or infinity in the weights: 40 in memory"),
    ]:
        arguments = (f"{name}.safetensors", "--repair", "out.safetensors")
        done = call("doctor", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.startswith(f"memattn: {name}.safetensors: ")
        error = json.loads(call("doctor", *arguments, "--json").stderr)["error"]
        assert error["kind"] == kind
    assert (tmp_path / "out.safetensors").read_text() == "old"
    assert call("doctor", "nan.safetensors").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repair", "no/out.safetensors"], "there is no folder"),
        (["--repair", "."], "it is a folder"),
        (["--seed", "-1"], "found -1, expected a whole number"),
        (["--data", "no.npy"], "no such file"),
    ],
)
def test_bad_options_are_errors(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = call("doctor", "ill.safetensors", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ill.safetensors"]


def test_the_process_exits_with_the_documented_codes(
    run: Run, healthy: MemoryAugmentedAttention, ill: MemoryAugmentedAttention
) -> None:
    for name, code in (("healthy", 0), ("ill", 3), ("no", 2)):
        assert run("doctor", f"{name}.safetensors").returncode == code


KERAS = Path(__file__).resolve().parents[2] / "golden" / "keras"


@pytest.mark.parametrize("name", ["keras2.keras", "keras2.weights.h5", "keras2_legacy.h5"])
def test_keras_models_are_diagnosed(call: Run, name: str) -> None:
    found = document(call, 0, KERAS / name)
    assert (found["layer"], found["findings"]) == ("memory_augmented_attention", [])
    done = call("doctor", KERAS / name)
    assert done.stdout.startswith(f"{name}, memory_augmented_attention: healthy")


def test_data_and_repair_need_a_single_layer(call: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1000, 10)))
    for option in ("--data", "x.npy"), ("--repair", "a.npz"):
        done = call("doctor", KERAS / "keras3.keras", *option)
        assert (done.returncode, done.stdout) == (2, "")
        assert '"first"' in done.stderr
        assert '"second"' in done.stderr
    for layer in ("first", "second"):
        found = document(call, 0, KERAS / "keras3.keras", "--layer", layer)
        assert (found["layer"], found["findings"]) == (layer, [])


def test_every_layer_of_a_model_is_diagnosed(call: Run, tmp_path: Path) -> None:
    done = call("doctor", KERAS / "keras3.keras")
    assert (done.returncode, done.stderr) == (0, "")
    for layer in ("first", "second"):
        said = f"keras3.keras, {layer} (MemoryAugmentedAttention): healthy, checked with 4,096"
        assert said in done.stdout
    found = document(call, 0, KERAS / "keras3.keras")
    assert found["healthy"] is True
    assert [layer["layer"] for layer in found["layers"]] == ["first", "second"]


def test_an_untrained_memory_layer_in_a_trained_model_is_noted(call: Run, tmp_path: Path) -> None:
    """As in SuperXTFT, every layer but the memory layer has been trained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        memory = MemoryAugmentedAttention(8, 5, 2, memory_initializer="zeros", seed=0)
    cross = CrossAttention(8, 2, seed=0)
    cross.set_weights({"output.bias": np.full(8, 0.1)})
    layers = {"memory": memory, "cross": cross}
    np.savez(
        tmp_path / "model.npz",
        **{
            f"{name}.{part}": w
            for name, layer in layers.items()
            for part, w in layer.weights.items()
        },
    )
    done = call("doctor", "model.npz")
    assert (done.returncode, done.stderr) == (3, "")
    assert "model.npz, memory (MemoryAugmentedAttention): faulty" in done.stdout
    assert "model.npz, cross (CrossAttention): healthy" in done.stdout
    assert done.stdout.count("note: untrained: the memory and every bias are exactly 0") == 1
    assert "fusionlab's SuperXTFT computes its memory layer" in done.stdout
    found = document(call, 3, "model.npz")
    assert [(one["layer"], one["class"], one["healthy"]) for one in found["layers"]] == [
        ("memory", "MemoryAugmentedAttention", False),
        ("cross", "CrossAttention", True),
    ]


def test_repair_writes_keras_weights(
    call: Run, ill: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    done = call("doctor", "ill.safetensors", "--repair", "out.weights.h5")
    assert (done.returncode, done.stderr) == (0, "")
    assert call("doctor", "out.weights.h5").returncode == 0
    done = call("doctor", "ill.safetensors", "--repair", "out.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "the name must end in one of" in done.stderr
