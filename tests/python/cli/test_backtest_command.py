"""`memattn backtest`: tables of past windows."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from memattn.forecast import Forecaster

from ..forecast.panels import assert_holds

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--horizon", "3", "--steps", "5")


@pytest.mark.parametrize("refit", [False, True])
def test_output_and_table_equal_cross_validation(
    call: Run, shops: Path, tmp_path: Path, refit: bool
) -> None:
    options = ("--windows", "3", "--step-size", "2", *(["--refit"] if refit else []))
    done = call("backtest", shops, *QUICK, *options)
    assert (done.returncode, done.stderr) == (0, "")
    models = "a model for each window" if refit else "one model, trained on the rows before them"
    assert f"Accuracy on 126 windows of 3 rows, by {models}:" in done.stdout
    for said in (
        "seasonal-naive",
        "MASE by step ahead",
        "% of values lie inside their 80 % interval",
        "wrote backtest.csv",
    ):
        assert said in done.stdout
    expected = Forecaster(3, steps=5).cross_validation(
        str(shops), 3, step_size=2, refit=refit, level=[80, 95]
    )
    assert_holds(tmp_path / "backtest.csv", expected)


def test_json_accuracy_equals_that_of_the_table(call: Run, shops: Path, tmp_path: Path) -> None:
    done = call("backtest", shops, *QUICK, "--windows", "2", "--level", "60", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["windows"] == {"count": 2, "step_size": 3, "refit": False}
    with (tmp_path / "backtest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({(row["unique_id"], row["cutoff"]) for row in rows}) == 84
    errors = [abs(float(row["memattn"]) - float(row["y"])) for row in rows]
    accuracy = document["accuracy"]
    assert accuracy["overall"]["memattn"]["mae"] == pytest.approx(sum(errors) / len(rows), rel=1e-6)
    inside = [
        float(row["memattn-lo-60"]) <= float(row["y"]) <= float(row["memattn-hi-60"])
        for row in rows
    ]
    assert accuracy["coverage"]["60"]["percent"] == pytest.approx(100 * sum(inside) / len(rows))
    assert accuracy["coverage"]["60"]["windows"] == 84


def test_parquet_output_has_times_and_cutoffs(call: Run, shops: Path, tmp_path: Path) -> None:
    options = ("--windows", "1", "--output", "b.parquet")
    assert call("backtest", shops, *QUICK, *options).returncode == 0
    table = pl.read_parquet(tmp_path / "b.parquet")
    assert table.columns[:5] == ["unique_id", "ds", "cutoff", "y", "memattn"]
    assert table["cutoff"].dtype == table["ds"].dtype == pl.Datetime("us")


def test_series_too_short_for_the_horizon_are_an_error(call: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n2\n3\n")
    done = call("backtest", "a.csv", *QUICK, "--windows", "1")
    assert done.returncode == 2
    said = "DATA: the longest series has 3 values, expected more than horizon = 3"
    assert done.stderr == f"memattn: {said}\n"
    assert call("backtest", "a.csv", *QUICK, "--windows", "0").returncode == 2
    assert "--windows" in call("backtest", "a.csv", *QUICK).stderr


def test_windows_that_do_not_exist_are_counted(call: Run, tmp_path: Path) -> None:
    rows = "".join(f"2020-01-{day:02d},{day}\n" for day in range(1, 21))
    (tmp_path / "a.csv").write_text(f"ds,y\n{rows}")
    for windows, said in ((6, ""), (9, "note: 3 of 9 windows do not exist")):
        done = call("backtest", "a.csv", *QUICK, "--windows", str(windows))
        assert done.returncode == 0
        assert said in done.stdout
        assert ("do not exist" in done.stdout) == bool(said)
