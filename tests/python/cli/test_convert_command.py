"""`memattn convert`: its files, its output and its errors."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import memattn
from memattn import convert

Run = Callable[..., "subprocess.CompletedProcess[str]"]

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "keras"


@pytest.mark.parametrize("ending", ["safetensors", "weights.h5", "npz", "pt", "pth", "onnx"])
def test_converts_a_keras_file_to_each_format(call: Run, tmp_path: Path, ending: str) -> None:
    done = call("convert", GOLDEN / "keras2.keras", f"a.{ending}")
    assert (done.returncode, done.stderr) == (0, "")
    said = '"memory_augmented_attention": 6 slots of 12 units, 3 heads, float32'
    assert done.stdout == f"{said}\nwrote a.{ending}\n"
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]
    if ending != "onnx":
        expected = convert.read(GOLDEN / "keras2.keras")
        for name, weight in convert.read(tmp_path / f"a.{ending}").weights.items():
            np.testing.assert_array_equal(weight, expected.weights[name])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cross", '"cross_attention": CrossAttention of 6 units, inputs 5 and 3 wide'),
        (
            "hierarchical",
            '"hierarchical_attention": HierarchicalAttention of 6 units, inputs 5 and 3 wide',
        ),
    ],
)
def test_converts_layers_of_two_inputs(run: Run, tmp_path: Path, kind: str, said: str) -> None:
    source = GOLDEN.parent / "siblings" / f"keras2_{kind}_legacy.h5"
    done = run("convert", source, "a.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{said}, 2 heads, float32\nwrote a.safetensors\n"
    layer = memattn.load(tmp_path / "a.safetensors")
    for name, weight in convert.read(source).weights.items():
        np.testing.assert_array_equal(layer.weights[name], weight)
    done = run("convert", source, "a.npz", "--json")
    found = json.loads(done.stdout)["layer"]
    assert (found["source_units"], found["memory_size"]) == ([5, 3], None)
    assert found["layer"] in said


def test_layer_option_selects_a_layer_and_json_describes_it(call: Run, tmp_path: Path) -> None:
    done = call("convert", GOLDEN / "keras3.weights.h5", "a.npz", "--layer", "second", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["target"] == "a.npz"
    assert document["layer"]["name"] == "second"
    assert document["layer"]["memory_size"] == 12
    assert convert.find(tmp_path / "a.npz")[0].memory_size == 12


def failure(call: Run, *arguments: object) -> dict[str, object]:
    """Returns the error as JSON with its exit code; checks that text has the same message."""
    plain = call("convert", *arguments)
    assert (plain.stdout, plain.stderr.count("\n")) == ("", 1 + plain.stderr.count("try: "))
    assert "Traceback" not in plain.stderr
    done = call("convert", *arguments, "--json")
    assert (done.returncode, done.stdout) == (plain.returncode, "")
    error: dict[str, object] = json.loads(done.stderr)["error"]
    assert set(error) == {"kind", "message", "file", "line", "column"}
    assert str(error["message"]) in plain.stderr
    return {**error, "code": done.returncode}


def test_a_file_of_several_layers_needs_the_layer_option(call: Run, tmp_path: Path) -> None:
    error = failure(call, GOLDEN / "keras3.keras", "a.npz")
    assert (error["code"], error["kind"]) == (2, "layer")
    assert 'found 2 layers; pass --layer with one of "first"' in (str(error["message"]))
    error = failure(call, GOLDEN / "keras3.keras", "a.npz", "--layer", "third")
    assert 'found no layers named "third"' in str(error["message"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "target", "kind", "said"),
    [
        ("missing.h5", "a.npz", "not-found", "no such file"),
        (".", "a.npz", "format", "found a folder, expected a file of weights"),
        ("bad.h5", "a.npz", "format", "found an unknown kind of file"),
        ("good.npz", "a.txt", "target", "the name must end in one of"),
        ("good.npz", "good.npz", "option", "is also the input; choose another file"),
        ("good.npz", "link.npz", "option", "is also the input; choose another file"),
        ("good.npz", "no/a.npz", "unwritable", "there is no folder"),
        ("good.npz", "folder.npz", "unwritable", "it is a folder"),
    ],
)
def test_bad_paths_are_errors_and_change_no_file(
    call: Run, tmp_path: Path, source: str, target: str, kind: str, said: str
) -> None:
    convert.write(convert.read(GOLDEN / "keras2.keras"), tmp_path / "good.npz")
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    (tmp_path / "link.npz").symlink_to("good.npz")
    (tmp_path / "folder.npz").mkdir()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    error = failure(call, source, target)
    assert (error["code"], error["kind"]) == (2, kind)
    assert said in str(error["message"])
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_missing_arguments_are_usage_errors(call: Run) -> None:
    assert failure(call, "a.npz")["kind"] == "usage"
    assert failure(call)["code"] == 2


def test_a_full_disk_exits_with_1(tmp_path: Path) -> None:
    from memattn import MemoryAugmentedAttention

    MemoryAugmentedAttention(5, 3, 2).save(tmp_path / "a.safetensors")
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from memattn.cli.app import run\n"
        "sys.exit(run(['convert', 'a.safetensors', 'a.npz']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "memattn: cannot write a.npz: File too large\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_control_characters_in_layer_names_are_escaped(call: Run, tmp_path: Path) -> None:
    from memattn import MemoryAugmentedAttention

    layer = MemoryAugmentedAttention(2, 3, 1, seed=0)
    names = ("\x1b]0;title\x07a", "b")
    arrays = {f"{name}.{part}": w for name in names for part, w in layer.weights.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    done = call("convert", "a.npz", "b.npz")
    assert r'"\x1b]0;title\x07a" (3 slots of 2 units), "b"' in done.stderr
    done = call("convert", "a.npz", "b.npz", "--layer", names[0])
    assert done.stdout.startswith(r'"\x1b]0;title\x07a": 3 slots')


def test_help_shows_the_usage(run: Run) -> None:
    done = run("convert", "--help")
    assert done.returncode == 0
    assert "Usage: memattn convert [OPTIONS] SOURCE TARGET" in done.stdout


MISSING = ("jinja2", "matplotlib", "pandas", "polars", "pyarrow", "h5py", "onnx")


@pytest.mark.parametrize(
    ("words", "lacks", "said"),
    [
        (("convert", "a.npz", "b.pt"), "rich", None),
        (("--version",), "rich", None),
        (("--help",), "rich", None),
        (("inspect", "a.npz"), "", None),
        (("doctor", "a.npz"), "", None),
        (
            ("convert", "a.npz", "c.onnx"),
            "rich",
            "writing .onnx needs: pip install 'memattn[onnx]'",
        ),
        (("doctor", "a.keras"), "", "reading HDF5 files needs: pip install 'memattn[convert]'"),
        (("inspect", "a.npz"), "rich", "inspect needs: pip install 'memattn[convert]'"),
        (
            ("inspect", "a.npz", "--picture", "a.svg"),
            "",
            "--picture needs: pip install 'memattn[forecast]'",
        ),
        (("forecast", "a.csv"), "rich", "forecast needs: pip install 'memattn[forecast]'"),
        (
            ("forecast", "a.csv", "--report", "r.html"),
            "",
            "--report needs: pip install 'memattn[forecast]'",
        ),
    ],
)
def test_each_command_names_its_missing_extra(
    tmp_path: Path, words: tuple[str, ...], lacks: str, said: str | None
) -> None:
    missing = (*MISSING, lacks)
    code = (
        "import importlib.util as u, sys; find = u.find_spec;"
        f"u.find_spec = lambda name: None if name in {missing!r} else find(name);"
        f"sys.modules.update(dict.fromkeys({missing!r}));"
        "from memattn.cli import main; main()"
    )
    convert.write(convert.read(GOLDEN / "keras2.keras"), tmp_path / "a.npz")
    shutil.copy(GOLDEN / "keras2.keras", tmp_path / "a.keras")
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    words += ("--horizon", "1") if words[0] == "forecast" else ()
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = (0, "") if said is None else (2, f"memattn: {said}\n")
    assert (done.returncode, done.stderr) == expected
