"""Tables of accuracy and of settings, as a terminal shows them."""

import io
from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import pytest
from rich.console import Console

from memattn.cli import output, render
from memattn.cli.render import print_accuracy, print_settings
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.panel import Form, Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.windows import Windows, rolling_windows
from memattn.forecast.evaluation import Evaluation, evaluate
from memattn.forecast.forecaster_settings import Setting


def panel_of(*series: np.ndarray, season: int = 1) -> Panel:
    ids = np.empty(len(series), dtype=object)
    ids[:] = [f"s{k}" for k in range(len(series))]
    return Panel(
        ids=ids,
        values=np.concatenate(series),
        offsets=np.cumsum([0, *map(len, series)]),
        frequency=Frequency(Unit.NUMBER, 1),
        season=season,
        last=np.full(len(series), 100),
        day=np.zeros(len(series), dtype=np.int64),
        zone=None,
        notes=(),
        form=Form("csv"),
    )


def walks(count: int, length: int = 60, season: int = 1) -> Panel:
    rng = np.random.default_rng(3)
    series = (rng.normal(size=length).cumsum() + 50 for _ in range(count))
    return panel_of(*series, season=season)


Shown = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Returns the text that a function prints to a terminal of some width."""

    def call(function: Callable[..., None], *arguments: object, width: int = 80) -> str:
        output.reset()  # a test before may have run a command with --json
        options = {"markup": False, "highlight": False, "color_system": None}
        console = Console(file=io.StringIO(), width=width, force_terminal=True, **options)
        for module in (output, render):
            monkeypatch.setattr(module, "console", lambda: console)
        monkeypatch.setattr(output, "stream", lambda: console.file)
        function(*arguments)
        return console.file.getvalue()  # type: ignore[attr-defined]

    return call


def perfect(panel: Panel, horizon: int, windows: Windows, error: float = 0.0) -> Evaluation:
    forecasts = windows.truth(panel, horizon) + error
    ends = (forecasts - 1, forecasts + 1)
    return evaluate(panel, windows, forecasts, {80.0: ends})


def test_accuracy_has_tables_by_method_step_and_series(shown: Shown) -> None:
    panel = walks(3)
    text = shown(print_accuracy, perfect(panel, 13, rolling_windows(panel, 13, 4)), "Accuracy:")
    lines = [line.split() for line in text.splitlines()]
    assert ["sMAPE", "%", "MASE", "RMSSE", "MAE"] in lines
    assert ["memattn", "0.00", "0.000", "0.000", "0.000"] in lines
    assert ["1-3", "4-5", "6-7", "8-9", "10-11", "12-13"] in lines
    assert any(line[:2] == ["s2", "0.000"] for line in lines)
    assert "Coverage on 12 windows:\n  100.0 % of values lie inside their 80 % interval" in text
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("  note:"))


def test_many_series_have_no_table_by_series(shown: Shown) -> None:
    panel = walks(9)
    text = shown(print_accuracy, perfect(panel, 1, rolling_windows(panel, 1, 4)), "Accuracy:")
    assert "by series" not in text
    assert "by step" not in text  # there is only one


def test_coverage_that_is_not_measured_is_reported(shown: Shown) -> None:
    panel = walks(1)
    windows = rolling_windows(panel, 2, 3)
    empty = np.full((3, 2), np.nan)
    result = evaluate(panel, windows, np.ones((3, 2)), {80.0: (empty, empty)})
    assert "not measured, too few windows were held out" in shown(
        print_accuracy, result, "Accuracy:"
    )


def test_given_settings_are_not_printed(shown: Shown) -> None:
    chosen = {
        "horizon": Setting(3, "as given"),
        "season": Setting(7, "usual"),
        "lookbacks": Setting((4, 5), "validation chose them"),
    }
    text = shown(print_settings, MappingProxyType(chosen), width=60)
    assert text == "\nSettings:\n  rows in each input window: 4, 5 (validation chose them)\n"


def test_without_a_season_there_is_one_naive_method(shown: Shown) -> None:
    for season, lines in ((1, 0), (7, 2)):
        panel = walks(1, season=season)
        text = shown(print_accuracy, perfect(panel, 3, rolling_windows(panel, 3, 4)), "Accuracy:")
        assert text.count("seasonal-naive") == lines
