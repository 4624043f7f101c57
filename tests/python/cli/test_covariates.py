"""Covariates on the command line: the options, the files besides DATA, and the messages."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn.cli.backtest_command import backtest
from memattn.cli.forecast_command import forecast
from memattn.forecast import Forecaster

from ..forecast.panels import assert_holds

Run = Callable[..., subprocess.CompletedProcess[str]]
ROWS, HORIZON = 60, 4
QUICK = ("--horizon", str(HORIZON), "--steps", "5")
COLUMNS = ("--futr-exog", "price", "--futr-exog", "promo", "--hist-exog", "weather")
LISTS = {"futr_exog_list": ["price", "promo"], "hist_exog_list": ["weather"]}


def table(columns: str, rows: list[str]) -> str:
    return "\n".join([columns, *rows]) + "\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two shops, their plan and their regions; sales follow the price."""
    rng = np.random.default_rng(0)
    past, plan = [], []
    for shop in "ab":
        for k in range(ROWS + HORIZON):
            price, day = 2 + int(rng.integers(5)), np.datetime64("2024-01-01") + k
            known = f"{shop},{day},{price},{k % 7 == 3}"
            sales = 40 - 5 * price + rng.normal()
            weather = ("rain", "sun", "")[int(rng.integers(3))]
            if k < ROWS:
                past.append(f"{known},{weather},{shop == 'a'},{k},{sales:.3f}")
            else:
                plan.append(known)
    head = "unique_id,ds,price,promo"
    (tmp_path / "in.csv").write_text(table(f"{head},weather,town,row,y", past))
    (tmp_path / "plan.csv").write_text(table(head, plan))
    (tmp_path / "shops.csv").write_text(table("unique_id,region", ["a,north", "b,south"]))
    return tmp_path


def test_forecast_with_covariates_equals_the_forecaster(call: Run, files: Path) -> None:
    options = (*QUICK, "--steps", "100", *COLUMNS, "--future", "plan.csv")
    done = call("forecast", "in.csv", *options, "--model", "m")
    assert (done.returncode, done.stderr) == (0, "")
    forecaster = Forecaster(HORIZON, steps=100, **LISTS)
    panel = forecaster.with_future(forecaster.panel(files / "in.csv"), files / "plan.csv")
    assert_holds(files / "forecast.csv", forecaster.fit(panel).predict(level=[80, 95]))
    before = (files / "forecast.csv").read_text()
    # The model keeps the covariates known ahead; another plan replaces them.
    assert call("predict", "m").returncode == 0
    assert (files / "forecast.csv").read_text() == before
    plan = (files / "plan.csv").read_text()
    (files / "plan.csv").write_text(plan.replace(",2,", ",6,"))
    assert call("predict", "m", "--future", "plan.csv").returncode == 0
    assert (files / "forecast.csv").read_text() != before


def test_future_covariates_may_be_rows_of_the_data(call: Run, files: Path) -> None:
    assert call("forecast", "in.csv", *QUICK, *COLUMNS, "--future", "plan.csv").returncode == 0
    before = (files / "forecast.csv").read_text()
    rows = (files / "plan.csv").read_text().splitlines()[1:]
    (files / "in.csv").write_text(
        (files / "in.csv").read_text() + "".join(f"{row},,,,\n" for row in rows)
    )
    done = call("forecast", "in.csv", *QUICK, *COLUMNS)
    assert (done.returncode, done.stderr) == (0, "")
    assert (files / "forecast.csv").read_text() == before


def test_train_prints_the_chosen_covariate_settings(call: Run, files: Path) -> None:
    done = call("train", "in.csv", *QUICK, *COLUMNS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "covariates left out: " in done.stdout
    assert "rows between forecast origins: 1 (forecasts may begin at any row)" in done.stdout
    assert "without covariates, in standard deviations" in done.stdout


def test_the_note_on_unused_columns_names_the_options(call: Run, files: Path) -> None:
    said = (
        'not used: "town", "row"; list covariates in --futr-exog (known ahead), --hist-exog (in '
        "the past) or --stat-exog"
    )
    assert said in call("train", "in.csv", *QUICK, *COLUMNS).stdout
    document = json.loads(call("train", "in.csv", *QUICK, *COLUMNS, "--json").stdout)
    assert said in [note["text"] for note in document["notes"]]
    found = Forecaster(HORIZON, steps=5, **LISTS).panel(files / "in.csv").notes
    assert said.replace("--", "").replace("-exog", "_exog_list") in [note.text for note in found]


def test_static_covariates_are_read_from_a_file(call: Run, files: Path) -> None:
    options = (*QUICK, "--stat-exog", "region", "--static", "shops.csv")
    assert call("forecast", "in.csv", *options, "--model", "m").returncode == 0
    before = (files / "forecast.csv").read_text()
    forecaster = Forecaster(HORIZON, steps=5, stat_exog_list=["region"])
    forecaster.fit(files / "in.csv", static_df=files / "shops.csv")
    assert_holds(files / "forecast.csv", forecaster.predict(level=[80, 95]))
    assert call("predict", "m", "in.csv", "--static", "shops.csv").returncode == 0
    assert (files / "forecast.csv").read_text() == before
    refused = call("predict", "m", "--static", "shops.csv")
    assert refused.returncode == 2
    assert "--static needs DATA" in refused.stderr


def test_backtest_with_covariates_equals_cross_validation(call: Run, files: Path) -> None:
    done = call("backtest", "in.csv", *QUICK, *COLUMNS, "--windows", "2")
    assert (done.returncode, done.stderr) == (0, "")
    forecaster = Forecaster(HORIZON, steps=5, **LISTS)
    options = {"n_windows": 2, "step_size": HORIZON, "level": [80, 95]}
    assert_holds(files / "backtest.csv", forecaster.cross_validation(files / "in.csv", **options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (COLUMNS, '--future: pass the 4 rows after each series, with "price"'),
        (("--future", "plan.csv"), "--future needs --futr-exog"),
        (("--static", "shops.csv"), "--static needs --stat-exog"),
        (("--country", "NO"), "--country needs --calendar"),
        (("--futr-exog", "prize", "--future", "plan.csv"), '--futr-exog: found no column "prize"'),
        (("--hist-exog", "y"), "--hist-exog: 'y' is also in target_col"),
        (("--stat-exog", "row"), "list a column that changes in --futr-exog if it"),
        ((*COLUMNS, "--future", "none.csv"), "none.csv: --future: no such file"),
        ((*COLUMNS, "--future", "plan.csv", "-o", "plan.csv"), "plan.csv is also the input"),
        (("--calendar=weekly",), "found weekly, expected no value, or auto"),
    ],
)
def test_bad_covariate_options_are_errors_before_training(
    call: Run, files: Path, options: tuple[str, ...], said: str
) -> None:
    names = sorted(files.iterdir())
    done = call("forecast", "in.csv", *QUICK, *options)
    assert (done.returncode, done.stdout.count("Trained")) == (2, 0)
    assert said in done.stderr
    assert sorted(files.iterdir()) == names


def test_a_future_file_that_lacks_a_row_is_an_error(call: Run, files: Path) -> None:
    lines = (files / "plan.csv").read_text().splitlines(keepends=True)
    (files / "plan.csv").write_text("".join(lines[:-1]))
    done = call("forecast", "in.csv", *QUICK, *COLUMNS, "--future", "plan.csv")
    assert done.returncode == 2
    assert done.stderr.startswith('memattn: plan.csv, column "ds": ')
    assert 'there is no row for series "b" at 2024-03-04' in done.stderr


def test_json_error_locates_a_bad_cell_of_the_future_file(call: Run, files: Path) -> None:
    plan = (files / "plan.csv").read_text().splitlines()
    plan[3] = ",".join([*plan[3].split(",")[:2], "cheap", "True"])
    (files / "plan.csv").write_text("\n".join(plan) + "\n")
    done = call("forecast", "in.csv", *QUICK, *COLUMNS, "--future", "plan.csv", "--json")
    error = json.loads(done.stderr)["error"]
    assert (error["file"], error["line"], error["column"]) == ("plan.csv", 4, "price")
    assert error["message"] == '--future: found "cheap", expected a number'


@pytest.mark.parametrize(
    ("words", "calendar"),
    [
        ([], False),
        (["--calendar"], True),
        (["--calendar", "auto"], "auto"),
        (["--calendar=auto"], "auto"),
        (["--calendar", "--country", "NO"], True),
    ],
)
def test_calendar_takes_no_value_or_auto(words: list[str], calendar: bool | str) -> None:
    for command in (forecast, backtest):
        required = ["--horizon", "3", *(["--windows", "2"] if command is backtest else [])]
        for line in ([*required, *words, "in.csv"], ["in.csv", *required, *words]):
            params = command.make_context(str(command.name), line).params
            assert params["calendar"] == calendar
            assert params["data"] == Path("in.csv")


def test_words_after_two_dashes_are_arguments() -> None:
    params = forecast.make_context("forecast", ["--horizon", "3", "--", "--calendar"]).params
    assert (params["data"], params["calendar"]) == (Path("--calendar"), False)
