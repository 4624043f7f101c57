"""PyArrow reads the columns of CSV files as our own reader does, or leaves the file to it."""

import itertools
import random
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn.csv_reader import Table, read_csv
from memattn.errors import DataError
from memattn.forecast.data import arrow_columns as module
from memattn.forecast.data import panel_files
from memattn.forecast.data.arrow_columns import ArrowColumns, arrow_columns
from memattn.forecast.data.columns import TableColumns, TextColumns
from memattn.forecast.data.frame_columns import frame_columns
from memattn.forecast.data.panel import panel_from_file

from ..panels import assert_same, random_table

CELLS = {
    "numbers": ["1", "-2.5", "+.5", "3.", "1e3", " 7 ", "1E-2", "-0", "1e-400", "0.1"],
    "missing": ["1", "", "NA", "nan", "2", "Null", "-", " ? "],
    "nearly": [
        "1",
        "2",
        "1,5",
        "+-3",
        "1e400",
        "inf",
        "0x10",
        "\uff11",
        "1_0",
        "nan(1)",
        "--1",
        ".",
    ],
    "dates": ["2024-01-01", "2024-01-02", " 2024-01-03", "2024-01-01"],
    "mixed": ["2024-01-01", "2024-01-02", "", "x", "5"],
    "names": ["a", "b", " a", "é", "a\u00a0", "\u2003c", "\x1fd", ""],
}


@pytest.fixture(autouse=True)
def small_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets PyArrow read tables as small as those here."""
    monkeypatch.setattr(module, "BYTES_A_COLUMN", 0)


def found(read: Callable[[], Any]) -> Any:
    """Returns what `read` returns, or its error."""
    try:
        return read()
    except DataError as error:
        return error.kind, error.problem, error.line, error.column


def assert_alike(ours: TextColumns, theirs: TextColumns) -> None:
    assert theirs.names == ours.names
    assert theirs.rows == ours.rows
    assert theirs.find_times(ours.names) == ours.find_times(ours.names)
    for name, kind in itertools.product(ours.names, ("ids", "times", "numbers")):
        assert theirs.is_numeric(name) == ours.is_numeric(name)
        a, b = (found(partial(getattr(columns, kind), name)) for columns in (ours, theirs))
        for field in ("codes", "values", "ticks", "zone", "style", "note"):
            one, other = getattr(a, field, None), getattr(b, field, None)
            np.testing.assert_array_equal(one, other, strict=True)
        if isinstance(a, np.ndarray | tuple):
            np.testing.assert_array_equal(a, b)
            if isinstance(a, np.ndarray):  # -0.0 as well
                np.testing.assert_array_equal(np.signbit(a), np.signbit(b))
    assert theirs.place(ours.rows - 1) == ours.place(ours.rows - 1)


@pytest.mark.parametrize("seed", range(60))
def test_random_tables_equal_those_of_our_own_reader(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    kinds = rng.sample(sorted(CELLS), rng.randint(1, 4))
    delimiter, newline = rng.choice(";\t|"), rng.choice(["\n", "\r\n"])
    rows = [[rng.choice(CELLS[kind]) for kind in kinds] for _ in range(rng.randint(1, 30))]
    lines = [delimiter.join(row) for row in [[f" {kind} " for kind in kinds], *rows]]
    path = tmp_path / "table.csv"
    end = rng.choice(["", newline, newline * 2])
    text = rng.choice(["", "\ufeff"]) + newline.join(lines) + end
    path.write_bytes(text.encode())
    theirs = arrow_columns(path, path.read_bytes())
    ours = found(lambda: TableColumns(read_csv(path)))
    if theirs is not None:
        assert_alike(ours, theirs)
    else:  # a blank line, or a comma that splits a single column
        assert "" in lines[1:] or ours[0] == "ragged-row"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b\n",
        b'a,b\n"1",2\n',
        b"a,b\n1,2\n3\n",
        b"a,b\n1,2\n3,4,5\n",
        b"a,b\n\n1,2\n",
        b"a,b\r\n\r\n1,2\r\n",
        b"a,b\n1,\x002\n",
        b"a,b\n1,\xe9\n",
        b"a\xe9,b\n1,2\n",
        b"a,a\n1,2\n",
        b"a,b\r1,2\r3,4",
        b"\xff\xfea\x00\n\x00",
        b"\na,b\n1,2\n",
        b"a,b,\n1,2,\n",
        b"a,b\n1,2\n,\n",
        b"a;b\n1;2\n ; \r\n",
    ],
)
def test_odd_files_are_left_to_our_own_reader(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(data)
    assert arrow_columns(path, path.read_bytes()) is None


def test_large_files_are_read_by_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.csv"
    random_table(5).sample(frac=1, random_state=0).to_csv(path, index=False)
    ours = panel_from_file(path)
    assert isinstance(panel_files.read_columns(path), TableColumns)
    monkeypatch.setattr(panel_files, "ARROW_BYTES", 0)
    assert not isinstance(panel_files.read_columns(path), TableColumns)
    theirs = panel_from_file(path)
    assert_same(theirs, ours)
    assert theirs.notes == ours.notes
    monkeypatch.setattr(panel_files.importlib.util, "find_spec", lambda name: None)
    assert isinstance(panel_files.read_columns(path), TableColumns)
    with pytest.raises(DataError, match="no such file"):
        panel_from_file(tmp_path / "none.csv")


class Names(list):
    """Names that must not be searched for one by one."""

    def index(self, *arguments: object) -> int:
        raise AssertionError("a search in a list of names")


def test_columns_are_found_without_a_search(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "2024-01-01,2\n2024-01-02,3\n" * 40)
    arrow, table = arrow_columns(path, path.read_bytes()), read_csv(path)
    assert arrow is not None
    names = Names(table.names)
    for columns in (
        TableColumns(Table(names, table.rows, table.lines)),
        ArrowColumns(arrow.table, names, path),
        frame_columns(arrow.table.rename_columns(["a", "b"])),
    ):
        columns.names = names
        assert columns.numbers("b")[1] == 3
        with pytest.raises(DataError, match='found "2024'):
            columns.numbers("a")


def test_too_many_columns_are_refused_in_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "commas.csv"
    file.write_bytes(b"," * 2_000_000 + b"\n")
    tracemalloc.start()
    try:
        assert arrow_columns(file, file.read_bytes()) is None
        assert tracemalloc.get_traced_memory()[1] < 8 * file.stat().st_size
    finally:
        tracemalloc.stop()


def test_files_of_too_many_columns_are_left_to_our_own_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_A_COLUMN", 0)
    file = tmp_path / "wide.csv"
    file.write_text("a,b,c\n1,2,3\n")
    assert arrow_columns(file, file.read_bytes()) is not None
    monkeypatch.setattr(module, "MAX_COLUMNS", 2)
    assert arrow_columns(file, file.read_bytes()) is None


def test_few_rows_of_many_columns_are_left_to_our_own_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BYTES_A_COLUMN", 256)
    path = tmp_path / "wide.csv"
    header = ",".join(f"column{k}" for k in range(100))
    path.write_text(header + "\n" + ",".join(["1"] * 100) + "\n")
    assert arrow_columns(path, path.read_bytes()) is None
    path.write_text(header + "\n" + (",".join(["1"] * 100) + "\n") * 200)
    assert arrow_columns(path, path.read_bytes()) is not None


@pytest.mark.parametrize("cell", sorted({cell for kind in CELLS.values() for cell in kind} - {""}))
def test_every_cell_among_numbers_is_read_as_by_our_own_reader(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"n;x\n1;1\n2;{cell}\n3;2\n")
    theirs = arrow_columns(path, path.read_bytes())
    assert theirs is not None
    assert_alike(TableColumns(read_csv(path)), theirs)
