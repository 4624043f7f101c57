"""Runs the code of the child processes in this process, for debuggers and coverage."""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from memattn.convert import hdf5_child, hdf5_file
from memattn.convert.source import open_source
from memattn.forecast.data import parquet_child

from .support import GOLDEN, KERAS_FILES

h5py = pytest.importorskip("h5py")


def listed(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict:
    """Returns the output of `hdf5_child.main`; no limits are set, since this process keeps them."""
    monkeypatch.setattr(resource, "setrlimit", lambda *arguments: None)
    monkeypatch.setattr(sys, "argv", ["hdf5_child", "", str(os.open(path, os.O_RDONLY))])
    hdf5_child.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name", [name for name in KERAS_FILES if name.endswith(".h5")])
def test_hdf5_listing_is_the_same_in_a_child_process(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = listed(GOLDEN / name, monkeypatch, capsys)
    with open_source(GOLDEN / name) as source:
        assert answer == hdf5_file._ask_child(source)


def test_hdf5_listing_refuses_unsafe_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.h5"
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (2,))
    refusals = {
        "a soft link": lambda file: file.update(a=h5py.SoftLink("/b")),
        "an external link": lambda file: file.update(a=h5py.ExternalLink("other.h5", "/")),
        "values in another file": lambda file: file.create_dataset(
            "a", (2,), "f4", external=[(str(tmp_path / "x"), 0, 8)]
        ),
        "a virtual dataset": lambda file: file.create_virtual_dataset("a", layout),
        "values of varying length": lambda file: file.create_dataset(
            "a", (2,), h5py.string_dtype()
        ),
        "groups nested too deep": lambda file: file.create_group("/".join("g" * 40)),
        "an attribute that is not text": lambda file: file.attrs.update(model_config=[1, 2]),
        "more than 1 objects": lambda file: file.create_group("a"),
    }
    for said, make in refusals.items():
        with h5py.File(path, "w") as file:
            make(file)
        if said.startswith("more than"):
            monkeypatch.setattr(hdf5_child, "MAX_OBJECTS", 1)
        assert listed(path, monkeypatch, capsys)["found"].startswith(said)
    with h5py.File(path, "w", userblock_size=512):
        pass
    assert "before the HDF5 data" in listed(path, monkeypatch, capsys)["found"]
    path.write_bytes(b"no HDF5")
    assert listed(path, monkeypatch, capsys)["found"].startswith("damaged HDF5 (")


def test_hdf5_listing_has_text_attributes_and_each_group_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.bytes_("{}")
        file.attrs["memattn_config"] = 3
        file["again"] = file.create_group("vars")
        file["vars"].attrs["name"] = "dense"
        file.create_dataset("pieces", (4,), "f4", chunks=(2,))
        file.create_dataset("nothing", dtype="f4", data=h5py.Empty("f4"))
        file["type"] = np.dtype("f4")
    objects = {"/".join(one["path"]): one for one in listed(path, monkeypatch, capsys)["objects"]}
    assert objects[""]["attributes"] == {"model_config": "{}"}
    assert objects["pieces"]["dtype"] == objects["nothing"]["dtype"] == hdf5_file.NOT_CONTIGUOUS
    assert sorted(objects) in (
        ["", "again", "nothing", "pieces"],
        ["", "nothing", "pieces", "vars"],
    )


@pytest.mark.parametrize(
    ("allowed", "content", "expected"),
    [
        (100, None, {"rows": 3, "columns": ["a"]}),
        (2, None, {"rows": 3, "columns": ["a"]}),
        (100, b"PAR1", "error"),
    ],
)
def test_parquet_child_reports_rows_and_columns_or_an_error(
    allowed: int,
    content: bytes | None,
    expected: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "table.parquet"
    pl.DataFrame({"a": [1, 2, 3], "b": [[1], [2], [3]]}).write_parquet(path)
    if content is not None:
        path.write_bytes(content)
    search_path = sys.path.copy()
    monkeypatch.setattr(sys, "path", search_path)
    monkeypatch.setattr(sys, "argv", ["parquet_child", str(path), str(allowed), *search_path])
    parquet_child.main()
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["error"] if expected == "error" else answer == expected
