"""The sentences of a report agree with the numbers."""

import numpy as np
import pytest

from memattn.forecast.data.windows import rolling_windows
from memattn.forecast.evaluation import evaluate
from memattn.forecast.report.memory_reading import KINDS, MemoryReading, SlotEffects
from memattn.forecast.report.season_phases import Phases
from memattn.forecast.report.series_section import SeriesForecast
from memattn.forecast.report.words import (
    about_effects,
    about_series,
    about_shares,
    about_steps,
    about_usage,
    headline,
    relation,
    relation_in_short,
    short,
)

from ..panels import flat_panel


def test_relation_compares_an_error_with_a_baseline() -> None:
    assert relation(0.75, 1.0, "naive") == "25 % lower than naive's"
    assert relation(1.5, 1.0, "naive") == "50 % higher than naive's"
    assert relation(1.001, 1.0, "naive") == "equal to naive's"
    assert relation(0.0, 0.0, "naive") == "equal to naive's"
    assert relation(1.0, 0.0, "naive") == "not comparable with naive's, which is 0"


@pytest.mark.parametrize(
    ("forecast", "said", "in_short"),
    [(0.5, "50 % lower", "50 % lower"), (1.5, "50 % higher", "50 % higher")],
)
def test_headline_and_about_steps_compare_with_naive(
    forecast: float, said: str, in_short: str
) -> None:
    """On a ramp, naive is wrong by k at step k, and the model by a share of that."""
    panel = flat_panel([np.arange(1.0, 21.0), np.arange(1.0, 31.0) * 2])
    windows = rolling_windows(panel, 3, 2)
    truth = windows.truth(panel, 3)
    wrong = truth - (truth[:, :1] - truth[:, 1:2] + truth[:, :1])
    evaluation = evaluate(panel, windows, truth + forecast * wrong, {})
    text = headline(evaluation, [])
    better = 2 if forecast < 1 else 0
    assert text == (
        f"On held-out rows, the error of the model is {said} than naive's."
        f" It is lower than naive's on {better} of 2 series."
    )
    assert relation_in_short(evaluation) == in_short
    below = 3 if forecast < 1 else 0
    assert about_steps(evaluation) == (
        f"Lower is better. The model is below naive at {below} of 3 steps. At step 3 its error is"
        " 3.0 times that of step 1."
    )


def series(forecast: float, before: float, high: float = 9.0) -> SeriesForecast:
    two = np.arange(2)
    ends = {80.0: (np.zeros(2), np.array([9.0, high]))}
    return SeriesForecast(
        0, two, two + 1.0, two, np.full(2, forecast), np.full(2, before), ends, None
    )


def test_about_series_compares_with_the_past_and_the_baseline() -> None:
    found = about_series(series(11, 10), 1.25, 1, "naive")
    expected = "The mean forecast is 11.00, 10 % above the last value (10.00). On 1 held-out window"
    assert found == f"{expected} its error was 1.25 times naive's."
    found = about_series(series(9, 10, np.nan), np.nan, 0, "seasonal-naive")
    assert found == (
        "The mean forecast is 9.000, 10 % below the mean of the last season (10.00). Steps"
        " that no held-out window reaches have no interval."
    )
    found = about_series(series(-1, 2), 1.0, 3, "naive")
    assert found.startswith("The mean forecast is -1.000; the last value was 2.000.")
    assert found.endswith("On 3 held-out windows its error was equal to naive's.")


def test_about_effects_names_the_slot_that_matters_most() -> None:
    movement = np.full((1, 32), 0.1)
    movement[0, 3] = 2.345
    error, margin = np.zeros((1, 32)), np.full((1, 32), 0.1)
    error[0, [3, 5, 6, 7, 8]] = -0.5, 0.2, 0.3, 0.05, -0.05
    found = about_effects(SlotEffects(40, movement, True, error, margin, 40), 0)
    assert "Removing slot 3 changes forecasts most: by 2.3 % on 40 held-out windows." in found
    assert "Their error shrinks by 0.50 %" in found
    assert "for 2 of 32 slots, and lowers it by more than two for 1." in found
    few = about_effects(SlotEffects(40, movement, True, error, margin, 9), 0)
    assert few.endswith("The windows overlap too much to distinguish these figures from chance.")
    alone = about_effects(SlotEffects(1, movement, False), 0)
    assert alone.endswith(
        "Removing slot 3 changes forecasts most: by 2.3 % of the mean change over a season on 1"
        " window."
    )


def test_about_shares_names_the_slots_that_stand_out() -> None:
    usage = np.array([[0.25, 0.75]])
    by_phase = np.stack([usage, usage], axis=-1)
    by_phase[0, :, 1] = 0.5, 0.5
    groups = len(KINDS) * len(KINDS[0])
    by_kind = np.repeat(usage[..., None], groups, axis=-1)
    phases = Phases(np.zeros(1, np.int64), ("Jan", "Feb"), "month")
    reading = MemoryReading(0, 4, 9, usage, by_phase, phases, by_kind, [], None)
    order = np.array([1, 0])
    assert about_shares(reading, 0, order) == (
        "By month, slot 0 stands out most: in forecasts that begin in Feb, it gets 2.0 times"
        " its usual share. By kind of window, every slot is within 10 % of its usual share."
    )
    by_kind[0, 1, 5] = 0.9
    assert "slot 1 stands out most: in windows with rough steps," in about_shares(reading, 0, order)


def test_about_usage_counts_the_slots_with_half_of_the_attention() -> None:
    assert about_usage(np.array([0.1, 0.3, 0.6])) == (
        "1 slot gets half of the attention. The largest share is 60 %; equal shares would be"
        " 33.3 %."
    )
    assert about_usage(np.full(4, 0.25)).startswith("2 slots get half of the attention")


def test_short_names_are_printable_and_limited() -> None:
    assert short("a\x1b" + "b" * 100) == "a\\x1b" + "b" * 54 + "\u2026"
    assert short(7) == "7"
