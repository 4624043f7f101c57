"""Blocks of a CSV file have the rows of `read_csv`, wherever blocks and gzip members end."""

import gzip
from pathlib import Path

import pytest

from memattn.csv_reader import read_csv
from memattn.errors import DataError
from memattn.forecast.data import csv_blocks
from memattn.forecast.data.csv_blocks import CsvBlocks
from memattn.forecast.data.csv_lines import LinesOfRows

HEADER, BODY = b"unique_id,ds,y\n", b"a,2024-01-01,1\na,2024-01-02,2\n"


def read(path: Path) -> tuple[list[str], list[list[str]]]:
    blocks = CsvBlocks(path)
    tables = list(blocks.tables(blocks.names))
    columns = [[c for one in tables for c in one.column(n).to_pylist()] for n in blocks.names]
    return blocks.names, [[c.strip() for c in row] for row in zip(*columns, strict=True)]


def members(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    return path


@pytest.mark.parametrize(
    "parts",
    [
        (HEADER, BODY),
        (b"\n", HEADER, BODY),
        (b"", b"\xef", b"\xbb\xbf", HEADER, BODY),
        (b"", b"\xff", b"\xfe", (HEADER + BODY).decode().encode("utf-16-le")),
        (b"  \n\n", HEADER),
    ],
)
def test_members_of_gzip_may_end_anywhere(parts: tuple[bytes, ...], tmp_path: Path) -> None:
    path = members(tmp_path / "a.csv.gz", *parts)
    if parts[-1] is HEADER:  # a header without names
        with pytest.raises(DataError, match="expected"):
            read_csv(path)
        with pytest.raises(DataError, match="expected"):
            read(path)
        return
    table = read_csv(path)
    assert read(path) == (table.names, table.rows)
    assert len(table.rows) == 2


@pytest.mark.parametrize("size", [15, 16, 4096, 5000])
@pytest.mark.parametrize("blank", [0, 5000])
def test_a_block_may_end_after_the_header_or_before_it(
    size: int, blank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", size)
    monkeypatch.setattr(csv_blocks, "HEAD", 1)
    path = tmp_path / "a.csv"
    path.write_bytes(b"\r\n" * blank + HEADER + b"a,2024-01-01," + b" " * 9000 + b"1\n" + BODY)
    assert read(path)[1] == [["a", "2024-01-01", "1"], *[one.split(",") for one in
                             BODY.decode().split()]]  # fmt: skip
    lines = LinesOfRows(path)
    assert [lines.line(k) for k in range(3)] == [blank + 2, blank + 3, blank + 4]


def test_blank_blocks_do_not_hide_the_delimiter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_blocks, "HEAD", 1)
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n" * 1000 + (HEADER + BODY).replace(b",", b";"))
    table = read_csv(path)
    assert read(path) == (table.names, table.rows)
    assert table.names == ["unique_id", "ds", "y"]


@pytest.mark.parametrize("text", [b"", b"\n", b"\n\n\r\n", b"  \n", b" \n , \n", b"\n" * 9999])
def test_a_file_of_blank_lines_is_an_error(text: bytes, tmp_path: Path) -> None:
    path = members(tmp_path / "a.csv.gz", text, text)
    for one in (read_csv, CsvBlocks):
        with pytest.raises(DataError, match="the file is empty"):
            one(path)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_latin_1_is_refused_in_columns_that_are_not_read(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("unique_id,ds,y,note\na,b,1,x\na,b,1,Bodø\n".replace(",", mark).encode("l1"))
    with pytest.raises(DataError) as expected:
        read_csv(path)
    with pytest.raises(DataError) as found:
        list(CsvBlocks(path).tables(["unique_id", "ds", "y"]))
    assert str(found.value) == str(expected.value)
    assert "line 3: found the byte 0xF8, expected UTF-8" in str(found.value)


def test_an_extra_cell_may_hold_spaces(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(HEADER + b"a,2024-01-01,1, \n" + BODY)
    table = read_csv(path)
    assert read(path) == (table.names, table.rows)


@pytest.mark.parametrize("parts", [(b"", b"PAR1" + bytes(9)), (b"PA", b"R1" + bytes(9))])
def test_gzipped_parquet_is_recognised_whatever_its_members(
    parts: tuple[bytes, ...], tmp_path: Path
) -> None:
    path = members(tmp_path / "a.csv.gz", *parts)
    for one in (read_csv, CsvBlocks):
        with pytest.raises(DataError, match="looks like gzip of Parquet"):
            one(path)
