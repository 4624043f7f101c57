"""Reading HDF5 through a child process: accepted files, refused files, faults of the child."""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert import hdf5_file
from memattn.convert.source import open_source
from memattn.errors import DataError

LAYER = "layers/memory_augmented_attention"
KERNEL = f"{LAYER}/attention/value_dense/vars/0"

LISTING = (
    '{"objects": [{"path": [], "attributes": {}}, {"path": ["a"], "attributes": {}, '
    '"shape": [6, 2, 4], "dtype": "<f4", "offset": %s, "stored": %s}]}'
)


@pytest.fixture
def path(tmp_path: Path, layer: MemoryAugmentedAttention) -> Path:
    """The path of a valid file, for tests to damage."""
    path = tmp_path / "layer.weights.h5"
    convert.write(layer, path)
    return path


def replace_with(path: Path, make: Callable[[h5py.File], None], name: str = KERNEL) -> None:
    """Deletes a weight under both of its names, then calls `make` to write a replacement."""
    with h5py.File(path, "r+") as file:
        for part in (name, name.replace("/value_dense", "/_value_dense")):
            if part in file:
                del file[part]
        make(file)


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        convert.find(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_soft_link_is_refused(path: Path) -> None:
    replace_with(path, lambda file: file.update({KERNEL: h5py.SoftLink(f"/{LAYER}/vars/0")}))
    assert "value_dense/vars/0: found a soft link, which is never followed" in refusal(path)


def test_an_external_link_is_refused(path: Path, golden: Path) -> None:
    link = h5py.ExternalLink(str(golden / "keras2.weights.h5"), KERNEL)
    replace_with(path, lambda file: file.update({KERNEL: link}))
    assert "value_dense/vars/0: found an external link, which is never followed" in refusal(path)


def test_links_outside_of_the_layer_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["somewhere"] = h5py.SoftLink("/nowhere")
    assert "somewhere: found a soft link" in refusal(path)


def test_external_storage_is_refused(path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(6 * 2 * 4 * 4))
    external = [(str(secret), 0, 6 * 2 * 4 * 4)]
    replace_with(path, lambda file: file.create_dataset(KERNEL, (6, 2, 4), "f4", external=external))
    assert "value_dense/vars/0: found values in another file, expected" in refusal(path)


def test_a_virtual_dataset_is_refused(path: Path, golden: Path) -> None:
    layout = h5py.VirtualLayout((6, 2, 4), "f4")
    layout[:] = h5py.VirtualSource(str(golden / "keras2.weights.h5"), KERNEL, (6, 2, 4))
    replace_with(path, lambda file: file.create_virtual_dataset(KERNEL, layout))
    assert "value_dense/vars/0: found a virtual dataset, expected" in refusal(path)


@pytest.mark.parametrize(
    "dtype",
    [h5py.vlen_dtype(np.float32), h5py.string_dtype(), h5py.ref_dtype],
    ids=["ragged", "text", "references"],
)
def test_values_of_varying_length_and_references_are_refused(path: Path, dtype: np.dtype) -> None:
    replace_with(path, lambda file: file.create_dataset(KERNEL, (6, 2, 4), dtype))
    assert "found values of varying length or references, expected numbers" in refusal(path)


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (6, 2, 4)},
        {"chunks": (6, 2, 4), "compression": "gzip"},
        {"maxshape": (None,) * 3},
    ],
    ids=["chunked", "compressed", "resizable"],
)
def test_chunked_and_compressed_values_are_refused(path: Path, options: dict[str, object]) -> None:
    data = np.ones((6, 2, 4), np.float32)
    replace_with(path, lambda file: file.create_dataset(KERNEL, data=data, **options))
    assert "chunked or compressed values" in refusal(path)


def test_values_that_were_never_written_are_refused(path: Path) -> None:
    replace_with(path, lambda file: file.create_dataset(KERNEL, (1 << 20, 1 << 20, 4), "f4"))
    assert "found 0 bytes stored for shape (1048576, 1048576, 4) of float32" in refusal(path)


def test_values_beyond_the_end_of_the_file_are_refused(path: Path) -> None:
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        offset = file[KERNEL].id.get_offset()
    place = data.find(offset.to_bytes(8, "little") + (6 * 2 * 4 * 4).to_bytes(8, "little"))
    assert place > 0
    data[place : place + 8] = (len(data) - 8).to_bytes(8, "little")
    path.write_bytes(data)
    refusal(path)  # HDF5 2.0 refuses the file itself; with older versions memattn does


def test_a_cycle_of_groups_is_read(path: Path, layer: MemoryAugmentedAttention) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{LAYER}/again"] = file["layers"]  # a hard link
    assert convert.read(path).get_config() == layer.get_config()


def test_a_group_with_many_paths_is_read_once(path: Path, layer: MemoryAugmentedAttention) -> None:
    with h5py.File(path, "r+") as file:
        for level in range(30):  # 2^30 paths to the last one
            group = file.create_group(f"level{level + 1}")
            before = file[f"level{level}"] if level else file["layers"]
            group["left"] = group["right"] = before
    assert convert.read(path).get_config() == layer.get_config()


def test_deeply_nested_groups_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.create_group("/".join("g" * 40))
    assert "found groups nested too deep, expected at most 32" in refusal(path)


def test_a_user_block_is_refused(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512):
        pass
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(504) + path.read_bytes()[512:])
    refusal(path)


def test_complex_weights_are_refused(path: Path) -> None:
    data = np.ones((6, 2, 4), np.complex64)
    replace_with(path, lambda file: file.create_dataset(KERNEL, data=data))
    assert "quantised value projection (complex64" in refusal(path)


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2"])
def test_every_float_type_is_read(path: Path, layer: MemoryAugmentedAttention, dtype: str) -> None:
    data = layer.weights["value.kernel"].astype(dtype)
    replace_with(path, lambda file: file.create_dataset(KERNEL, data=data))
    read = convert.read(path)
    assert read.dtype == ("float64" if dtype.endswith("8") else "float32")
    np.testing.assert_array_equal(read.weights["value.kernel"], data.astype(read.dtype))


def test_bfloat16_is_read_as_float32(path: Path, layer: MemoryAugmentedAttention) -> None:
    # As Keras 3 stores it: two opaque bytes a value, and an attribute.
    wide = layer.weights["value.kernel"].view(np.uint32) & np.uint32(0xFFFF0000)
    halves = (wide >> np.uint32(16)).astype("<u2").view("V2")

    def make(file: h5py.File) -> None:
        file.create_dataset(KERNEL, data=halves).attrs["dtype"] = "bfloat16"

    replace_with(path, make)
    np.testing.assert_array_equal(convert.read(path).weights["value.kernel"], wide.view("f4"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.abort()", r"exit status -6"),  # not SIGSEGV: ASan turns it into status 1
        ("print('no JSON')", r"makes its library fail \(exit status 0\)"),
        ("print('[' * 100000)", r"makes its library fail \(exit status 0\)"),
        ("print('{\"objects\": 1}')", r"found None, expected None"),
        ("print('{\"objects\": [1]}')", r"lists an object with unexpected keys"),
        (f"print({LISTING!r} % (90000, 192))", r"values at 90000 to 90192, expected below"),
        (f"print({LISTING!r} % (-8, 192))", r"lists an offset that is not a whole number"),
        (f"print({LISTING!r} % (8, 191))", r"191 bytes stored for shape \(6, 2, 4\)"),
        (f"print({LISTING!r} % ('null', 0))", r"0 bytes stored for shape \(6, 2, 4\)"),
        ("while True: print('x' * 1000000)", r"makes its library fail"),
    ],
    ids=[
        *(
            "crash",
            "noise",
            "nesting",
            "another answer",
            "odd objects",
            "beyond the end",
            "before the start",
        ),
        *("another size", "nowhere", "too much"),
    ],
)
def test_a_failing_child_process_is_a_format_error(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    script = tmp_path / "child.py"
    script.write_text(code)
    monkeypatch.setattr(hdf5_file, "_CHILD_FILE", script)
    with pytest.raises(FormatError, match=said):
        convert.find(path)


ROOT = {"path": [], "attributes": {}}
VALUES = {"path": ["a"], "attributes": {}, "shape": [2], "dtype": "<f4", "offset": 8, "stored": 8}


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        ([], "does not begin with the root"),
        ([VALUES], "does not begin with the root"),
        ([ROOT, ROOT], "two objects with the same path"),
        ([ROOT, VALUES, VALUES], "two objects with the same path"),
        ([ROOT, {**VALUES, "path": []}], "values without a name"),
        ([ROOT, {**VALUES, "path": [""]}], "a path that is not a list of names"),
        ([ROOT, {**VALUES, "path": [1]}], "a path that is not a list of names"),
        ([ROOT, {**VALUES, "path": "a"}], "a path that is not a list of names"),
        ([ROOT, {**VALUES, "attributes": []}], "a: found .* an attribute that is not text"),
        ([ROOT, {**VALUES, "attributes": {"name": 1}}], "an attribute that is not text"),
        ([{**ROOT, "attributes": {"model_config": {}}}], "an attribute that is not text"),
        ([ROOT, {**VALUES, "shape": [-2]}], "a shape that is not a list of sizes"),
        ([ROOT, {**VALUES, "shape": [2.0]}], "a shape that is not a list of sizes"),
        ([ROOT, {**VALUES, "shape": {}}], "a shape that is not a list of sizes"),
        ([ROOT, {**VALUES, "dtype": ", <f8"}], "an unsupported type"),
        ([ROOT, {**VALUES, "dtype": "f4" * 1000}], "an unsupported type"),
        ([ROOT, {**VALUES, "dtype": None}], "an unsupported type"),
        ([ROOT, {**VALUES, "dtype": ["<f4"]}], "an unsupported type"),
        ([ROOT, {**VALUES, "dtype": "<Y9"}], "no layer of memattn among 1 arrays"),
        ([ROOT, {**VALUES, "offset": True}], "an offset that is not a whole number"),
        ([ROOT, {**VALUES, "offset": 8.0}], "an offset that is not a whole number"),
        ([ROOT, {**VALUES, "stored": "8"}], "an offset that is not a whole number"),
        ([ROOT, {**VALUES, "stored": 2**63}], "an offset that is not a whole number"),
        ([ROOT, {**VALUES, "more": 1}], "an object with unexpected keys"),
        ([ROOT, None], "an object with unexpected keys"),
    ],
)
def test_invalid_answers_of_the_child_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, objects: list[object], said: str
) -> None:
    monkeypatch.setattr(hdf5_file, "_ask_child", lambda source: {"objects": objects})
    with pytest.raises(FormatError, match=said):
        convert.find(path)


def test_randomly_damaged_answers_of_the_child_are_refused_or_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged answer raises FormatError, or is read if it describes a valid file."""
    rng = random.Random(0)
    odd = [None, [], {}, "", "a", ", <f8", "i4,,", -1, 2**70, 1.5, True, [[]], ["a", 1], {"a": []}]
    refused = 0

    def damaged(value: object, depth: int = 0) -> object:
        if rng.random() < 0.002 * depth:
            return rng.choice(odd)
        if isinstance(value, dict):
            return {name: damaged(part, depth + 1) for name, part in value.items()}
        if isinstance(value, list):
            return [damaged(part, depth + 1) for part in value]
        return value

    with open_source(path) as source:
        answer = hdf5_file._ask_child(source)
    for _ in range(300):
        monkeypatch.setattr(hdf5_file, "_ask_child", lambda source: damaged(answer))
        try:
            convert.read(path)
        except FormatError:
            refused += 1
        except DataError:  # a part of the layer got another name
            continue
    assert 100 < refused < 300


@pytest.mark.parametrize(
    ("body", "signal_number"),
    [("while True: pass", signal.SIGKILL), ("held = bytearray(8 << 30)", None)],
    ids=["time", "memory"],
)
def test_the_child_has_limits_of_time_and_memory(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    signal_number: int | None,
) -> None:
    source = Path(hdf5_file._CHILD_FILE).read_text()
    script = tmp_path / "child.py"
    source = source.replace("MAX_SECONDS = 30", "MAX_SECONDS = 1")
    script.write_text(
        source.replace('    objects = [{"path"', f'    {body}\n    objects = [{{"path"')
    )
    monkeypatch.setattr(hdf5_file, "_CHILD_FILE", script)
    said = refusal(path)
    if signal_number is None:
        assert "damaged HDF5 ()" in said  # a MemoryError has no message
    else:
        assert f"exit status -{signal_number.value}" in said or "exit status -24" in said


def test_a_child_that_cannot_start_is_an_os_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(OSError, match=r"the process that reads HDF5 did not start \(status 1\)"):
        convert.find(path)


def test_the_child_imports_nothing_from_the_current_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("h5py", "json", "resource", "numpy", "runpy", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.curdir)
    assert convert.find(path)[0].units == 6
