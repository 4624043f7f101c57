"""Figures show all lines for any numbers, and their size is bounded."""

import re

import numpy as np
import pytest

from memattn.figure_style import figure_style
from memattn.forecast.data.frequency import parse_frequency
from memattn.forecast.report.figures import (
    draw_series,
    shown_opacities,
    step_noun,
    thinned,
    to_svg,
)
from memattn.forecast.report.series_section import SeriesForecast


def series(values: np.ndarray, forecast: np.ndarray, high: np.ndarray) -> SeriesForecast:
    rows, ahead = np.arange(len(values)), len(values) + np.arange(len(forecast))
    ends = {95.0: (forecast - 1, high)}
    return SeriesForecast(0, rows, values, ahead, forecast, forecast, ends, None)


def svg(shown: SeriesForecast) -> str:
    with figure_style():
        return str(to_svg(draw_series(shown, [95.0]), "test"))


def test_infinite_and_missing_bounds_are_drawn() -> None:
    values, forecast = np.arange(9.0), np.arange(9.0, 13.0)
    far = svg(series(values, forecast, np.full(4, 1e300)))
    assert svg(series(values, forecast, np.full(4, np.inf))) == far
    assert svg(series(values, forecast, forecast + 1)) != far
    missing = svg(series(values, forecast, np.full(4, np.nan)))
    assert missing != far
    assert "nan" not in missing.lower()


def test_wide_intervals_do_not_flatten_the_lines() -> None:
    values, forecast = np.arange(9.0), np.arange(9.0, 13.0)
    with figure_style():
        for high, top in ((forecast + 2, 15), (np.full(4, 1e9), 13 + 12)):
            axes = draw_series(series(values, forecast, high), [95.0]).axes[0]
            low, most = axes.get_ylim()
            assert low < 0
            assert forecast.max() < most < top + 1
        still = draw_series(series(np.full(4, 7.0), np.full(2, 7.0), np.full(2, 7.0)), [95.0])
        low, most = still.axes[0].get_ylim()
        assert low < 7 < most


def test_colours_are_css_variables() -> None:
    found = svg(series(np.arange(9.0), np.arange(9.0, 13.0), np.arange(9.0, 13.0) + 1))
    assert "var(--ink)" in found
    assert "var(--model)" in found
    # Black is matplotlib's own default.
    assert not set(re.findall(r"#[0-9a-f]{6}\b", found)) - {"#000000"}


def test_long_lines_are_thinned() -> None:
    assert len(range(400)[thinned(400)]) == 400
    assert len(range(100_000)[thinned(100_000)]) <= 400
    walk = np.random.default_rng(0).normal(size=2000).cumsum()
    assert len(svg(series(walk[:600], walk, walk + 1))) < 80_000


def test_opacities_are_those_of_overlapping_bands() -> None:
    (wide, first), (narrow, second) = shown_opacities([80.0, 95.0])
    assert (wide, narrow) == (95.0, 80.0)
    assert first == pytest.approx(0.16)
    assert second == pytest.approx(1 - 0.84 * 0.7, abs=1e-3)
    assert shown_opacities([]) == []


@pytest.mark.parametrize(
    ("freq", "noun"),
    [
        ("h", "hours"),
        ("2h", "rows"),
        ("15min", "rows"),
        ("D", "days"),
        ("B", "business days"),
        ("W", "weeks"),
        ("MS", "months"),
        ("QS", "quarters"),
        ("YS", "years"),
        (1, "rows"),
    ],
)
def test_step_noun_names_the_frequency(freq: object, noun: str) -> None:
    assert step_noun(parse_frequency(freq).frequency) == noun
