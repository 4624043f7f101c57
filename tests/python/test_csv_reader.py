"""The CSV reader: accepted forms, and the file, line and column of every error."""

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
from memattn.forecast.data.columns import TableColumns
from memattn.forecast.data.panel import panel_from_file

Write = Callable[[str | bytes], Path]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_detected(write_csv: Write, delimiter: str) -> None:
    table = read_csv(write_csv(f"time{delimiter}a\n2024-01-01{delimiter}1.5\n"))
    assert table.names == ["time", "a"]
    assert table.rows == [["2024-01-01", "1.5"]]


def test_byte_order_marks_quotes_blank_lines_and_line_ends_are_read(write_csv: Write) -> None:
    text = '\ufeff"a, b";"c"\r\n"x\r\ny"; 2 \r\n\r\n"";3\r\n'
    table = read_csv(write_csv(text))
    assert table.names == ["a, b", "c"]
    assert table.rows == [["x\r\ny", "2"], ["", "3"]]
    assert table.lines == [2, 5]


def test_numbers_are_parsed(write_csv: Write) -> None:
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
        ('"1,234"', "not-a-number", "without commas"),
        ("\x1b[31m", "not-a-number", r'found "\x1b[31m"'),
    ],
)
def test_bad_numbers_are_refused(write_csv: Write, cell: str, kind: str, said: str) -> None:
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
        (b"", "empty-file", None, "the file is empty"),
        (b"\n\n", "empty-file", None, "the file is empty"),
        (b"a,b\n", "no-rows", 1, "no rows below its header"),
        (b"a,b\n1,2\n1\n", "ragged-row", 3, "found 1 cells, expected 2"),
        (b"a,b\n1,2,3\n", "ragged-row", 2, "found 3 cells, expected 2"),
        (b"a,b,a\n1,2,3\n", "duplicate-column", 1, 'two columns "a" (columns 1 and 3)'),
        (b"a\n1\n\xe9\n", "encoding", 3, "0xE9"),
        (b"a\n1\0\n", "encoding", 2, "NUL"),
        (b"a\n1\n\x80\n", "encoding", 3, "Windows-1252 or Latin-1"),
        ("a\n1\n".encode("utf-16")[:-1], "encoding", 1, "damaged UTF-16"),
        (b'a\n1\n"2\n3\n', "malformed-csv", 3, "quotes"),
        (b'a\n1\n"2"x\n', "malformed-csv", 3, "quotes"),
        (b"a\n" + b"9" * 200_000 + b"\n", "malformed-csv", 2, "not valid CSV"),
    ],
)
def test_bad_files_are_refused(
    write_csv: Write, content: bytes, kind: str, line: int | None, said: str
) -> None:
    path = write_csv(content)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert (caught.value.kind, caught.value.file, caught.value.line) == (kind, path, line)
    assert said in str(caught.value)


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
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
        (lambda path: os.mkfifo(path), "empty-file", "the file is empty"),
        (lambda path: path.symlink_to("/proc/self/mem"), "unreadable", "Input/output error"),
        (lambda path: path.symlink_to("x" * 300), "unreadable", "cannot be read: File name too"),
    ],
    ids=["endless", "null", "circle", "a pipe without a writer", "an error", "long name"],
)
def test_devices_pipes_and_bad_links_are_refused(
    make: Callable[[Path], object], kind: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv"
    make(path)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert (caught.value.kind, caught.value.file) == (kind, path)
    assert said in str(caught.value)


@pytest.mark.parametrize("count", [3, 200_000])
def test_pipes_are_read_up_to_a_limit(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
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
            with pytest.raises(DataError, match="the pipe has more than 300,000 bytes; save"):
                read_csv(path)
    finally:
        os.close(reader)
        writer.join()


@pytest.mark.parametrize("text", ["," * 1_000_000 + "\n1\n", '\n\n"a' + ";" * 3_000_000])
def test_too_many_columns_are_refused(write_csv: Write, text: str) -> None:
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
    assert time.process_time() - begin < 8  # 0.7 s if names are not searched one by one


def test_numeric_looking_columns_are_recognised(write_csv: Write) -> None:
    table = read_csv(write_csv("a,b,c,d\n1,x,,NA\n2,y,,3\nz,4,,\n"))
    assert [table.looks_numeric(k) for k in range(4)] == [True, False, False, True]


def test_quoted_is_printable_and_short() -> None:
    assert quoted("a\x1b]0;x\x07\u202e") == r'"a\x1b]0;x\x07\u202e"'
    assert quoted("é") == '"é"'
    assert len(quoted("x" * 1000)) == 62


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_encodings_are_detected(write_csv: Write, encoding: str) -> None:
    assert read_csv(write_csv("é\n1\n".encode(encoding))).names == ["é"]


@pytest.mark.parametrize(
    ("header", "cells", "numbers"),
    [
        ("ds;v", ["1,5", "-12,25", "3"], [1.5, -12.25, 3]),
        ("ds;v", ["1,234", "2,500"], [1.234, 2.5]),
        ("ds;v", ["1.234,56", "1.234", "0,5"], [1234.56, 1234, 0.5]),
        ("ds;v", ["1,234.5", "1,234"], [1234.5, 1234]),
        ("ds\tv", [",5", "1.234.567"], [0.5, 1234567]),
        ("ds,v", ['"1,234,567.89"', '"1,234"', "950"], [1234567.89, 1234, 950]),
        ("ds;v", ["1.234", "2.345"], [1.234, 2.345]),
        ("ds;v", ["#NV", "1,5", ".", "--", "#N/A", "NULL", "n/a"], [np.nan, 1.5, *[np.nan] * 5]),
        ("ds|v|w", ["1.234|0,5", "2.000|1,5"], [1234, 2000]),
    ],
)
def test_decimal_commas_and_separators_of_thousands_are_read(
    write_csv: Write, header: str, cells: list[str], numbers: list[float]
) -> None:
    mark = header[2]
    rows = "".join(f"2024-01-0{row + 1}{mark}{cell}\n" for row, cell in enumerate(cells))
    columns = TableColumns(read_csv(write_csv(f"{header}\n{rows}")))
    assert columns.is_numeric("v")
    np.testing.assert_array_equal(columns.numbers("v"), numbers)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("ds,v", ['"1,234"', "950"]),
        ("ds,v", ['"1,5"', "950"]),
        ("ds;v", ["1,234", "1.5"]),
        ("ds;v", ["1,5", "1.55"]),
    ],
)
def test_ambiguous_numbers_are_refused(write_csv: Write, header: str, cells: list[str]) -> None:
    rows = "".join(f"2024-01-0{row + 1}{header[2]}{cell}\n" for row, cell in enumerate(cells))
    with pytest.raises(DataError, match=r'found "1,.*", expected a number .*decimal point'):
        TableColumns(read_csv(write_csv(f"{header}\n{rows}"))).numbers("v")


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01,5\n2024-01-02,6\n",
        "North;31.12.2013;5\nNorth;01.01.2014;6\n",
        "5,6\n7,8\n",
        "1,5\n2,6\n",
        "item,2024-01,2024-02\na,5,6\n",
    ],
)
def test_a_first_line_of_data_is_refused(write_csv: Write, text: str) -> None:
    with pytest.raises(
        DataError, match=r"in the first line, expected column names; .* such as"
    ) as e:
        panel_from_file(write_csv(text))
    assert (e.value.kind, e.value.line) == ("no-header", 1)


def test_numbered_columns_are_accepted(write_csv: Write) -> None:
    panel = panel_from_file(write_csv(",0,1\n0,5,6\n1,5,7\n2,6,7\n"))
    assert panel.ids.tolist() == ["0", "1"]


@pytest.mark.parametrize(
    ("cell", "kind", "expected"),
    [
        ("12 %", "number-with-sign", 'a number; remove the "%"'),
        ("-$5", "number-with-sign", 'a number; remove the "$"'),
        ("€ 1e3", "number-with-sign", 'a number; remove the "€"'),
        ('"12,5%"', "number-with-sign", 'a number with a decimal point; remove the "%"'),
        (
            '"$1,200"',
            "number-with-sign",
            'a number with a decimal point and without commas; remove the "$"',
        ),
        ("1.234.567", "not-a-number", "a number with a decimal point"),
        ("$ 5 $", "not-a-number", "a number"),
        ("%", "not-a-number", "a number"),
    ],
)
@pytest.mark.parametrize("names", ["unique_id,ds,y", "shop,ds,sales"])
def test_numbers_with_currency_or_percent_signs_are_refused(
    write_csv: Write, cell: str, kind: str, expected: str, names: str
) -> None:
    target, shown = names.split(",")[2], cell.strip('"')
    path = write_csv(f"{names}\na,2024-01-01,1\na,2024-01-02,{cell}\na,2024-01-03,2\n")
    with pytest.raises(DataError) as caught:
        panel_from_file(path, id_col=names.split(",")[0], target_col=target)
    error = caught.value
    assert (error.kind, error.line, error.column) == (kind, 3, target)
    assert error.problem == f'found "{shown}", expected {expected}'


def test_a_column_with_signs_is_reported_only_if_it_is_the_only_candidate(write_csv: Write) -> None:
    rows = [f"2024-01-0{k},{k}%" for k in range(1, 6)]
    with pytest.raises(DataError, match=r'line 2, column "rate": found "1%", .* remove the "%"'):
        panel_from_file(write_csv("\n".join(["ds,rate", *rows])))
    panel = panel_from_file(write_csv("\n".join(["ds,rate,y", *[f"{row},7" for row in rows]])))
    assert panel.ids.tolist() == ["y"]
    with pytest.raises(DataError, match='there is no numeric column to forecast among "ds", "x"'):
        panel_from_file(write_csv("ds,x\n2024-01-01,a\n2024-01-02,b\n"))


@pytest.mark.parametrize(
    "text",
    [
        "a,b,,\n1,2,,\n3,,,\n",
        "a,b,,\n1,2\n3,\n",
        "a,b\n1,2,,\n3,,\n",
        "a,b,\n1,2,\n3,,\n,,\n",
        "a;b\n1;2\n3;\n;\n\n; ;;\n",
        'a,b,""\n1,2,\n3,,\n',
    ],
)
def test_empty_columns_and_rows_at_the_ends_are_dropped(write_csv: Write, text: str) -> None:
    table = read_csv(write_csv(text))
    assert table.names == ["a", "b"]
    assert table.rows == [["1", "2"], ["3", ""]]
    assert table.lines == [2, 3]


def test_other_empty_columns_and_rows_are_kept(write_csv: Write) -> None:
    table = read_csv(write_csv("a,,b\n1,,2\n,,\n3,,4\n"))
    assert table.names == ["a", "", "b"]
    assert table.rows == [["1", "", "2"], ["", "", ""], ["3", "", "4"]]
    assert read_csv(write_csv('a\n1\n""\n')).rows == [["1"], [""]]
    assert read_csv(write_csv("a,\n1,x\n")).names == ["a", ""]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (",,\n,,\n", "empty-file", "the file is empty"),
        ("a,b\n,\n", "no-rows", "no rows below its header"),
        ("a,,\n1,2,3\n", "duplicate-column", "columns 2 and 3); name them; is line 1 a title?"),
        ("a,b,,\n1,2,3,4\n", "duplicate-column", "have no name (columns 3 and 4); name them"),
        (
            "Sales,\n\nds,y,z\n",
            "ragged-row",
            "found 3 cells, expected 2 as in the header; is line 1",
        ),
    ],
)
def test_columns_without_names_are_refused(
    write_csv: Write, text: str, kind: str, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_csv(write_csv(text))
    assert caught.value.kind == kind
    assert said in caught.value.problem
    assert ("title" in said) == ("title" in caught.value.problem) or kind == "ragged-row"
