"""Files of other kinds are named in errors, gzip is read, and no archive can fill the memory."""

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow.feather as feather
import pytest

from memattn import FormatError, MemoryAugmentedAttention
from memattn.convert import find
from memattn.csv_reader import read_csv
from memattn.errors import DataError
from memattn.file_kinds import HEAD, kind_of
from memattn.forecast import Forecaster
from memattn.forecast.data import panel_files
from memattn.forecast.data.arrow_columns import ArrowColumns
from memattn.forecast.data.panel import panel_from_file

TABLE = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=9), "y": np.arange(9.0) ** 2})
TEXT = TABLE.to_csv(index=False).encode()


def bytes_of(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zipped(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")


LENGTH = b"\x40\0\0\0\0\0\0\0"
KINDS = {
    "a zip archive, such as .xlsx": bytes_of(zipped),
    "Parquet": bytes_of(TABLE.to_parquet),
    "Feather (Arrow)": bytes_of(lambda file: feather.write_feather(TABLE, file)),
    "HTML or XML": b"\xef\xbb\xbf\n<!DOCTYPE html><html></html>",
    "JSON": b'[{"ds": 1, "y": 2}]',
    "a Python pickle": pickle.dumps(TABLE),
    "PDF": b"%PDF-1.7\n",
    "a compressed archive": b"BZh91AY",
    "an old Office file, such as .xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "a NumPy array": bytes_of(lambda file: np.save(file, np.zeros(3))),
    "a saved Forecaster": b"\x40\0\0\0\0\0\0\0"
    + b'{"__metadata__": {"format": "memattn.Forecaster"}}',
    "a safetensors file": b"\x40\0\0\0\0\0\0\0" + b'{"w": {"dtype": "F32"}}',
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    assert kind_of(KINDS[kind][:HEAD]) == kind
    path = tmp_path / "table.csv"
    path.write_bytes(KINDS[kind])
    with pytest.raises(DataError, match=r"looks like .*, expected CSV; ") as caught:
        panel_from_file(path)
    assert f"looks like {kind}, expected CSV; " in caught.value.problem
    assert (caught.value.kind, caught.value.file) == ("another-kind", path)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_safetensors_is_recognised_if_its_length_looks_like_a_pickle(length: int) -> None:
    data = length.to_bytes(8, "little") + b'{"w": {"dtype": "F32"'
    assert kind_of(data) == "a safetensors file"


def test_text_is_recognised() -> None:
    for data in (TEXT, "é".encode() * HEAD, b"[a],b\n", b"{a};b\n", b"<5,6\n", b"PKA,B\n"):
        assert kind_of(data[:HEAD]) == "text"
    assert kind_of(b"") == "an empty file"
    assert kind_of(b"a\0b") == kind_of(b"\xfe\xfa") == "no kind that is known here"


@pytest.mark.parametrize("parts", [1, 2])
def test_gzip_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    path = tmp_path / "table.csv.gz"
    half = len(TEXT) // parts
    path.write_bytes(b"".join(gzip.compress(TEXT[k : k + half]) for k in range(0, len(TEXT), half)))
    assert panel_from_file(path).values.tolist() == TABLE["y"].tolist()
    monkeypatch.setattr(panel_files, "ARROW_BYTES", 0)
    monkeypatch.setattr("memattn.forecast.data.arrow_columns.BYTES_A_COLUMN", 0)
    assert isinstance(panel_files.read_columns(path), ArrowColumns)
    assert panel_from_file(path).values.tolist() == TABLE["y"].tolist()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-9], "is a gzip file that is cut off; copy it again"),
        (lambda data: data[:5], "a gzip file that is cut off"),
        (
            lambda data: data[:20] + b"\xff" * 20 + data[40:],
            "a damaged gzip file .*; copy it again",
        ),
        (lambda data: data[:-8] + bytes(8), "a damaged gzip file"),
        (lambda _: gzip.compress(bytes(65 << 20)), "found far more text than"),
        (lambda _: gzip.compress(b"%PDF-1.7"), "gzip of PDF, .*; unpack it and save its table"),
        (lambda _: gzip.compress(KINDS["Parquet"]), "gzip of Parquet, .*; unpack it and give it"),
        (lambda data: gzip.compress(data), "gzip of a gzip archive, expected CSV; unpack it twice"),
    ],
)
def test_bad_gzip_files_are_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(damage(gzip.compress(TEXT)))
    with pytest.raises(DataError, match=said) as caught:
        read_csv(path)
    assert caught.value.file == path


@pytest.mark.parametrize("kind", [*KINDS, "text"])
@pytest.mark.parametrize("what", [Forecaster, MemoryAugmentedAttention])
def test_loading_another_kind_of_file_is_refused(tmp_path: Path, kind: str, what: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(KINDS.get(kind, TEXT))
    if kind in ("a safetensors file", f"a saved {what.__name__}"):
        with pytest.raises(FormatError, match="found"):
            what.load(path)
        return
    noun = "layer" if what is MemoryAugmentedAttention else "Forecaster"
    with pytest.raises(FormatError) as caught:
        what.load(path)
    assert str(caught.value) == f"{path}: found {kind}, expected a saved {noun}"


def test_a_saved_forecaster_is_not_read_as_layer_or_csv(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    Forecaster(2, steps=1, intervals=False).fit(TABLE).save(path)
    assert kind_of(path.read_bytes()[:HEAD]) == "a saved Forecaster"
    for read in (MemoryAugmentedAttention.load, find):
        with pytest.raises(FormatError, match=r"a saved [Ff]orecaster"):
            read(path)
    with pytest.raises(DataError, match="looks like a saved Forecaster, expected CSV"):
        Forecaster(2).fit(path.rename(tmp_path / "m.csv"))


def test_text_named_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(TEXT)
    with pytest.raises(DataError, match=r"cannot be read as Parquet .it looks like text"):
        panel_from_file(path)


def test_folders_of_parquet_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "sales.parquet"
    for shop, rows in (("a b", TABLE[:4]), ("c", TABLE)):
        (folder / f"shop={quote(shop)}").mkdir(parents=True)
        rows.to_parquet(folder / f"shop={quote(shop)}" / "part-0.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet").write_bytes(b"a checksum")
    with pytest.raises(DataError, match='pass id_col= with "shop"'):
        panel_from_file(folder)
    panel = panel_from_file(folder, id_col="shop")
    assert panel.ids.tolist() == ["a b", "c"]
    assert panel.lengths.tolist() == [4, 9]
    broken = folder / "part-1.parquet"
    broken.write_bytes(TEXT)
    with pytest.raises(DataError, match="it looks like text") as caught:
        panel_from_file(folder)
    assert caught.value.file == broken
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the folder has no CSV or Parquet files"):
        panel_from_file(tmp_path / "empty")


def test_parts_of_a_folder_must_have_the_same_types(tmp_path: Path) -> None:
    folder = tmp_path / "sales"
    folder.mkdir()
    TABLE.assign(unique_id="01").to_parquet(folder / "a.parquet")
    part = folder / "b.parquet"
    whole = TABLE.assign(unique_id="02", y=range(9))
    whole.astype({"ds": "datetime64[s]"}).to_parquet(part)
    panel = panel_from_file(folder)
    assert panel.ids.tolist() == ["01", "02"]
    assert panel.values.tolist() == [*TABLE["y"], *range(9)]
    for other, said in (
        ({"unique_id": 2}, 'column "unique_id": found the type int64, expected string as in the'),
        ({"y": [[1]] * 9}, 'column "y": found the type list<item: null>, expected double as in'),
        ({"ds": "x"}, r'column "ds": found the type string, expected timestamp\[..\] as in the'),
    ):
        whole.assign(**other).to_parquet(part)
        with pytest.raises(DataError, match=said) as caught:
            panel_from_file(folder)
        assert (caught.value.kind, caught.value.file) == ("mixed-types", part)


@pytest.mark.parametrize("size", [0, 3, 500])
def test_a_truncated_part_of_a_folder_is_named(tmp_path: Path, size: int) -> None:
    for name, data in (("a", KINDS["Parquet"]), ("b", KINDS["Parquet"][:size])):
        (tmp_path / f"{name}.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"cannot be read as Parquet .*; write the file again") as e:
        panel_from_file(tmp_path)
    assert (e.value.kind, e.value.file) == ("unreadable", tmp_path / "b.parquet")


def test_a_column_with_the_name_of_a_folder_key_is_refused(tmp_path: Path) -> None:
    part = tmp_path / "shop=1" / "a.parquet"
    part.parent.mkdir()
    TABLE.assign(shop="1").to_parquet(part)
    with pytest.raises(DataError, match='"shop": this column is in the file and in the') as e:
        panel_from_file(tmp_path)
    assert (e.value.kind, e.value.file) == ("duplicate-column", part)
