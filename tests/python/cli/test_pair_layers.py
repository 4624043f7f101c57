"""`memattn inspect` and `memattn doctor` on layers of two inputs."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn.inspection import inspect_layer

from ..pairs import CLASSES, both, inputs, small, with_biases
from .conftest import parts_of

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with both layers, healthy and faulty, and their inputs."""
    for kind in CLASSES:
        layer = with_biases(small(kind))
        layer.save(tmp_path / f"{kind}.safetensors")
        first, second = inputs(kind)
        np.save(tmp_path / f"{kind}-1.npy", first)
        np.save(tmp_path / f"{kind}-2.npy", second)
        prefix = "" if kind == "cross" else "short."
        layer.set_weights({f"{prefix}query.kernel": np.zeros((6, 2, 6))})
        layer.save(tmp_path / f"ill-{kind}.safetensors")
    return tmp_path


def data_of(kind: str) -> tuple[str, ...]:
    return ("--data", f"{kind}-1.npy", "--second", f"{kind}-2.npy")


@both
def test_inspect_shows_the_steps_that_each_step_attends_to(
    call: Run, files: Path, kind: str
) -> None:
    done = call("inspect", f"{kind}.safetensors", *data_of(kind))
    assert (done.returncode, done.stderr) == (0, "")
    reading = inspect_layer(with_biases(small(kind)), inputs(kind)).reading
    name = CLASSES[kind].__name__
    assert done.stdout.startswith(f"{kind}.safetensors: {name} of 6 units, 2 heads of 6, float32\n")
    for said in (
        "(width 5)",
        "(width 3)",
        "logits are scaled by 0.408",
        "Attention with 3 sequences of 7 and "
        f"{7 if kind == 'hierarchical' else 4} steps of {kind}-1",
        "head   steps read   logit spread   one step %   logits   rank   values   rank",
    ):
        assert said in done.stdout
    for one in reading.attentions:
        assert one.scores is not None
        most = int(one.scores[6].argmax())
        assert f"   6   step {most} ({100 * one.scores[6, most]:.3g} %)" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    reference = call("inspect", f"{kind}.safetensors").stdout
    assert "pass both inputs: --data and --second" in reference
    assert "attends most" not in reference


@both
def test_inspect_writes_json_and_a_picture(call: Run, files: Path, kind: str) -> None:
    words = (*data_of(kind), "--picture", "a.svg", "--json")
    done = call("inspect", f"{kind}.safetensors", *words)
    assert (done.returncode, done.stderr) == (0, "")
    found = parts_of(done.stdout, "inspect")
    assert found["class"] == CLASSES[kind].__name__
    assert found["source_units"] == [5, 3]
    assert found["files"] == {"picture": "a.svg"}
    reading = inspect_layer(with_biases(small(kind)), inputs(kind)).reading
    for one, told in zip(reading.attentions, found["attentions"], strict=True):
        np.testing.assert_allclose(told["scores"], one.scores, rtol=1e-6)
    assert len(found["heads"]) == 2 * len(reading.attentions)
    assert (files / "a.svg").read_bytes().startswith(b"<?xml")


@both
def test_doctor_finds_an_ignored_query(call: Run, files: Path, kind: str) -> None:
    done = call("doctor", f"{kind}.safetensors", *data_of(kind))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{kind}.safetensors: healthy, checked with 3 sequences" in done.stdout
    done = call("doctor", f"ill-{kind}.safetensors")
    assert done.returncode == 3
    side = "" if kind == "cross" else "short side: "
    assert f"error: query-ignored: {side}the scores do not depend on the query" in done.stdout
    done = call("doctor", f"ill-{kind}.safetensors", "--json")
    found: dict[str, Any] = parts_of(done.stdout, "doctor")
    assert [finding["name"] for finding in found["findings"]] == ["query-ignored"]
    assert found["tokens"]["count"] == 64


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cross.safetensors", "--data", "cross-1.npy"), "pass --second too: a CrossAtt"),
        (("cross.safetensors", "--second", "cross-2.npy"), "pass --data too: a CrossAtt"),
        (
            ("cross.safetensors", "--data", "cross-2.npy", "--second", "cross-2.npy"),
            "cross-2.npy: found an array of shape (3, 4, 3), expected tokens of the layer's 5",
        ),
        (
            ("hierarchical.safetensors", "--data", "cross-1.npy", "--second", "cross-2.npy"),
            "cross-2.npy: found (3, 4, 3), expected a second input (3, 7, 3) beside the first",
        ),
        (
            ("memory.safetensors", "--second", "cross-2.npy"),
            "--second cannot be used: a MemoryAugmentedAttention has one input",
        ),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "doctor"])
def test_inputs_that_do_not_fit_the_layer_are_errors(
    call: Run, files: Path, command: str, words: tuple[str, ...], said: str
) -> None:
    from memattn import MemoryAugmentedAttention

    MemoryAugmentedAttention(3, 4, 1, seed=0).save(files / "memory.safetensors")
    done = call(command, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    error = json.loads(call(command, *words, "--json").stderr)["error"]
    assert said.rpartition(".npy: ")[2] in error["message"]


def test_repair_is_refused(call: Run, files: Path) -> None:
    done = call("doctor", "ill-cross.safetensors", "--repair", "b.safetensors")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "--repair works on a MemoryAugmentedAttention only; this is a CrossAttention" in done.stderr
    )
    assert not (files / "b.safetensors").exists()


def test_inputs_are_not_overwritten(call: Run, files: Path) -> None:
    (files / "a.svg").symlink_to("cross-2.npy")
    done = call("inspect", "cross.safetensors", *data_of("cross"), "--picture", "a.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is also the input; choose another file" in done.stderr
