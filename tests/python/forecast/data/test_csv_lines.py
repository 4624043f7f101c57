"""The lines of rows equal those of `read_csv`, and the file is read once."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from memattn.csv_reader import read_csv
from memattn.forecast.data import csv_blocks, csv_lines
from memattn.forecast.data.csv_lines import LinesOfRows


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [3, 1 << 18])
def test_lines_equal_those_of_read_csv(
    seed: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", int(rng.integers(20, 200)))
    monkeypatch.setattr(csv_blocks, "HEAD", 1)
    monkeypatch.setattr(csv_lines, "MOST_STEPS", most)
    end = ["\n", "\r\n"][seed % 2]
    rows = ["a,1", '"b",2', end, end + end, *(['c,"two\nlines"'] if seed % 3 == 0 else [])]
    some = [rows[int(k)] for k in rng.integers(len(rows), size=60)]
    text = end * int(rng.integers(3)) + "id,y" + end + end.join(some) + end * (seed % 4)
    encoding = "utf-16" if seed % 5 == 4 else "utf-8"
    content = text.encode(encoding)
    path = tmp_path / "a.csv"
    path.write_bytes(gzip.compress(content) if seed % 7 == 0 else content)
    wanted = read_csv(path).lines
    found = LinesOfRows(path)
    order = rng.permutation(len(wanted))
    assert [found.line(int(k)) for k in order] == [wanted[k] for k in order]


def test_lines_before_an_unreadable_one_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,y\n\n"a\nb",1\n' + b"c,2\n" * 9999 + b"\xe5,3\n")
    assert [LinesOfRows(path).line(k) for k in range(2)] == [3, 5]


def test_a_file_is_read_once_for_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,y\n" + b'"a\nb",1\n' * 500)
    opened = []
    monkeypatch.setattr(
        csv_lines, "CsvBlocks", lambda one: (opened.append(one), csv_blocks.CsvBlocks(one))[1]
    )
    found = LinesOfRows(path)
    assert [found.line(k) for k in range(500)] == list(range(2, 1002, 2))
    assert len(opened) == 1
