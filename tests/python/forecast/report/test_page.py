"""The report needs no network, has the measured numbers, and works for all kinds of series."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn._memattn import PanelForecaster
from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.frames import MODEL
from memattn.forecast.evaluation import evaluate_held_out
from memattn.forecast.forecaster_file import OF_COVARIATES, OF_PRIORS, OF_SAMPLE, SETTINGS
from memattn.forecast.forecaster_settings import SETTING_WORDS, Setting, engine_options
from memattn.forecast.measured import METHODS
from memattn.forecast.model import Model

from ..panels import flat_panel

HOSTILE = [
    "<script>alert('$x_$ & \x1b')</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\u05e9\u05dc\u05d5\u05dd \u202e live",
    "x" * 5000,
    "\ud800 \x00 \x85",
    "</style><svg/onload=alert(1)>",
    "",
]


class Page(HTMLParser):
    """The tags, links, cells and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self._skipped = False
        self.feed(text)
        self.text = " ".join(self.text.split())
        self.cells = [cell.strip() for cell in self.cells]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._skipped = tag == "style"
        if tag in ("td", "th"):
            self.cells.append("")
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text += data
        if self.cells:
            self.cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._skipped = False


def monthly(count: int, length: int, seed: int = 0) -> pd.DataFrame:
    """Returns positive series with a season of 12; the first is the largest."""
    rng = np.random.default_rng(seed)
    rows = np.arange(length)
    y = np.exp(
        5
        - 0.05 * np.arange(count)[:, None]
        + 0.3 * np.sin(2 * np.pi * rows / 12)
        + 0.03 * rng.normal(size=(count, length)).cumsum(axis=1)
    )
    ids = [f"s{k:04d}" for k in range(count)]
    return pd.DataFrame(
        {
            "unique_id": np.repeat(ids, length),
            "ds": np.tile(pd.date_range("2015-01-01", periods=length, freq="MS"), count),
            "y": y.ravel(),
        }
    )


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    return Forecaster(6, steps=40, members=2).fit(monthly(60, 60))


@pytest.fixture(scope="module")
def text(fitted: Forecaster) -> str:
    return fitted.render_report(source="shops.csv")


def test_the_page_needs_no_network(text: str) -> None:
    page = Page(text)
    assert "script" not in page.tags
    assert page.links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert not re.search(r"@import|url\((?!#)", text)
    addresses = set(re.findall(r"https?://[^\"'\s<]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "nan" not in page.text.lower()
    assert text.count("<!DOCTYPE html>") == 1
    names = re.findall(r'\bid="([^"]*)"', text)
    assert len(names) == len(set(names))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(names)


def test_every_figure_has_a_caption(text: str) -> None:
    figures = re.findall(r"<figure>(.*?)</figure>", text, re.DOTALL)
    # Errors; four large and four bad series; for each of two layers shares, effects and nine slots.
    assert len(figures) == 1 + 4 + 4 + 2 * (2 + 9)
    for figure in figures:
        assert figure.count("<svg") == 1
        caption = re.search(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)
        assert caption is not None
        assert len(Page(caption[1]).text) > 20


def test_numbers_equal_those_of_the_evaluation(fitted: Forecaster, text: str) -> None:
    evaluation = evaluate_held_out(fitted._state("test"), [80.0, 95.0])
    assert evaluation is not None
    page = Page(text)
    cells = page.cells
    for method in METHODS:
        found, at = evaluation.overall(method), cells.index(method)
        expected = [f"{found.smape:.2f}", f"{found.mase:.3f}", f"{found.rmsse:.3f}"]
        assert cells[at + 1 : at + 4] == expected
        assert float(cells[at + 4].replace(",", "")) == pytest.approx(found.mae, rel=1e-3)
    at = cells.index(MODEL)
    shares = [f"{evaluation.coverage(level):.1f} %" for level in (80, 95)]
    assert cells[at + 5 : at + 7] == shares
    assert f"{shares[0]} for 80 % intervals, {shares[1]} for 95 % intervals." in page.text
    model, baseline = evaluation.overall(MODEL).mase, evaluation.overall("seasonal-naive").mase
    assert model is not None
    assert baseline is not None
    assert f"{100 * (1 - model / baseline):.0f} % lower than seasonal-naive's" in page.text
    errors = [evaluation.by_series(name).mae for name in (MODEL, "seasonal-naive")]
    assert f"lower than seasonal-naive's on {(errors[0] < errors[1]).sum()} of 60" in page.text
    assert f"Measured on {len(evaluation)} held-out windows of 60 series" in page.text


def test_the_largest_and_the_worst_series_are_shown(fitted: Forecaster, text: str) -> None:
    names = re.findall(r"<h4><bdi>(.*?)</bdi></h4>", text)
    panel = fitted._state("test").panel
    last = np.array([panel.series(k)[-12:].mean() for k in range(60)])
    assert names[:4] == [panel.ids[k] for k in np.argsort(-last)[:4]]
    evaluation = evaluate_held_out(fitted._state("test"), [])
    assert evaluation is not None
    ratios = evaluation.by_series(MODEL).mae / evaluation.by_series("seasonal-naive").mae
    worst = [panel.ids[k] for k in np.argsort(-ratios) if panel.ids[k] not in names[:4]]
    assert names[4:] == worst[:4]
    place = panel.ids.tolist().index(worst[0])
    assert f"its error was {ratios[place]:.2f} times seasonal-naive's" in Page(text).text


@pytest.mark.usefixtures("few_slots")
def test_weak_evidence_is_a_warning() -> None:
    walk = np.exp(0.1 * np.random.default_rng(0).normal(size=40).cumsum())
    page = Page(Forecaster(5, steps=5).fit(flat_panel([walk, walk + 1])).render_report())
    assert "non-overlapping windows: the evidence is weak." in page.text


@pytest.mark.usefixtures("few_slots")
def test_no_series_is_shown_twice() -> None:
    text = Forecaster(6, steps=10).fit(monthly(5, 60)).render_report()
    names = re.findall(r"<h4><bdi>(.*?)</bdi></h4>", text)
    assert names[:4] == ["s0000", "s0001", "s0002", "s0003"]
    assert names[4:] == ["s0004"]


def test_the_page_has_all_settings_and_notes(fitted: Forecaster, text: str) -> None:
    page = Page(text)
    for name, setting in fitted.settings.items():
        assert SETTING_WORDS[name] in page.cells
        assert setting.reason in page.text
    for note in fitted.notes:
        assert note.text in page.text
    assert page.text.startswith("6 months ahead: shops.csv")
    assert "60 series, 3,600 values, one every month, with a season of 12." in page.text


def test_every_setting_has_a_label() -> None:
    known = {*SETTINGS, "levels", *OF_COVARIATES, *OF_PRIORS, *OF_SAMPLE, "prior"}
    assert set(SETTING_WORDS) == known
    assert len(set(SETTING_WORDS.values())) == len(known)
    assert not [label for label in SETTING_WORDS.values() if "_" in label]


def test_the_report_is_deterministic(fitted: Forecaster, text: str, tmp_path: Path) -> None:
    fitted.write_report(tmp_path / "a.html", source="shops.csv")
    assert (tmp_path / "a.html").read_bytes() == text.encode()


@pytest.mark.usefixtures("few_slots")
def test_the_page_shows_the_given_levels(fitted: Forecaster) -> None:
    page = Page(fitted.render_report([50]))
    assert "50 % coverage" in page.cells
    assert "80 % coverage" not in page.cells
    assert "interval" not in Page(fitted.render_report([])).text.split("Settings and data")[0]
    with pytest.raises(ValueError, match="level: found 100"):
        fitted.render_report([100])
    with pytest.raises(RuntimeError, match="write_report: this Forecaster is not fitted"):
        Forecaster(3).render_report()


@pytest.mark.usefixtures("few_slots")
def test_hostile_names_are_escaped() -> None:
    values = monthly(len(HOSTILE), 48)["y"].to_numpy().reshape(-1, 48)
    panel = flat_panel([*values, values[0, :2]], season=12)
    panel.ids[:] = [*HOSTILE, HOSTILE[1] + "in a note"]
    forecaster = Forecaster(3, steps=20).fit(panel)
    text = forecaster.render_report(source=HOSTILE[0] + HOSTILE[2])
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert "<script>alert('$x_$ & \\x1b')</script>" in page.text
    assert "{{ 7 * 7 }}{% raw %}" in page.text
    assert "<img src=x onerror=alert(1)>in a note" in page.text
    assert "\\u202e live" in page.text
    assert "x" * 59 + "\u2026" in page.text
    assert "x" * 61 not in page.text
    assert all(c.isprintable() or c == "\n" for c in text)
    text.encode()


def kinds() -> dict[str, Any]:
    one = np.exp(0.1 * np.random.default_rng(3).normal(size=200).cumsum())
    hours = pd.date_range("2024-01-01", periods=400, freq="h", tz="Europe/Berlin")
    wave = np.sin(2 * np.pi * np.arange(400) / 24)
    return {
        "constant": flat_panel([np.full(30, 5.0)]),
        "standing at zero": flat_panel([np.zeros(30), np.zeros(20)]),
        "tiny": flat_panel([np.array([3.0, 4.0, 5.0])]),
        "a single value": flat_panel([np.array([3.0])]),
        "one": flat_panel([one]),
        "negative": flat_panel([one - 2, one - 1, -one], season=4),
        "to and from zero": flat_panel([np.maximum(one - 1, 0)] * 3),
        "huge": flat_panel([1e100 * one, 1e-100 * one]),
        "hourly": pd.DataFrame({"ds": hours, "y": 20 + 5 * wave + one[np.arange(400) % 200]}),
    }


@pytest.mark.parametrize("kind", list(kinds()))
@pytest.mark.usefixtures("few_slots")
@pytest.mark.filterwarnings("error")
def test_all_kinds_of_series_have_a_report(kind: str) -> None:
    text = Forecaster(4, steps=5).fit(kinds()[kind]).render_report()
    page = Page(text)
    assert "svg" in page.tags
    assert not re.search(r"\b(nan|inf|none)\b", page.text.lower().replace('"none"', ""))
    assert len(text) < 600_000


@pytest.mark.usefixtures("few_slots")
def test_the_page_of_a_loaded_forecaster_says_what_is_missing(
    fitted: Forecaster, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "f.safetensors")
    page = Page(Forecaster.load(tmp_path / "f.safetensors").render_report())
    assert "was loaded from a file, which does not keep them" in page.text
    assert "95 % interval" in page.text
    assert "The worst forecasts" not in page.text
    assert "of the forecasts without the slot" in page.text
    assert "of the error without the slot" not in page.text


@pytest.mark.usefixtures("few_slots")
def test_the_page_says_how_windows_were_held_out() -> None:
    frame = monthly(20, 60)
    page = Page(Forecaster(6, steps=10, intervals=False).fit(frame).render_report())
    assert "the training held out no windows" in page.text
    assert "% interval" not in page.text
    held = Page(Forecaster(6, steps=10).fit(frame, val_size=8).render_report())
    assert "forecast by the model, which was trained without them" in held.text
    assert "a second model" not in held.text
    assert "The figures show the model. Shares are means over heads" in held.text


@pytest.mark.usefixtures("few_slots")
def test_the_page_says_that_a_model_has_no_memory(fitted: Forecaster) -> None:
    short = flat_panel([np.arange(1.0, 9.0)])
    untrained = Page(Forecaster(3, prior=None).fit(short).render_report())
    assert "The model was not trained, so its memory is empty." in untrained.text
    assert "The forecast is Naive2" in untrained.text
    linear = Forecaster(6)
    state = fitted._state("test")
    settings = {**state.settings, "layers": Setting(0, "for a test")}
    engine = PanelForecaster(**engine_options(settings))
    linear._fitted = replace(state, model=Model(engine, settings), held_out=None)
    assert "The model is linear and has no memory layers." in Page(linear.render_report()).text


def test_the_size_does_not_grow_with_the_number_of_series(text: str) -> None:
    many = Forecaster(6, steps=5).fit(monthly(5000, 30)).render_report()
    assert len(many) < 1.3 * len(text)
    assert "5,000 series" in Page(many).text


def test_write_figure_draws_one_series(fitted: Forecaster, tmp_path: Path) -> None:
    for name, start in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG")):
        fitted.write_figure(tmp_path / name, "s0003")
        first = (tmp_path / name).read_bytes()
        fitted.write_figure(tmp_path / name, "s0003", level=(80, 95))
        assert first.startswith(start)
        assert first == (tmp_path / name).read_bytes()
        fitted.write_figure(tmp_path / name)
        assert first != (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match="unique_id: found 'nobody', expected one of the 60"):
        fitted.write_figure(tmp_path / "a.svg", "nobody")
    with pytest.raises(DataError, match=r"must end in \.svg or \.png"):
        fitted.write_figure(tmp_path / "a.gif")
