"""`memattn forecast` without errors: its files and its output."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import memattn
from memattn.forecast import Forecaster

from ..forecast.panels import assert_holds
from .conftest import COMMAND, plain_environment

Run = Callable[..., subprocess.CompletedProcess[str]]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
QUICK = ("--steps", "5")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_writes_a_forecast_and_prints_its_accuracy(run: Run, data: Path, tmp_path: Path) -> None:
    done = run("forecast", data, "--horizon", "24", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    for said in (
        *(
            "1 series, 400 values",
            "one row every hour",
            "season: 24",
            "input window: 72 (",
            "naive",
        ),
        *(
            "sMAPE %",
            "MASE by step ahead",
            "% of values lie inside their 80 % interval",
            "wrote forecast.csv",
        ),
        " held-out windows of 24 rows, by a model trained without them",
    ):
        assert said in done.stdout
    assert not CONTROL.search(done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["forecast.csv"]
    rows = read_rows(tmp_path / "forecast.csv")
    assert len(rows) == 24
    assert list(rows[0])[:3] == ["unique_id", "time", "memattn"]
    assert rows[0]["unique_id"] == "value"
    assert rows[0]["time"] == "2024-03-17T16:00Z"
    for row in rows:
        names = ("lo-95", "lo-80", "", "hi-80", "hi-95")
        values = [float(row["memattn" + (f"-{name}" if name else "")]) for name in names]
        assert values == sorted(values)


def test_forecast_of_a_long_file_equals_the_forecaster(
    call: Run, shops: Path, tmp_path: Path
) -> None:
    done = call("forecast", shops, "--horizon", "6", *QUICK, "--model", "shops.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert "42 series, 1,554 values" in done.stdout
    assert "1 row without a value, first line" in done.stdout
    assert "sorted" in done.stdout
    assert "calibrated on windows of other series" in done.stdout
    assert "MASE by series" not in done.stdout  # too many
    rows = read_rows(tmp_path / "forecast.csv")
    assert len(rows) == 42 * 6
    expected = Forecaster(6, steps=5).fit(shops).predict(level=[80, 95])
    assert_holds(tmp_path / "forecast.csv", expected)
    loaded = Forecaster.load(tmp_path / "shops.safetensors")
    assert loaded.predict(level=[80, 95]).equals(expected)


def test_reads_and_writes_parquet(call: Run, shops: Path, tmp_path: Path) -> None:
    pl.read_csv(shops, try_parse_dates=True).write_parquet(tmp_path / "shops.parquet")
    plain = call("forecast", shops, "--horizon", "3", *QUICK)
    assert plain.returncode == 0
    options = ("--horizon", "3", *QUICK, "--output", "next.parquet")
    for source in ("shops.parquet", shops):
        assert call("forecast", source, *options).returncode == 0
        table = pl.read_parquet(tmp_path / "next.parquet")
        assert table.schema["unique_id"] == pl.String
        assert table["ds"].to_list()[0].isoformat()[:10] == "2023-01-01"
        expected = [float(row["memattn"]) for row in read_rows(tmp_path / "forecast.csv")]
        np.testing.assert_allclose(table["memattn"], expected, rtol=1e-7)


def test_options_equal_arguments_of_the_forecaster(call: Run, shops: Path, tmp_path: Path) -> None:
    options = ("--members", "2", "--loss", "mae", "--season", "4", "--lookback", "9")
    more = ("--steps", "6", "--seed", "7", "--freq", "MS", "--level", "50", "--level", "90")
    assert call("forecast", shops, "--horizon", "4", *options, *more).returncode == 0
    forecaster = Forecaster(4, "MS", season=4, lookback=9, members=2, loss="mae", seed=7, steps=6)
    expected = forecaster.fit(shops).predict(level=[50, 90])
    assert_holds(tmp_path / "forecast.csv", expected)


def test_options_name_the_columns_of_ids_times_and_targets(call: Run, tmp_path: Path) -> None:
    rows = [f"{shop},{10 + k % 3},{k},x" for shop in "ab" for k in range(30)]
    (tmp_path / "in.csv").write_text("\n".join(["shop,sold,week,note", *rows]) + "\n")
    names = ("--id", "shop", "--time", "week", "--target", "sold")
    assert call("forecast", "in.csv", "--horizon", "2", *QUICK, *names).returncode == 0
    rows = read_rows(tmp_path / "forecast.csv")
    assert [(row["shop"], row["week"]) for row in rows] == [
        *(("a", "30"), ("a", "31"), ("b", "30"), ("b", "31"))
    ]


def test_target_selects_columns_of_a_wide_file(call: Run, tmp_path: Path) -> None:
    rows = [f"2024-01-01T{k // 60:02d}:{k % 60:02d},{k % 5},{k % 7},{k % 3}" for k in range(200)]
    (tmp_path / "in.csv").write_text("\n".join(["time,a,b,c", *rows]) + "\n")
    options = ("--horizon", "2", *QUICK, "--target", "c", "--target", "a", "--model", "m")
    done = call("forecast", "in.csv", *options)
    assert done.returncode == 0
    assert "MASE by series" in done.stdout
    assert [row["unique_id"] for row in read_rows(tmp_path / "forecast.csv")] == list("ccaa")
    before = (tmp_path / "forecast.csv").read_text()
    assert call("predict", "m", "in.csv").returncode == 0  # the model knows the names
    assert (tmp_path / "forecast.csv").read_text() == before
    assert call("forecast", "in.csv", "--horizon", "2", *QUICK, "--target", "b").returncode == 0
    assert [row["unique_id"] for row in read_rows(tmp_path / "forecast.csv")] == ["b", "b"]


def test_several_utc_offsets_are_noted(call: Run, tmp_path: Path) -> None:
    rows = [f"2024-03-{k + 1:02d}T12:00+0{1 + k // 20}:00,{k % 4}" for k in range(30)]
    (tmp_path / "in.csv").write_text("\n".join(["ds,y", *rows]) + "\n")
    done = call("forecast", "in.csv", "--horizon", "1", *QUICK)
    assert done.returncode == 0
    assert "2 offsets from UTC in one column" in done.stdout


def test_json_is_one_document(run: Run, data: Path, tmp_path: Path) -> None:
    options = ("--horizon", "6", *QUICK, "--output", "o.csv", "--model", "m.safetensors")
    done = run("forecast", data, *options, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["input"] == {
        "file": str(data),
        "series": 1,
        "values": 400,
        "spacing": "1 hour",
        "season": 24,
    }
    assert document["settings"]["steps"] == {"value": 5, "reason": "as given"}
    assert {note["kind"] for note in document["notes"]} >= {"wide", "frequency", "calibration"}
    files = {"forecast": "o.csv", "report": None, "model": "m.safetensors"}
    assert document["files"] == files
    accuracy = document["accuracy"]
    assert set(accuracy["overall"]) == {"memattn", "seasonal-naive", "naive"}
    assert set(accuracy["overall"]["naive"]) == {"smape", "mase", "rmsse", "mae", "unscaled"}
    assert len(accuracy["by_step"]["naive"]["mase"]) == 6
    assert accuracy["coverage"]["80"]["calibrated_on"] == "earlier windows of the series"
    assert 40 < accuracy["coverage"]["80"]["percent"] <= accuracy["coverage"]["95"]["percent"]
    rows = read_rows(tmp_path / "o.csv")
    for row, entry in zip(rows, document["forecast"], strict=True):
        assert row["time"] == entry["time"]
        assert float(row["memattn-lo-95"]) == pytest.approx(entry["memattn-lo-95"], rel=1e-6)


def test_json_has_no_nan(call: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n" + "5\n" * 30 + "6\n")
    done = call("forecast", "a.csv", "--horizon", "2", *QUICK, "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["accuracy"]["overall"]["memattn"]["unscaled"] > 0
    assert document["accuracy"]["coverage"]["80"]["percent"] is None


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 8])
def test_very_short_series_are_forecast(call: Run, tmp_path: Path, rows: int) -> None:
    (tmp_path / "a.csv").write_text("a\n" + "".join(f"{k + 1}\n" for k in range(rows)))
    done = call("forecast", "a.csv", "--horizon", "3", "--freq", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_rows(tmp_path / "forecast.csv")) == 3
    as_json = call("forecast", "a.csv", "--horizon", "3", "--freq", "1", "--json")
    json.loads(as_json.stdout, parse_constant=pytest.fail)


def test_report_is_a_page_that_names_the_data(call: Run, data: Path, tmp_path: Path) -> None:
    done = call("forecast", data, "--horizon", "6", *QUICK, "--report", "r.html", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["files"]["report"] == "r.html"
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert f"<bdi>{data.name}</bdi>" in page


def test_the_same_seed_gives_the_same_bytes(call: Run, data: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        call("forecast", data, "--horizon", "6", *QUICK, "--output", name, "--seed", "9")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_control_characters_in_column_names_are_escaped(run: Run, tmp_path: Path) -> None:
    name = "[red]\x1b]0;title\x07é"
    rows = [f"{k % 5},{k % 3}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join([f'"{name}",b', *rows]))
    done = run("forecast", "a.csv", "--horizon", "2", *QUICK, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert not CONTROL.search(done.stdout)
    assert r"[red]\x1b]0;title\x07\xe9" in done.stdout.replace("\n", "")


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_the_width_of_a_terminal(data: Path, tmp_path: Path, width: int) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "forecast", str(data), "--horizon", "6", *QUICK]
    environment = plain_environment() | {"TERM": "dumb", "COLUMNS": str(width)}
    with subprocess.Popen(command, stdout=theirs, cwd=tmp_path, env=environment) as process:
        os.close(theirs)
        shown = read_all(ours)
        assert process.wait(60) == 0
    lines = re.sub(rb"\x1b\[[\d;]*m", b"", shown).decode().split("\r\n")
    long = [line for line in lines if len(line) > width]
    assert long == [line for line in long if line.startswith(str(data))]  # the path, in one piece
    assert any("seasonal-naive" in line for line in lines)


def read_all(terminal: int) -> bytes:
    shown = b""
    try:
        while block := os.read(terminal, 65536):
            shown += block
    except OSError:  # at the end of a terminal's output
        pass
    os.close(terminal)
    return shown


def test_a_terminal_shows_a_progress_bar(data: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, "forecast", str(data), "--horizon", "6", "--steps", "300"]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=tmp_path,
        env=plain_environment() | {"TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(theirs)
        shown = read_all(ours)
        assert process.wait(60) == 0
    assert b"training" in shown
    assert b"of 600, loss" in shown  # both trainings
    assert b"left" in shown
    assert shown.rstrip().endswith(b"\x1b[2K") or b"\x1b[?25h" in shown  # the cursor is back


@pytest.mark.parametrize("arguments", [(), ("forecast",)])
def test_help_shows_usage_example_and_exit_codes(call: Run, arguments: tuple[str, ...]) -> None:
    done = call(*arguments, "--help")
    assert done.returncode == 0
    assert "Usage: memattn" in done.stdout
    assert "memattn forecast sales.csv --horizon 14" in done.stdout
    assert "143 SIGTERM" in done.stdout


TRAINING = (
    *("horizon", "id", "time", "target", "freq", "day-first", "on-bad-series", "season", "members"),
    *("lookback", "loss", "steps"),
    *("futr-exog", "prior", "hist-exog", "stat-exog", "static", "calendar", "country"),
    *("seed", "no-intervals", "val-size", "checkpoint", "resume", "level", "output"),
    *("json", "quiet", "threads"),
)
OPTIONS = {
    "forecast": (*TRAINING, "future", "report", "model", "memory"),
    "train": (*TRAINING, "start-from", "memory"),
    "backtest": (*TRAINING, "windows", "step-size", "refit"),
    "pretrain": (
        *("horizon", "id", "time", "target", "freq", "day-first", "on-bad-series", "season"),
        *("members", "lookback", "steps", "seed", "half", "output", "json", "quiet", "threads"),
    ),
    "predict": (
        "horizon",
        "future",
        "static",
        "memory",
        "level",
        "output",
        "json",
        "quiet",
        "threads",
    ),
    "convert": ("layer", "json", "quiet", "threads"),
    "inspect": ("layer", "data", "second", "picture", "json", "quiet", "threads"),
    "doctor": ("layer", "data", "second", "repair", "seed", "json", "quiet", "threads"),
    "docs": ("json", "quiet", "threads"),
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_names_every_option(call: Run, command: str) -> None:
    text = call(command, "--help").stdout
    _, _, options = text.partition(" options:\n")
    shown = re.findall(r"^  (?:-\w, )?--([\w-]+)", options, re.MULTILINE)
    assert re.search(rf"\nExamples:\n  memattn {command}[ \n]", text)
    assert "<=" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert sorted(shown) == sorted([*OPTIONS[command], "help"])


def test_help_imports_no_heavy_package() -> None:
    code = (
        "import sys; from memattn.cli.app import run; run(['forecast', '--help']);"
        "assert not {'numpy', 'pandas', 'matplotlib', 'rich', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version_is_printed(run: Run) -> None:
    assert run("--version").stdout == f"memattn {memattn.__version__}\n"


def test_a_missing_click_is_an_error_with_advice(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec;"
        "u.find_spec = lambda name: None if name == 'click' else find(name);"
        "sys.argv = ['memattn', '--help'];"
        "from memattn.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "memattn: the command line needs: pip install 'memattn[forecast]' or 'memattn[convert]'\n"
    )


def test_a_closed_pipe_prints_no_traceback(data: Path, tmp_path: Path) -> None:
    command = [*COMMAND, "forecast", str(data), "--horizon", "2", *QUICK]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(60) == 1
