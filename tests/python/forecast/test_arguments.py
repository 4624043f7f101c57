"""Options of a Forecaster: checked at construction, read-only, and returned as they were given."""

import copy
import inspect
import math
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.forecaster_file import read_forecaster

from .panels import flat_panel, random_table

INVALID: list[tuple[dict[str, Any], str]] = [
    ({"horizon": 0}, "horizon: found 0, expected a whole number from 1 to"),
    ({"horizon": 1.5}, "horizon: found 1.5"),
    ({"horizon": True}, "horizon: found True"),
    ({"horizon": math.nan}, "horizon: found nan"),
    ({"horizon": None}, "horizon: found None"),
    ({"members": True}, "members: found True"),
    ({"members": None}, "members: found None"),
    ({"members": 0}, "members: found 0, expected a whole number from 1 to 10000"),
    ({"season": 0}, "season: found 0"),
    ({"season": "MS"}, "season: found 'MS'"),
    ({"lookback": -1}, "lookback: found -1"),
    ({"steps": math.nan}, "steps: found nan"),
    ({"seed": -1}, "seed: found -1"),
    ({"freq": "zzz"}, 'freq: found "zzz", expected a frequency such as'),
    ({"freq": True}, "freq: found"),
    ({"freq": math.nan}, "freq: found"),
    ({"freq": 0}, "freq: found 0"),
    ({"intervals": "no"}, "intervals: found 'no', expected True or False"),
    ({"intervals": 1}, "intervals: found 1, expected True or False"),
    ({"loss": "mse"}, "loss: found 'mse', expected one of 'smape', 'mae', 'huber', 'quantile'"),
    ({"loss": ["mae"]}, "loss: found"),
    ({"loss": np.array(["mae"])}, "loss: found"),
    ({"on_bad_series": np.array(["raise"])}, "on_bad_series: found"),
    ({"level": [80]}, 'level: needs loss="quantile"; with other losses pass levels to predict'),
    ({"level": [], "loss": "quantile"}, "level: is empty"),
    ({"level": [101], "loss": "quantile"}, "level: found 101, expected numbers between 0 and"),
    (
        {"level": 0.8, "loss": "quantile"},
        "level: found 0.8, expected a percentage; write 80 for 80 %",
    ),
    ({"level": math.nan, "loss": "quantile"}, "level: found nan"),
    ({"time_col": "y"}, "target_col: 'y' is also the time_col"),
    ({"id_col": "ds"}, "time_col: 'ds' is also the id_col"),
    ({"target_col": ["a", "b", "a"]}, "target_col: 'a' is also the target_col"),
    ({"target_col": ["a", "b"], "time_col": "y"}, "column of values: 'y' is also the time"),
    ({"target_col": "cutoff"}, "target_col: 'cutoff' is also the column of cross_valid"),
    ({"id_col": "memattn"}, "alias: 'memattn' is also the id_col"),
    ({"id_col": "m-lo-80", "alias": "m"}, "id_col: 'm-lo-80' is also an interval of the"),
    ({"alias": ""}, "alias: found '', expected the name of a column"),
    ({"time_col": None}, "time_col: found None, expected the name of a column"),
    ({"target_col": 3}, "target_col: found 3, expected the name of a column"),
    ({"target_col": []}, "target_col: is empty"),
    ({"sesaon": 3}, r"Forecaster: unknown option 'sesaon'; did you mean season\?"),
    ({"zzz": 3}, "Forecaster: unknown option 'zzz'$"),
]


@pytest.mark.parametrize(("options", "message"), INVALID, ids=str)
@pytest.mark.parametrize("made", [Forecaster, ForecasterOptions])
def test_invalid_options_are_refused(made: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        made(**({"horizon": 3} | options))


def test_only_horizon_and_freq_are_positional() -> None:
    assert Forecaster(3, "MS").freq == "MS"
    assert Forecaster(3, freq=7).freq == 7
    for seven in (7, np.int64(7)):
        with pytest.raises(TypeError, match="write season=7, or freq=7 for numbered rows"):
            Forecaster(3, seven)
    with pytest.raises(TypeError, match="positional"):
        Forecaster(3, "MS", 12)  # type: ignore[misc]
    shown = inspect.signature(Forecaster)
    assert list(shown.parameters) == [field.name for field in fields(ForecasterOptions)]
    assert shown.parameters["season"].kind is inspect.Parameter.KEYWORD_ONLY


def test_options_are_read_only() -> None:
    forecaster = Forecaster(3, season=12)
    assert (forecaster.horizon, forecaster.season, forecaster.freq) == (3, 12, None)
    for name in ("horizon", "season", "horizn"):
        with pytest.raises(AttributeError, match=f"Forecaster: {name} cannot be assigned"):
            setattr(forecaster, name, 9)
    with pytest.raises(FrozenInstanceError):
        ForecasterOptions(3).horizon = 9  # type: ignore[misc]
    assert forecaster.horizon == 3


def test_a_column_of_the_file_named_like_the_alias_is_refused(tmp_path: Path) -> None:
    """In a wide file, the file names the time column."""
    days = pd.date_range("2020", periods=30).astype(str)
    pd.DataFrame({"day": days, "a": np.ones(30)}).to_csv(tmp_path / "wide.csv", index=False)
    forecaster = Forecaster(2, steps=1, alias="day")
    for use in (forecaster.fit, forecaster.cross_validation, forecaster.panel):
        with pytest.raises(ValueError, match="alias: 'day' is a column of the data"):
            use(tmp_path / "wide.csv")


def test_options_are_stored_in_one_form() -> None:
    level = (one for one in [95, np.float64(80)])
    found = ForecasterOptions(np.int64(3), pd.offsets.MonthBegin(), loss="quantile", level=level)
    expected = ForecasterOptions(3, "MS", loss="quantile", level=[80, 95])
    assert found == expected
    assert hash(found) == hash(expected)
    assert [type(one) for one in (found.horizon, found.freq, found.level)] == [int, str, tuple]
    assert type(ForecasterOptions(3, freq=np.int32(2)).freq) is int
    assert type(ForecasterOptions(3, intervals=np.False_).intervals) is bool
    assert ForecasterOptions(3, loss="quantile", level=80).level == (80.0,)
    assert ForecasterOptions(3, loss="quantile").trained_levels == (80.0, 95.0)
    assert ForecasterOptions(3).trained_levels == ()
    assert repr(expected) == (
        "ForecasterOptions(horizon=3, freq='MS', loss='quantile', level=(80.0, 95.0))"
    )
    assert eval(repr(expected)) == expected
    assert expected != replace(expected, members=2)


def clone(estimator: Any) -> Any:
    """Clones as `sklearn.base.clone` does, and checks that a constructor keeps its arguments."""
    given = {
        name: type(value)(copy.deepcopy(list(value))) if isinstance(value, tuple) else value
        for name, value in estimator.get_params(deep=False).items()
    }
    made = type(estimator)(**given)
    kept = made.get_params(deep=False)
    assert all(kept[name] is value for name, value in given.items())
    return made


def test_clone_and_set_params_discard_the_fit() -> None:
    panel = flat_panel([np.arange(20) + 1.0])
    forecaster = Forecaster(3, steps=1, loss="quantile", level=[95, 80], target_col=["a", "b"])
    forecaster.fit(panel)
    copied = clone(forecaster)
    assert copied.get_params() == forecaster.get_params()
    assert copied != forecaster
    assert "not fitted" in repr(copied)
    with pytest.raises(TypeError, match="members: found True"):
        forecaster.set_params(horizon=2, members=True)
    with pytest.raises(TypeError, match="unknown option 'more'"):
        forecaster.set_params(more=1)
    assert forecaster.set_params() is forecaster
    assert "1 series" in repr(forecaster)
    assert forecaster.set_params(horizon=2) is forecaster
    assert (forecaster.horizon, forecaster.level) == (2, (80.0, 95.0))
    assert "not fitted" in repr(forecaster)


def test_a_missing_horizon_is_asked_for() -> None:
    with pytest.raises(TypeError, match=r"^Forecaster: pass the horizon, .*\(horizon=12\)"):
        Forecaster(members=2)  # type: ignore[call-arg]  # the mistake that is tested


def test_a_file_keeps_every_option(tmp_path: Path) -> None:
    values = {"unique_id": "a", "ds": pd.date_range("2020", periods=20, freq="MS"), "y": 1.0}
    options: dict[str, Any] = {
        "freq": pd.offsets.MonthBegin(), "season": 3, "lookback": 6, "members": 2, "steps": 1,
        "loss": "quantile", "level": [95, 80], "seed": 5, "intervals": False, "alias": "m",
        "id_col": "shop", "time_col": "month", "target_col": "sold", "day_first": True,
        "on_bad_series": "drop", "futr_exog_list": ("price",), "hist_exog_list": ("seen",),
        "stat_exog_list": ("place",), "calendar": True, "country": "NO", "prior": None,
    }  # fmt: skip
    assert set(options) | {"horizon"} == set(Forecaster(3).get_params())
    table = pd.DataFrame(values).set_axis(["shop", "month", "sold"], axis=1)
    table = table.assign(price=np.arange(20.0), seen=1, place="north")
    forecaster = Forecaster(np.int64(2), **options).fit(table)
    forecaster.save(tmp_path / "m")
    found, _ = read_forecaster(tmp_path / "m")
    assert found == ForecasterOptions(**forecaster.get_params())
    assert Forecaster.load(tmp_path / "m").get_params() == forecaster.get_params()


@pytest.mark.parametrize(
    ("name", "value"), [("n_windows", -1), ("n_windows", "2"), ("step_size", 0)]
)
def test_invalid_numbers_of_windows_are_refused(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"Forecaster.panel: {name}: found"):
        Forecaster(3).panel(random_table(3), **{"n_windows": 2, name: value})
