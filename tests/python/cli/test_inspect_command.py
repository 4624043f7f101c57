"""`memattn inspect`: its tables, its files, and its errors of one line."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention

from .conftest import parts_of

Run = Callable[..., subprocess.CompletedProcess[str]]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def layer(tmp_path: Path) -> MemoryAugmentedAttention:
    """A layer, saved as layer.safetensors in the folder of the command."""
    layer = MemoryAugmentedAttention(64, 20, 4, seed=0)
    layer.save(tmp_path / "layer.safetensors")
    return layer


def document(call: Run, *arguments: str | Path) -> dict[str, Any]:
    done = call("inspect", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return parts_of(done.stdout, "inspect")


def test_tables_show_sizes_costs_and_every_slot(
    call: Run, layer: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    done = call("inspect", "layer.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    for said in (
        "layer.safetensors: 20 slots of 64 units, 4 heads of 64, float32\n  67,648 parameters",
        "folded weights: A (64, 80), c (80), B (80, 64)",
        "10,240 folded, 43,008 projected (keys and values of the memory computed once), "
        "108,544 as in Keras",
        "10.6 times fewer operations",
        "Attention with 4,096 standard normal tokens (seed 0)",
        "Dead slots (read by no token): 0.",
    ):
        assert said in done.stdout
    assert not CONTROL.search(done.stdout)
    slots = re.findall(r"^ +(\d+) +[\d.]+ +([\d.]+) +\d \(", done.stdout, re.MULTILINE)
    assert sorted(int(slot) for slot, _ in slots) == list(range(20))
    shares = [float(share) for _, share in slots]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["layer.safetensors"]


def test_json_has_sizes_costs_heads_and_slots(call: Run, layer: MemoryAugmentedAttention) -> None:
    found = document(call, "layer.safetensors")
    assert set(found) == {
        *(
            "file",
            "layer",
            "config",
            "parameters",
            "cost",
            "tokens",
            "heads",
            "slots",
            "dead_slots",
        ),
        *("cosine", "output", "files"),
    }
    assert found["file"] == "layer.safetensors"
    assert found["config"] == layer.get_config()
    assert found["parameters"]["total"] == layer.count_params()
    assert found["parameters"]["shapes"]["output.kernel"] == [4, 64, 64]
    assert found["cost"] == {
        "steps": 10,
        "multiply_adds_a_token": {"as_written": 108544, "projected": 43008, "folded": 10240},
        "folded_shapes": {"a": [64, 80], "c": [80], "b": [80, 64]},
        "route": "folded",
        "path": "folded",
        "speed_up": 10.6,
    }
    assert found["tokens"] == {
        "source": "4,096 standard normal tokens (seed 0)",
        "count": 4096,
        "reference": True,
    }
    assert [head["head"] for head in found["heads"]] == [0, 1, 2, 3]
    for head in found["heads"]:
        assert set(head) == {
            *("head", "entropy", "effective_slots", "logit_spread", "saturated"),
            *("key_cosine", "value_cosine"),
        }
        assert head["effective_slots"] == pytest.approx(np.exp(head["entropy"]))
    for slot in found["slots"]:
        assert set(slot) == {
            *("slot", "norm", "nearest", "nearest_cosine", "usage", "usage_by_head"),
            "largest_score",
        }
        assert slot["usage"] == pytest.approx(np.mean(slot["usage_by_head"]))
        row = found["cosine"][slot["slot"]]
        assert slot["nearest_cosine"] == row[slot["nearest"]]
    norms = np.linalg.norm(layer.weights["memory"], axis=1)
    np.testing.assert_allclose([slot["norm"] for slot in found["slots"]], norms, rtol=1e-6)
    assert set(found["output"]) == {"finite", "norm", "added_constant", "added_variation"}
    assert found["files"] == {"picture": None}


def test_statistics_are_those_of_the_tokens_of_data(
    call: Run, layer: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    x = 30 * np.random.default_rng(0).standard_normal((9, 50, 64))
    np.save(tmp_path / "x.npy", x)
    found = document(call, "layer.safetensors", "--data", "x.npy")
    assert found["tokens"] == {"source": "450 tokens of x.npy", "count": 450, "reference": False}
    assert found["cost"]["steps"] == 50
    _, scores = layer(x, return_attention_scores=True)
    usage = scores.mean(axis=(0, 1, 2))
    np.testing.assert_allclose([slot["usage"] for slot in found["slots"]], usage, rtol=1e-4)


def test_tokens_may_come_from_a_csv_file(call: Run, tmp_path: Path) -> None:
    MemoryAugmentedAttention(2, 3, 1, seed=0).save(tmp_path / "a.safetensors")
    rows = "".join(f"2024-01-{day:02d},{day},{-day}\n" for day in range(1, 32))
    (tmp_path / "x.csv").write_text(f"time,a,b\n{rows}")
    found = document(call, "a.safetensors", "--data", "x.csv")
    assert found["tokens"]["source"] == "31 rows of x.csv"
    assert found["cost"]["steps"] == 31
    assert found["dead_slots"] is None  # 31 tokens are too few
    done = call("inspect", "a.safetensors", "--data", "x.csv")
    assert "unknown, there are too few tokens" in done.stdout


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_picture_is_written_as_svg_or_png(
    call: Run, layer: MemoryAugmentedAttention, tmp_path: Path, suffix: str
) -> None:
    name = f"a.{suffix}"
    if suffix == "svg":
        done = call("inspect", "layer.safetensors", "--picture", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(f"wrote {name}\n")
    else:
        found = document(call, "layer.safetensors", "--picture", name)
        assert found["files"] == {"picture": name}
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"<?xml" if suffix == "svg" else b"\x89PNG")


def test_tables_of_many_slots_and_heads_are_cut(call: Run, tmp_path: Path) -> None:
    MemoryAugmentedAttention(2, 300, 20, seed=0).save(tmp_path / "a.safetensors")
    done = call("inspect", "a.safetensors")
    assert "the 24 most used of 300 slots" in done.stdout
    assert "the first 16 of 20 heads" in done.stdout
    found = document(call, "a.safetensors")
    assert found["cosine"] is None
    assert len(found["slots"]) == 300
    assert all(0 <= slot["nearest"] < 300 for slot in found["slots"])


def test_a_layer_with_nan_is_shown_with_a_note(call: Run, tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(3, 4, 2, seed=0)
    layer.set_weights({"memory": np.full((4, 3), np.nan)})
    layer.save(tmp_path / "a.safetensors")
    done = call("inspect", "a.safetensors", "--picture", "a.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the output is not finite; run memattn doctor" in done.stdout
    found = document(call, "a.safetensors")
    assert found["slots"][0]["norm"] is None
    assert found["output"]["finite"] is False


def test_bad_arguments_are_errors_of_one_line(
    call: Run, layer: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    (tmp_path / "narrow.csv").write_text("a,b\n1,2\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    good = "layer.safetensors"
    for arguments, kind, said in [
        (["no.safetensors"], "not-found", "no such file"),
        (["."], "format", "found a folder"),
        (["bad.safetensors"], "format", "bad.safetensors: "),
        ([good, "--data", "x.npy"], "shape", "expected tokens of the layer's 64 units"),
        ([good, "--data", "no.csv"], "not-found", "no such file"),
        ([good, "--data", "narrow.csv"], "units", "expected 64, one for each unit"),
        ([good, "--data", good], "another-kind", "looks like a safetensors file"),
        ([good, "--picture", "a.pdf"], "option", "must end in .svg or .png"),
        ([good, "--picture", "no/a.svg"], "unwritable", "there is no folder"),
        ([], "usage", "Missing argument 'FILE'"),
    ]:
        done = call("inspect", *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.startswith("memattn: ")
        assert done.stderr.count("\n") == (2 if kind == "usage" else 1)
        as_json = call("inspect", *arguments, "--json")
        assert (as_json.returncode, as_json.stdout) == (2, "")
        assert json.loads(as_json.stderr)["error"]["kind"] == kind
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_control_characters_in_file_names_are_escaped(
    call: Run, layer: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    name = "[red]\x1b]0;title\x07.safetensors"
    (tmp_path / name).write_bytes((tmp_path / "layer.safetensors").read_bytes())
    done = call("inspect", name, "--picture", "\x1b.svg")
    assert done.returncode == 0
    assert not CONTROL.search(done.stdout)
    assert r"[red]\x1b]0;title\x07.safetensors: 20 slots" in done.stdout


def test_help_imports_no_heavy_package() -> None:
    import sys

    code = (
        "import sys; from memattn.cli.app import run; run(['inspect', '--help']);"
        "assert not {'pandas', 'matplotlib', 'rich', 'jinja2', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
