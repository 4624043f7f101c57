"""Covariates that a caller lists, from a panel that was read before."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast.data.covariates import Covariates
from memattn.forecast.data.panel import Panel, panel_from_frame, panel_of

NAN = float("nan")


def table(**columns: Any) -> pd.DataFrame:
    """Returns two series of days; the second ends two days before its covariates do."""
    ds = [*pd.date_range("2024-01-01", periods=4), *pd.date_range("2024-01-01", periods=6)]
    y = [1.0, 2, 3, 4, 5, 6, 7, 8, NAN, NAN]
    found = {"unique_id": ["a"] * 4 + ["b"] * 6, "ds": ds, "y": y, "price": np.arange(10.0)}
    return pd.DataFrame(found | {"kind": [*"xyxyxyxyxy"]} | columns)


def read(frame: pd.DataFrame, **options: Any) -> Panel:
    return panel_from_frame(frame, futr_exog_list=["price", "kind"], ahead=2, **options)


def asked(data: Any, **options: Any) -> Panel:
    return panel_of("Forecaster.fit", data, season=None, **options)


def covariates_of(panel: Panel) -> Covariates:
    assert panel.covariates is not None
    return panel.covariates


def names(panel: Panel) -> list[str]:
    return [column.name for column in covariates_of(panel).columns]


def test_a_panel_keeps_no_covariates_that_are_not_listed() -> None:
    panel = read(table())
    assert asked(panel).covariates is None
    assert panel.covariates is not None
    plain = panel_from_frame(table())
    assert asked(plain) is plain


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_listed_covariates_equal_those_read_from_the_table(ahead: int) -> None:
    options: dict[str, Any] = {"futr_exog_list": ["kind"], "ahead": ahead, "calendar": True}
    found = covariates_of(asked(read(table()), **options))
    expected = covariates_of(panel_from_frame(table(), **options))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.ahead == ahead


def test_the_calendar_is_added_to_a_panel_without_covariates() -> None:
    plain = panel_from_frame(table())
    found = asked(plain, calendar=True, country="NO", ahead=3)
    expected = panel_from_frame(table(), calendar=True, country="NO", ahead=3)
    np.testing.assert_array_equal(covariates_of(found).values, covariates_of(expected).values)
    assert "holiday" in names(found)


def test_categories_are_those_of_fit() -> None:
    fit = read(table(kind=[*"xyzxyzxyzx"]))
    options: dict[str, Any] = {"futr_exog_list": ["price", "kind"], "ahead": 2, "like": fit}
    frame = table(kind=[*"zqzqzqzqzq"])
    found = covariates_of(asked(read(frame), **options))
    expected = covariates_of(panel_from_frame(frame, **options))
    assert found.columns == expected.columns
    np.testing.assert_array_equal(found.values, expected.values)
    same = read(table(kind=[*"xyzxyzxyzx"]))
    assert asked(same, **options) is same


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"futr_exog_list": ["promo"]}, r"data: .*lacks the covariate .promo.; .*futr_exog_list=\["),
    ({"hist_exog_list": ["price"]}, r"data: .*lacks the covariate .price.; .*hist_exog_list=\["),
    ({"futr_exog_list": ["price"], "ahead": 3}, "data: .* 2 steps ahead, expected 3; read it with"),
    ({"static_df": pd.DataFrame({"a": [1]})}, "static_df: cannot be passed with a panel"),
    ({"country": "NO"}, "country: .NO. needs a calendar"),
    ({"futr_exog_list": ["price", "price"]}, "futr_exog_list: .price. is listed twice"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_covariates_and_options_that_a_panel_lacks_are_refused(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        asked(read(table()), **options)
    assert caught.value.kind == "option"


def test_numbers_for_the_categories_of_fit_are_refused() -> None:
    fit = read(table())
    options: dict[str, Any] = {"futr_exog_list": ["price", "kind"], "ahead": 2, "like": fit}
    with pytest.raises(DataError, match='"kind": found numbers, expected categories as in'):
        asked(read(table(kind=1.0)), **options)


def test_a_panel_without_the_covariates_of_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"futr_exog_list: lacks .price.; expected"):
        asked(panel_from_frame(table()), like=read(table()))
