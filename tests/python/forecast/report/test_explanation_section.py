"""The section "What the forecast depends on" in the report of a forecaster with covariates."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster
from memattn.forecast.explanation import EffectCurve, Explanation, Importance
from memattn.forecast.forecaster_settings import Setting
from memattn.forecast.report import words
from memattn.forecast.report.page import render_report

HEADING = "<h2>What the forecast depends on</h2>"
HOSTILE = "<script>alert(1)</script>"
NOT_KNOWN = "The data have no future rows with the covariates"


def frame(rows: int = 150) -> pd.DataFrame:
    """Returns a series that depends on a price and on an offer, named like a script."""
    rng = np.random.default_rng(0)
    price, offer = rng.uniform(2, 6, rows), rng.choice(["none", HOSTILE], rows)
    sales = 60 - 5 * price + 8 * (offer == HOSTILE) + rng.normal(size=rows)
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    columns = {"ds": days, "y": sales, "price": price, HOSTILE: offer}
    return pd.DataFrame({"unique_id": "a", **columns})


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    data = frame()
    data.loc[data.index[-4:], "y"] = np.nan  # the rows of the horizon, with planned covariates
    return Forecaster(4, futr_exog_list=["price", HOSTILE], steps=200).fit(data)


@pytest.fixture(scope="module")
def page(forecaster: Forecaster) -> str:
    return forecaster.render_report()


def section(page: str) -> str:
    return page[page.index(HEADING) : page.index("<h2>What the memory slots")]


def test_the_section_has_every_row_and_curve(forecaster: Forecaster, page: str) -> None:
    text, found = section(page), forecaster.explain()
    names = re.findall(r'<td class="name"><bdi>(.*?)</bdi>', text)
    escaped = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")
    assert names == [one.name.replace(HOSTILE, escaped) for one in found.importances]
    assert names[0] == "price"
    bars = re.findall(r'<rect x="(.*?)" y="1.5" width="(.*?)" height="7" fill="var\((.*?)\)', text)
    assert len(bars) == len(names)
    widths = [float(width) for _, width, _ in bars]
    assert max(widths) == widths[0] > 50
    for one, (_, _, color) in zip(found.importances, bars, strict=True):
        assert color == ("--model" if one.increase > 0 else "--seasonal")
    assert text.count("<strong><bdi>") == 2
    assert re.search(r"<li><span>\d</span> <bdi>none</bdi> <span>[\d.]+</span></li>", text)
    assert "<script>" not in page
    assert HOSTILE not in page
    assert NOT_KNOWN not in page


def test_settings_of_covariates_are_text(page: str) -> None:
    assert '<td>covariates left out</td><td class="value">none</td>' in page
    assert '<td>values compressed</td><td class="value">no</td>' in page


def test_the_same_fit_gives_the_same_page(forecaster: Forecaster, page: str) -> None:
    assert forecaster.render_report() == page


@pytest.mark.usefixtures("few_slots")
def test_a_page_without_covariates_has_no_section() -> None:
    page = Forecaster(4, steps=20).fit(frame()[["unique_id", "ds", "y"]]).render_report()
    assert HEADING not in page
    assert NOT_KNOWN not in page


@pytest.mark.usefixtures("few_slots")
def test_the_section_of_a_loaded_forecaster_says_what_is_missing(
    forecaster: Forecaster, tmp_path: Path
) -> None:
    forecaster.save(tmp_path / "f")
    text = section(Forecaster.load(tmp_path / "f").render_report())
    assert "Not measured: the training held out no windows" in text
    assert "<table" not in text


@pytest.mark.usefixtures("few_slots")
def test_the_page_says_if_future_covariates_are_missing() -> None:
    forecaster = Forecaster(4, futr_exog_list=["price"], steps=50).fit(frame())
    assert NOT_KNOWN in forecaster.render_report()


@pytest.mark.usefixtures("few_slots")
@pytest.mark.parametrize(
    ("covariates", "said"),
    [
        ((), "No covariates are used: the error in rolling validation was lower without them."),
        (("price",), "since the error in rolling validation was lower without them: noise."),
    ],
)
def test_the_page_says_that_covariates_were_left_out(
    forecaster: Forecaster, page: str, covariates: tuple[str, ...], said: str
) -> None:
    fitted = forecaster._state("test")
    settings = {**fitted.settings, "left_out": Setting(("noise",), "why")}
    model = replace(fitted.model, settings=settings, covariates=covariates)
    changed = replace(fitted, model=model)
    assert said in section(render_report(changed, []))
    assert "lower without them" not in page


def importance(increase: float) -> Importance:
    return Importance("a", "futr", increase, 10 * increase, 1.0)


@pytest.mark.parametrize(
    ("increases", "separate", "said"),
    [
        ([9, 0.1, -3], 40, "shuffling it raises the error by 90 % (200 held-out windows)."),
        ([9, 0.1, -3], 40, "for 1 of 3 inputs, and shrinks by more than two for 1."),
        ([9, 0.1], 4, "The windows overlap too much to distinguish these figures from chance."),
        ([-1, -2], 40, "The error does not grow for any of the inputs"),
    ],
)
def test_about_importances_counts_inputs_beyond_chance(
    forecaster: Forecaster, increases: list[float], separate: int, said: str
) -> None:
    panel = forecaster.panel(frame())
    found = tuple(map(importance, increases))
    text = words.about_importances(Explanation(panel, 200, separate, 10.0, found, ()))
    assert said in text


def test_about_curve_gives_the_range_of_the_forecast() -> None:
    forecasts = np.array([[1.0, 3.0], [5.0, 7.0]])
    number = EffectCurve("price", np.array([3.0, 4.5]), (), forecasts, np.ones(2))
    assert words.about_curve(number) == "from 2.000 at 3 to 6.000 at 4.5"
    category = EffectCurve("offer", np.array([0.0, 1.0]), ("a", "b"), forecasts, np.ones(2))
    assert words.about_curve(category) == "from 2.000 to 6.000"
