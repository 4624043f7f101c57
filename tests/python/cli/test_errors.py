"""Errors exit with code 2, print one line of text, and write nothing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = [f"2024-01-01T{hour:02d}:00Z,{hour % 5},{hour}" for hour in range(24)]


def with_line(number: int, text: str) -> str:
    """Returns a good file with line `number` replaced; line 1 is the header."""
    lines = ["time,a,b", *GOOD]
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


BAD_FILES = {
    "text in a number": (with_line(7, "2024-01-01T05:00Z,oops,1"), 7, "a", 'found "oops"'),
    "infinity": (with_line(7, "2024-01-01T05:00Z,inf,1"), 7, "a", 'found "inf"'),
    "too large": (with_line(7, "2024-01-01T05:00Z,1e200,1"), 7, "a", "found 1e+200"),
    "ragged row": (with_line(7, "2024-01-01T05:00Z,1"), 7, "b", "found 2 cells, expected 3"),
    "two values": (with_line(7, "2024-01-01T04:00Z,1,1"), 7, "time", "different values, 4 in line"),
    "no date": (with_line(7, "yesterday,1,1"), 7, "time", 'found "yesterday"'),
    "no zone": (with_line(7, "2024-01-01T05:00,1,1"), 7, "time", "no zone offset"),
    "header only": ("time,a,b\n", 1, None, "no rows below its header"),
    "empty": ("", None, None, "the file is empty"),
    "double column": (with_line(1, "time,a,a"), 1, "a", 'two columns "a"'),
    "quotes": (with_line(7, '"2024'), 7, None, "not valid CSV"),
    "nul": (with_line(7, "2024-01-01T05:00Z,\0,1"), 7, None, "NUL"),
    "text only": ("time,a\n2024-01-01,x\n2024-01-02,y\n", None, None, "no numeric column"),
    "one row": ("time,a\n2024-01-01,1\n", None, None, "pass --freq, such as"),
    "long without y": (
        "unique_id,ds,z\na,2024-01-01,1\n",
        None,
        "y",
        'found no column "y"; pass --target with one of "z"',
    ),
    "no value": ("ds,y\n2024-01-01,\n2024-01-02,\n", 2, "y", "none of its rows has a value"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_an_error_with_its_position(call: Run, tmp_path: Path, name: str) -> None:
    content, line, column, said = BAD_FILES[name]
    (tmp_path / "data.csv").write_text(content)
    for command in (("forecast",), ("train",), ("backtest", "--windows", "1")):
        done = call(*command, "data.csv", "--horizon", "2")
        assert (done.returncode, done.stdout) == (2, "")
        place = "data.csv" + (f", line {line}" if line else "")
        named = line is None and f'"{column}"' in said  # by the problem itself
        place += f', column "{column}"' if column and not named else ""
        assert done.stderr.startswith(f"memattn: {place}: ")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_wrong_options_name_the_help_of_their_command(call: Run) -> None:
    for command in ("forecast", "doctor"):
        for wrong in (("--layr", "x"), ("x", "--threads")):
            done = call(command, *wrong)
            assert done.returncode == 2
            assert done.stderr.endswith(f"\ntry: memattn {command} --help\n")
    assert call("forecas").stderr.endswith("\ntry: memattn --help\n")


def test_bad_encoding_is_an_error_with_its_line(call: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes("température\n1\n".encode("latin-1"))
    done = call("forecast", "data.csv", "--horizon", "2")
    assert done.returncode == 2
    assert "data.csv, line 1: found the byte 0xE9, expected UTF-8" in done.stderr


def test_a_damaged_parquet_file_is_an_error(call: Run, tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and no more")
    done = call("forecast", "data.parquet", "--horizon", "2")
    assert done.returncode == 2
    assert done.stderr.startswith("memattn: data.parquet: cannot be read as Parquet (")
    assert done.stderr.endswith("); write the file again, or as CSV\n")


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        (["--target", "valeu"], "missing-column", '--target: found no column "valeu" (did you'),
        (["--target", "value", "--target", "b"], "missing-column", '--target: found no column "b"'),
        (["--time", "clock"], "missing-column", 'the columns are "time", "value"'),
        (["--id", "shop"], "missing-column", '--id: found no column "shop"'),
        (["--target", "time"], "not-a-number", 'found "2024-03-01T00:00Z", expected a number'),
        (["--freq", "fortnight"], "option", '--freq: found "fortnight", expected a frequency'),
        (["--freq", "1"], "option", "--freq: found '1' for times that are dates"),
        (["--freq", "D"], "off-grid", "expected a time of frequency 'D'"),
        (["--output", "no/forecast.csv"], "unwritable", "there is no folder"),
        (["--output", "."], "unwritable", "it is a folder"),
        (["--report", "no/report.html"], "unwritable", "there is no folder"),
        (["--model", "no/model"], "unwritable", "there is no folder"),
        (["--checkpoint", "no/checkpoint"], "unwritable", "there is no folder"),
        (["--report", "forecast.csv"], "option", "--report: forecast.csv is also --output"),
        (["--model", "./forecast.csv"], "option", "--model: forecast.csv is also --output"),
        (["--model", "c", "--checkpoint", "c"], "option", "--checkpoint: c is also --model"),
        (["--resume"], "usage", "--resume needs --checkpoint"),
        (["--horizon", "0"], "usage", "found 0, expected a whole number from 1 to 1,000,000"),
        (["--horizon", "two"], "usage", "found two, expected a whole number"),
        (["--horizon", "1000001"], "usage", "found 1000001, expected"),
        (["--seed", "-1"], "usage", "found -1, expected a whole number from 0 to"),
        (["--members", "0"], "usage", "found 0, expected a"),
        (["--lookback", "0"], "usage", "found 0, expected a"),
        (["--season", "0"], "usage", "found 0, expected a"),
        (["--steps", "0"], "usage", "found 0, expected a"),
        (["--level", "100"], "usage", "found 100, expected a percentage above 0 and below 100"),
        (["--level", "0"], "usage", "found 0, expected a"),
        (["--level", "nan"], "usage", "'--level': found nan, expected a percentage"),
        (["--level", "high"], "usage", "found high, expected a percentage"),
        (["--level", "80.1234567"], "option", "--level: found 80.1234567, expected at most six"),
        (["--level", "80", "--no-intervals"], "usage", "cannot be used together"),
        (["--val-size", "2"], "option", "--val-size: found 2, expected 0 or at least horizon = 6"),
        (["--threads", "0"], "usage", "found 0, expected a whole number from 1 to 1,024"),
        (["--model", "-"], "option", "--model: found -, expected a file"),
        (["--loss", "mse"], "usage", "'mse' is not one of 'smape', 'mae', 'huber'"),
        (["--colour"], "usage", "No such option"),
        (["more.csv"], "usage", "unexpected extra argument"),
    ],
)
def test_bad_options_are_errors(
    call: Run, data: Path, tmp_path: Path, options: list[str], kind: str, said: str
) -> None:
    command = ("forecast", data, "--horizon", "6", *options)
    done = call(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.startswith("memattn: ")
    assert "Traceback" not in done.stderr
    as_json = call(*command, "--json")
    assert (as_json.returncode, as_json.stdout) == (2, "")
    error = json.loads(as_json.stderr)["error"]
    assert set(error) == {"kind", "message", "file", "line", "column"}
    assert error["kind"] == kind
    assert said in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_several_targets_of_a_long_file_are_an_error(call: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("unique_id,ds,y,z\na,2024-01-01,1,2\na,2024-01-02,1,2\n")
    done = call("forecast", "a.csv", "--horizon", "1", "--target", "y", "--target", "z")
    assert done.returncode == 2
    assert '--target: found 2 names, expected one: the column "unique_id"' in done.stderr


def test_a_horizon_beyond_the_year_9999_is_an_error(call: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n2000-01-01,1\n2001-01-01,2\n2002-01-01,3\n")
    done = call("forecast", "a.csv", "--horizon", "8000")
    assert done.returncode == 2
    assert "the horizon reaches beyond the year 9999" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_checkpoints_of_other_trainings_are_errors(call: Run, data: Path, tmp_path: Path) -> None:
    def said(*options: str) -> str:
        done = call("train", data, "--checkpoint", "c", *options)
        assert done.returncode == 2
        return done.stderr.removeprefix("memattn: c: ")

    quick = ("--horizon", "2", "--steps", "3")
    assert said(*quick, "--resume").startswith("no such file: there is no checkpoint")
    assert call("train", data, *quick, "--checkpoint", "c").returncode == 0
    assert said(*quick).startswith("exists; pass --resume to continue it")
    assert said("--horizon", "2", "--steps", "4", "--resume").startswith('--steps: found "4"')
    (tmp_path / "other.csv").write_text(data.read_text().replace("value", "other"))
    done = call("train", "other.csv", *quick, "--checkpoint", "c", "--resume")
    assert 'DATA: values or times differ in "other"; the checkpoint began' in done.stderr
    (tmp_path / "c").write_bytes(b"no checkpoint")
    assert said(*quick, "--resume").endswith("expected a saved checkpoint\n")
    before = (tmp_path / "model.safetensors").read_bytes()
    assert said(*quick, "--resume").count("\n") == 1
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_json_error_has_file_line_and_column(call: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(BAD_FILES["text in a number"][0])
    error = json.loads(call("forecast", "data.csv", "--horizon", "2", "--json").stderr)["error"]
    assert error == {
        "kind": "not-a-number",
        "message": 'found "oops", expected a number',
        "file": "data.csv",
        "line": 7,
        "column": "a",
    }


def test_the_input_is_not_overwritten(call: Run, tmp_path: Path) -> None:
    content = "a\n" + "1\n2\n" * 30
    (tmp_path / "data.csv").write_text(content)
    (tmp_path / "link.csv").symlink_to("data.csv")
    for name in ("data.csv", "./data.csv", "link.csv"):
        shown = name.removeprefix("./")
        for option in ("--output", "--report", "--model", "--checkpoint"):
            done = call("forecast", "data.csv", "--horizon", "2", option, name)
            assert done.returncode == 2
            assert f"{option}: {shown} is also the input" in done.stderr
    assert (tmp_path / "data.csv").read_text() == content


def test_missing_files_and_unknown_commands_are_errors(run: Run, tmp_path: Path) -> None:
    for name, said in (
        ("no.csv", "no such file"),
        (".", "has no CSV"),
        ("no.parquet", "no such"),
    ):
        done = run("forecast", name, "--horizon", "2")
        assert done.returncode == 2
        assert said in done.stderr
    assert "--horizon" in run("forecast", "no.csv").stderr
    assert run("forecats").returncode == 2


def test_parquet_output_without_a_writer_is_an_error(
    call: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memattn.forecast.data import table_files

    find = table_files.importlib.util.find_spec
    monkeypatch.setattr(
        table_files.importlib.util,
        "find_spec",
        lambda name: None if name in ("polars", "pyarrow") else find(name),
    )
    done = call("forecast", data, "--horizon", "2", "--output", "f.parquet")
    assert done.returncode == 2
    assert "pip install 'memattn[polars]'" in done.stderr


def test_an_old_forecast_stays_when_the_new_one_fails(call: Run, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\nx\n2\n3\n")
    (tmp_path / "forecast.csv").write_text("old")
    assert call("forecast", "data.csv", "--horizon", "1").returncode == 2
    assert (tmp_path / "forecast.csv").read_text() == "old"
