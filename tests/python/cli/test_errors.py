"""Whatever is wrong ends with exit code 2 and one line of text, and writes nothing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = [f"2024-01-01T{hour:02d}:00Z,{hour % 5},{hour}" for hour in range(24)]


def with_line(number: int, text: str) -> str:
    """A good file with another line `number`; line 1 is the header."""
    lines = ["time,a,b", *GOOD]
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


BAD_FILES = {
    "text in a number": (with_line(7, "2024-01-01T05:00Z,oops,1"), 7, "a", 'found "oops"'),
    "empty cell": (with_line(7, "2024-01-01T05:00Z,,1"), 7, "a", "found an empty cell"),
    "nan": (with_line(7, "2024-01-01T05:00Z,nan,1"), 7, "a", 'found "nan"'),
    "infinity": (with_line(7, "2024-01-01T05:00Z,inf,1"), 7, "a", 'found "inf"'),
    "ragged row": (with_line(7, "2024-01-01T05:00Z,1"), 7, "b", "found 2 cells, expected 3"),
    "double time": (with_line(7, "2024-01-01T04:00Z,1,1"), 7, "time", "twice, first on line 6"),
    "time backwards": (with_line(7, "2024-01-01T03:00Z,1,1"), 7, "time", "before line 6"),
    "gap": (with_line(12, ""), 13, "time", "a gap in time between line 11"),
    "no date": (with_line(7, "yesterday,1,1"), 7, "time", 'found "yesterday"'),
    "header only": ("time,a,b\n", 1, None, "a header and no rows"),
    "empty": ("", None, None, "an empty file"),
    "double column": (with_line(1, "time,a,a"), 1, "a", 'column name "a" twice'),
    "quotes": (with_line(7, '"2024'), 7, None, "no CSV"),
    "nul": (with_line(7, "2024-01-01T05:00Z,\0,1"), 7, None, "NUL"),
    "text only": ("time,a\n2024-01-01,x\n2024-01-02,y\n", 1, None, "no column of numbers"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(run: Run, tmp_path: Path, name: str) -> None:
    content, line, column, said = BAD_FILES[name]
    (tmp_path / "data.csv").write_text(content)
    done = run("forecast", "data.csv", "--horizon", "2", "--report", "report.html")
    assert (done.returncode, done.stdout) == (2, "")
    place = "data.csv" + (f", line {line}" if line else "")
    place += f', column "{column}"' if column else ""
    assert done.stderr.startswith(f"memattn: {place}: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_bad_encoding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("température\n1\n".encode("latin-1"))
    done = run("forecast", "data.csv", "--horizon", "2")
    assert done.returncode == 2
    assert "data.csv, line 1: found the byte 0xE9, expected UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        (["--target", "valeu"], "missing-column", 'did you mean "value"?'),
        (["--time", "clock"], "missing-column", 'expected one of "time", "value"'),
        (["--lookback", "390"], "too-few-rows", "found 400 rows, expected at least"),
        (["--lookback", "5"], "option", "expected at least the season of 24 rows"),
        (["--output", "no/forecast.csv"], "unwritable", "found no folder"),
        (["--output", "."], "unwritable", "found a folder"),
        (["--report", "no/report.html"], "unwritable", "found no folder"),
        (["--report", "forecast.csv"], "option", "the same file as --output"),
        (["--horizon", "0"], "usage", "0 is not in the range x>=1"),
        (["--horizon", "two"], "usage", "'two' is not a valid integer"),
        (["--seed", "-1"], "usage", "not in the range"),
        (["--colour"], "usage", "No such option"),
    ],
)
def test_bad_options(
    run: Run, data: Path, tmp_path: Path, options: list[str], kind: str, said: str
) -> None:
    command = ("forecast", data, "--horizon", "6", *options)
    done = run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("memattn: ")
    assert "Traceback" not in done.stderr
    as_json = run(*command, "--json")
    assert (as_json.returncode, as_json.stdout) == (2, "")
    error = json.loads(as_json.stderr)["error"]
    assert set(error) == {"kind", "message", "file", "line", "column"}
    assert error["kind"] == kind
    assert said in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_json_error_has_the_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(BAD_FILES["text in a number"][0])
    error = json.loads(run("forecast", "data.csv", "--horizon", "2", "--json").stderr)["error"]
    assert error == {
        "kind": "not-a-number",
        "message": 'found "oops", expected a number',
        "file": "data.csv",
        "line": 7,
        "column": "a",
    }


def test_the_input_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    content = "a\n" + "1\n2\n" * 30
    (tmp_path / "data.csv").write_text(content)
    (tmp_path / "link.csv").symlink_to("data.csv")
    for name in ("data.csv", "./data.csv", "link.csv"):
        for option in ("--output", "--report"):
            done = run("forecast", "data.csv", "--horizon", "2", option, name)
            assert done.returncode == 2
            assert "the input file itself" in done.stderr
    assert (tmp_path / "data.csv").read_text() == content


def test_no_input(run: Run, tmp_path: Path) -> None:
    for name, said in (("no.csv", "no such file"), (".", "a folder")):
        done = run("forecast", name, "--horizon", "2")
        assert done.returncode == 2
        assert said in done.stderr
    assert "--horizon" in run("forecast", "no.csv").stderr
    assert run("forecats").returncode == 2


def test_an_old_forecast_stays_when_the_new_one_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\nx\n2\n3\n")
    (tmp_path / "forecast.csv").write_text("old")
    assert run("forecast", "data.csv", "--horizon", "1").returncode == 2
    assert (tmp_path / "forecast.csv").read_text() == "old"
