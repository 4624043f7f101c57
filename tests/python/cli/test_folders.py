"""Folders of files on the command line are read in passes, with forecasts written as they come."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.forecast import Forecaster

from .conftest import heed_signals

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--horizon", "3", "--steps", "5")
MEMORY = ("--memory", "2GiB")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    months = pd.date_range("2015-01-01", periods=50, freq="MS")
    y = 20 + np.random.default_rng(0).gamma(3, size=(30, 50)) + np.arange(50) % 12
    ids = np.repeat([f"s{k:02d}" for k in range(30)], 50)
    return pd.DataFrame({"unique_id": ids, "ds": np.tile(months, 30), "y": y.ravel()})


@pytest.fixture
def folder(rows: pd.DataFrame, tmp_path: Path) -> str:
    (tmp_path / "in").mkdir()
    for k in range(3):
        part = rows[rows.unique_id.str[-1:].astype(int) % 3 == k]
        part.to_parquet(tmp_path / "in" / f"{k}.parquet", index=False)
    return "in"


def same(path: Path, expected: pd.DataFrame) -> None:
    found = pl.read_parquet(path).to_pandas().sort_values(["unique_id", "ds"], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True, check_dtype=False)


def test_forecast_of_a_folder_equals_the_forecaster(
    call: Run, folder: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    expected = Forecaster(3, steps=5).fit(rows).predict(level=[80, 95])
    for data in (folder, "in/*.parquet"):
        words = ("forecast", data, *QUICK, *MEMORY, "-o", "o.parquet", "--model", "m")
        done = call(*words)
        assert (done.returncode, done.stderr) == (0, "")
        for said in (f"{data}: 30 series, 1,500 values", "Accuracy on", "30 series, 90 rows",
                     "wrote o.parquet", "wrote m"):  # fmt: skip
            assert said in done.stdout
        same(tmp_path / "o.parquet", expected)
        document = json.loads(call(*words, "--json").stdout)
        assert document["input"] == {
            "file": data, "series": 30, "values": 1500, "spacing": "1 month", "season": 12
        }  # fmt: skip
        assert document["forecast"] is None
        assert document["files"] == {"forecast": "o.parquet", "report": None, "model": "m"}
        assert document["accuracy"]["windows"] > 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "m", "o.parquet"]


def test_forecast_of_csv_files_equals_the_forecaster(
    call: Run, folder: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    expected = Forecaster(3, steps=5).fit(rows).predict(level=[80, 95])
    for k in range(3):
        part = pd.read_parquet(tmp_path / folder / f"{k}.parquet")
        part.to_csv(tmp_path / folder / f"{k}.csv.gz", index=False)
    done = call("forecast", folder, *QUICK, *MEMORY, "-o", "o.parquet")
    assert done.returncode == 2
    assert "found Parquet and CSV files, such as 0.parquet and 0.csv.gz" in done.stderr
    for memory in (MEMORY, ()):
        done = call("forecast", "in/*.csv.gz", *QUICK, *memory, "-o", "o.parquet")
        assert (done.returncode, done.stderr) == (0, "")
        assert "30 series, 1,500 values" in done.stdout
        same(tmp_path / "o.parquet", expected)


def test_train_and_predict_in_passes_equal_the_forecaster(
    call: Run, folder: str, rows: pd.DataFrame, tmp_path: Path
) -> None:
    done = call("train", folder, *QUICK, *MEMORY, "-o", "m")
    assert (done.returncode, done.stderr) == (0, "")
    done = call("predict", "m", folder, *MEMORY, "-o", "o.parquet", "--level", "80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 series, 90 rows of forecasts\nwrote o.parquet" in done.stdout
    same(tmp_path / "o.parquet", Forecaster(3, steps=5).fit(rows).predict(level=80))
    done = call("predict", "m", folder, *MEMORY, "--json")
    assert json.loads(done.stdout)["input"]["series"] == 30
    assert len((tmp_path / "forecast.csv").read_text().splitlines()) == 91


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("forecast", "in", *QUICK, "--memory", "2 bags"), "--memory: found '2 bags', expected"),
        (
            ("forecast", "in", *QUICK, *MEMORY, "-o", "-"),
            "--output: cannot be - when DATA is read in passes",
        ),
        (("forecast", "in", *QUICK, *MEMORY, "--report", "r"), "--report: needs all series in"),
        (("forecast", "-", *QUICK, *MEMORY), "--memory: cannot be used with standard input"),
        (("forecast", "no", *QUICK, *MEMORY), "no: no such file or folder"),
        (("forecast", "n/*.parquet", *QUICK, *MEMORY), "n/*.parquet: no file matches it"),
        (("predict", "in", *MEMORY), "in: found a folder, expected a file of"),
    ],
)
def test_bad_options_and_paths_are_errors_that_write_nothing(
    call: Run, folder: str, words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == [folder]


def test_an_empty_folder_is_said(call: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = call("forecast", "empty", *QUICK)
    assert done.returncode == 2
    assert done.stderr == "memattn: empty: the folder has no CSV or Parquet files\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_unfinished_and_temporary_files(
    call: Run, folder: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Parts are so small that rows are sorted in a temporary folder, which is removed too."""
    assert call("train", folder, *QUICK, "-o", "m").returncode == 0
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    code = (
        "import sys, time\nfrom memattn.forecast import file_passes\n"
        "file_passes.FEWEST_ROWS = file_passes.MOST_ROWS = 100\n"
        "write = file_passes._CsvWriter.__call__\n"
        "def slow(*given):\n    write(*given)\n    print('.', flush=True)\n    time.sleep(60)\n"
        "file_passes._CsvWriter.__call__ = slow\n"
        "from memattn.cli import main\n"
        "sys.argv[1:] = ['predict', 'm', 'in', '--memory', '1GiB', '-o', 'o.csv', '--quiet']\n"
        "sys.exit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)}, text=True, preexec_fn=heed_signals,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == ".\n"
        assert [one.name[:8] for one in temporary.iterdir()] == ["memattn-"]
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert time.monotonic() - begin < 5
        assert "no file was left half-written" in process.stderr.read()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "m", "tmp"]
    assert not list(temporary.iterdir())
