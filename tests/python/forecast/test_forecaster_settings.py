"""The settings that the forecaster chooses from frequency, season and lengths."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.forecaster_settings import Setting, choose_settings


def test_settings_are_chosen_by_frequency_and_have_a_reason() -> None:
    lengths = np.full(1000, 100)
    cases = [
        (Frequency(Unit.MONTH, 12), 1, (6,), 2, 250),
        (Frequency(Unit.MONTH, 3), 4, (10,), 20, 600),
        (Frequency(Unit.MONTH, 1), 12, (36,), 24, 1000),
        (Frequency(Unit.ROW, 1), 1, (32,), 8, 400),
        (Frequency(Unit.DAY, 1), 7, (21,), 14, 1000),
        (Frequency(Unit.MICROSECOND, 3_600_000_000), 24, (72,), 48, 1000),
    ]
    given = ForecasterOptions(6)
    for frequency, season, lookbacks, min_history, steps in cases:
        found = choose_settings(lengths, frequency, season, given)
        chosen = (found["lookbacks"].value, found["min_history"].value, found["steps"].value)
        assert chosen == (lookbacks, min_history, steps)
        assert all(setting.reason for setting in found.values())
    short = choose_settings(np.full(1000, 20), Frequency(Unit.MONTH, 1), 12, given)
    assert (short["lookbacks"].value, short["min_history"].value) == ((19,), 10)
    assert "at most 19" in short["lookbacks"].reason
    assert "half of the series have at most 20 rows" in short["min_history"].reason
    few = choose_settings(lengths[:2], Frequency(Unit.MONTH, 1), 12, given)
    assert few["steps"].value == 60 + 25 // 3
    assert (few["windows"].value, few["logs"].value, few["layers"].value) == (
        "last_values",
        True,
        2,
    )
    asked = choose_settings(lengths, cases[0][0], 1, replace(given, lookback=3, steps=7))
    assert (asked["lookbacks"].value, asked["steps"].value) == ((3,), 7)
    hourly = choose_settings(lengths, cases[5][0], 24, given)
    assert {name: str(hourly[name]) for name in ("layers", "members", "lookbacks")} == {
        "layers": "2 (chosen on M3's validation set)",
        "members": "1 (default; 10 are more accurate)",
        "lookbacks": "72 (the same number of seasons as for M3's monthly series)",
    }
    assert str(hourly["min_history"]) == "48 (two seasons)"
    assert str(hourly["steps"]) == "1000 (chosen on M3's monthly validation set)"
    ten = choose_settings(lengths, cases[5][0], 24, replace(given, members=10))
    assert ten["members"].reason == "as given"


def test_series_with_many_long_seasons_use_past_seasons() -> None:
    hour = Frequency(Unit.MICROSECOND, 3_600_000_000)
    enough = 300 * 24 + 96
    given = ForecasterOptions(96, members=2)

    def chosen(lengths: list[int], season: int = 24, **others: Any) -> dict[str, Any]:
        found = choose_settings(np.array(lengths), hour, season, replace(given, **others))
        assert all(setting.reason for setting in found.values())
        return {name: setting.value for name, setting in found.items()}

    found = chosen([enough, 10])
    assert found == found | {
        "windows": "past_seasons",
        "logs": False,
        "layers": None,
        "loss": "huber",
        "lookbacks": (336, 336),
        "min_history": 336,
        "steps": 600,
    }
    asked = chosen([enough], lookback=48, loss="mae", steps=7)
    assert asked == asked | {"loss": "mae", "lookbacks": (48, 48), "min_history": 48, "steps": 7}
    for others in (
        chosen([enough, 10, 10]),
        chosen([enough - 1]),
        chosen([enough], season=23),
        chosen([enough], lookback=50),
        chosen([enough], horizon=95),
    ):
        assert others["windows"] == "last_values"


def test_the_text_of_settings_is_short() -> None:
    values = {
        (18, 24, 36): "18, 24, 36",
        (18, 24, 18, 24): "18, 24 (of 4 members)",
        tuple(range(5, 10_000)): "5 to 9999",
        12_345: "12,345",
        9_999: "9999",
        "past_seasons": "past seasons",
        None: "None",
    }
    for value, text in values.items():
        assert str(Setting(value, "why")) == f"{text} (why)"
    assert (Setting(True, "").text, Setting(False, "").text) == ("yes", "no")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "none"),
        (("price", "weather"), "price, weather"),
        (tuple("abcdefg"), "a, b, c, d, e and 2 more"),
        ((0, 2), "0, 2"),
        (False, "no"),
    ],
)
def test_the_text_of_lists_and_flags(value: object, text: str) -> None:
    assert Setting(value, "why").text == text
    assert str(Setting(value, "why")) == f"{text} (why)"
