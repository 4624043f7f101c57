"""Every way in which a CSV can be wrong is told with file, line and column."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import csv_reader
from memattn.csv_reader import read_csv
from memattn.errors import DataError, quoted
from memattn.forecast.data.panel import panel_from_file

Write = Callable[[str | bytes], Path]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(write_csv: Write, delimiter: str) -> None:
    table = read_csv(write_csv(f"time{delimiter}a\n2024-01-01{delimiter}1.5\n"))
    assert table.names == ["time", "a"]
    assert table.rows == [["2024-01-01", "1.5"]]


def test_byte_order_mark_quotes_blank_lines_and_line_ends(write_csv: Write) -> None:
    text = '\ufeff"a, b";"c"\r\n"x\r\ny"; 2 \r\n\r\n"";3\r\n'
    table = read_csv(write_csv(text))
    assert table.names == ["a, b", "c"]
    assert table.rows == [["x\r\ny", "2"], ["", "3"]]
    assert table.lines == [2, 5]


def test_numbers(write_csv: Write) -> None:
    table = read_csv(write_csv("a\n1\n-2.5\n+.5\n3.\n1e3\n-1E-2\n0\n"))
    np.testing.assert_array_equal(table.numbers(0), [1, -2.5, 0.5, 3, 1000, -0.01, 0])


@pytest.mark.parametrize(
    ("cell", "kind", "said"),
    [
        ("abc", "not-a-number", 'found "abc", expected a number'),
        ("", "empty-cell", "found an empty cell, expected a number"),
        ("NA", "not-a-number", "fill or remove missing values"),
        ("nan", "not-finite", 'found "nan", expected a finite number'),
        ("-inf", "not-finite", "expected a finite number"),
        ("1e999", "not-finite", "float64"),
        ("1_000", "not-a-number", 'found "1_000"'),
        ("١٢", "not-a-number", "expected a number"),
        ('"12,5"', "not-a-number", "decimal point"),
        ("\x1b[31m", "not-a-number", r'found "\x1b[31m"'),
    ],
)
def test_bad_numbers(write_csv: Write, cell: str, kind: str, said: str) -> None:
    path = write_csv(f"t,a\n1,1\n2,{cell}\n3,1\n")
    with pytest.raises(DataError) as caught:
        read_csv(path).numbers(1)
    error = caught.value
    assert (error.kind, error.file, error.line, error.column) == (kind, path, 3, "a")
    assert str(error).startswith(f'{path}, line 3, column "a": found')
    assert said in str(error)


@pytest.mark.parametrize(
    ("content", "kind", "line", "said"),
    [
        (b"", "empty-file", None, "an empty file"),
        (b"\n\n", "empty-file", None, "an empty file"),
        (b"a,b\n", "no-rows", 1, "a header and no rows"),
        (b"a,b\n1,2\n1\n", "ragged-row", 3, "found 1 cells, expected 2"),
        (b"a,b\n1,2,3\n", "ragged-row", 2, "found 3 cells, expected 2"),
        (b"a,b,a\n1,2,3\n", "duplicate-column", 1, '"a" twice (columns 1 and 3)'),
        (b"a\n1\n\xe9\n", "encoding", 3, "0xE9"),
        (b"a\n1\0\n", "encoding", 2, "NUL"),
        ("a\n1\n".encode("utf-16"), "encoding", 1, "UTF-16"),
        (b'a\n1\n"2\n3\n', "malformed-csv", 3, "quotes"),
        (b'a\n1\n"2"x\n', "malformed-csv", 3, "quotes"),
        (b"a\n" + b"9" * 200_000 + b"\n", "malformed-csv", 2, "no CSV"),
    ],
)
def test_bad_files(
    write_csv: Write, content: bytes, kind: str, line: int | None, said: str
) -> None:
    path = write_csv(content)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert (caught.value.kind, caught.value.file, caught.value.line) == (kind, path, line)
    assert said in str(caught.value)


def test_not_a_file(tmp_path: Path) -> None:
    for path, kind in [(tmp_path, "not-a-file"), (tmp_path / "no.csv", "not-found")]:
        with pytest.raises(DataError) as caught:
            read_csv(path)
        assert caught.value.kind == kind
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda path: path.symlink_to("/dev/zero"), "not-a-file", "found a device, expected a CSV"),
        (lambda path: path.symlink_to("/dev/null"), "not-a-file", "found a device, expected a CSV"),
        (lambda path: path.symlink_to(path), "unreadable", "cannot be read: Too many levels of"),
        (lambda path: os.mkfifo(path), "empty-file", "an empty file"),
        (lambda path: path.symlink_to("/proc/self/mem"), "unreadable", "Input/output error"),
        (lambda path: path.symlink_to("x" * 300), "unreadable", "cannot be read: File name too"),
    ],
    ids=["endless", "null", "circle", "a pipe without a writer", "an error", "long name"],
)
def test_odd_files(make: Callable[[Path], object], kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    make(path)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert (caught.value.kind, caught.value.file) == (kind, path)
    assert said in str(caught.value)


@pytest.mark.parametrize("count", [3, 200_000])
def test_pipes_are_read_to_a_bound(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_reader, "MAX_PIPE_BYTES", 300_000)
    reader, descriptor = os.pipe()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as pipe:  # noqa: PTH123
            pipe.write(b"a\n" * count)

    writer = threading.Thread(target=write)
    writer.start()
    path = Path(f"/dev/fd/{reader}")
    try:
        if count == 3:
            assert read_csv(path).rows == [["a"], ["a"]]
        else:
            with pytest.raises(DataError, match="found more than 300,000 bytes in a pipe; save"):
                read_csv(path)
    finally:
        os.close(reader)
        writer.join()


@pytest.mark.parametrize("text", ["," * 1_000_000 + "\n1\n", '\n\n"a' + ";" * 3_000_000])
def test_too_many_columns(write_csv: Write, text: str) -> None:
    with pytest.raises(DataError, match=r"found [13],000,001 columns, expected at most 1,000,000"):
        read_csv(write_csv(text))


@pytest.mark.parametrize(
    "text",
    ["\n" * 3_000_000 + "a\n1\n", " " * 3_000_000 + "\na\n1\n", '"a' * 500_000 + "\n1\n"],
    ids=["newlines", "spaces", "quotes"],
)
def test_odd_headers_take_linear_time(write_csv: Write, text: str) -> None:
    path = write_csv(text)
    begin = time.process_time()
    with contextlib.suppress(DataError):
        read_csv(path)
    assert time.process_time() - begin < 10


def test_many_columns_take_linear_time(write_csv: Write) -> None:
    count = 30_000
    text = "\n".join(
        [
            ",".join(["ds", *(f"c{k}" for k in range(count))]),
            *(f"2024-01-{row + 1:02d}" + ",1" * count for row in range(3)),
        ]
    )
    path = write_csv(text + "\n")
    begin = time.process_time()
    assert len(panel_from_file(path)) == count
    assert time.process_time() - begin < 8  # 0.7 s where names are not searched for one by one


def test_looks_numeric(write_csv: Write) -> None:
    table = read_csv(write_csv("a,b,c,d\n1,x,,NA\n2,y,,3\nz,4,,\n"))
    assert [table.looks_numeric(k) for k in range(4)] == [True, False, False, True]


def test_quoted_is_printable_and_short() -> None:
    assert quoted("a\x1b]0;x\x07\u202e") == r'"a\x1b]0;x\x07\u202e"'
    assert quoted("é") == '"é"'
    assert len(quoted("x" * 1000)) == 62
