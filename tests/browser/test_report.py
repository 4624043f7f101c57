"""Reports in headless Chromium: complete, without errors, within the page, in both colour schemes.

Without MEMATTN_LONG_TESTS only a report with malicious ids is opened, otherwise all kinds.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from memattn.forecast import Forecaster

MARKUP = [
    "<script>document.title = 'changed'; alert(1)</script>",
    '"><img src="http://127.0.0.1:9/x.png" onerror="alert(1)">',
    "</style></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }} & <b>bold</b> $x_$",
    "\u05e9\u05dc\u05d5\u05dd \u202e live",
    "x" * 3000,
]
WIDTHS = (390, 1280)
A4 = 794 - 2 * 38  # CSS pixels between margins of 1 cm
SECOND_COLOUR = 0.002  # least share of a figure's pixels that do not have its most common colour
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def series(count: int, length: int, freq: str, ids: list[str] | None = None) -> pd.DataFrame:
    """Returns positive seasonal series, of which the first is the largest."""
    rng = np.random.default_rng(3)
    rows = np.arange(length)
    season = {"MS": 12, "h": 24}.get(freq, 7)
    noise = 0.03 * rng.normal(size=(count, length)).cumsum(axis=1)
    size = 5 - 0.05 * np.arange(count)[:, None]
    names = ids or [f"shop {k}" for k in range(count)]
    return pd.DataFrame(
        {
            "unique_id": np.repeat(names, length),
            "ds": np.tile(pd.date_range("2015-01-01", periods=length, freq=freq), count),
            "y": np.exp(size + 0.3 * np.sin(2 * np.pi * rows / season) + noise).ravel(),
        }
    )


def hostile(path: Path) -> None:
    data = series(len(MARKUP), 80, "MS", MARKUP)
    Forecaster(6, steps=30, members=2).fit(data).write_report(path, source=MARKUP[0])


def one_series(path: Path) -> None:
    Forecaster(48, steps=30).fit(series(1, 600, "h")).write_report(path)


def many_series(path: Path) -> None:
    Forecaster(14, steps=30).fit(series(200, 70, "D")).write_report(path, level=[50, 80, 90, 99])


def loaded(path: Path) -> None:
    file = path.with_suffix(".safetensors")
    Forecaster(6, steps=30).fit(series(3, 80, "MS")).save(file)
    Forecaster.load(file).write_report(path)


def untrained(path: Path) -> None:
    data = series(2, 9, "YS").assign(y=lambda frame: frame.y - frame.y.mean())
    Forecaster(3).fit(data).write_report(path)


def numbered(path: Path) -> None:
    data = series(2, 80, "D").assign(ds=lambda frame: np.tile(np.arange(80), 2))
    Forecaster(5, steps=30, loss="quantile").fit(data).write_report(path)


def no_intervals(path: Path) -> None:
    Forecaster(6, steps=30, intervals=False).fit(series(2, 80, "MS")).write_report(path)


def covariates(path: Path) -> None:
    rng, data = np.random.default_rng(0), series(2, 120, "D")
    data = data.assign(price=rng.uniform(2, 6, len(data)), offer=rng.choice(MARKUP[:4], len(data)))
    data = data.assign(y=data.y * (1 - 0.1 * data.price)).rename(columns={"offer": MARKUP[0]})
    known = ["price", MARKUP[0]]
    Forecaster(7, steps=100, futr_exog_list=known, calendar=True).fit(data).write_report(path)


KINDS: list[Callable[[Path], None]] = [hostile]
if os.environ.get("MEMATTN_LONG_TESTS"):
    KINDS += [one_series, many_series, loaded, untrained, numbered, no_intervals, covariates]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [path for path in map(shutil.which, BROWSERS) if path]
    assert found, f"found none of {', '.join(BROWSERS)} on PATH; install Debian's package chromium"
    with sync_playwright() as playwright:
        # CI runs as root, for whom Chromium has no sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    request.param(path)
    return path


@pytest.fixture(params=[(width, scheme) for width in WIDTHS for scheme in ("light", "dark")])
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The open report; fails for console messages, errors, dialogs and network requests."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=False
    )
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("request", lambda request: told.append(f"request: {request.url}"))
    page.on("dialog", lambda dialog: (told.append("dialog"), dialog.dismiss()))
    address = report.as_uri()
    page.goto(address)
    yield page
    context.close()
    # Pictures inside the page are not network requests.
    assert [one for one in told if not one.startswith("request: data:image/png")] == [
        f"request: {address}"
    ]


def pixels(figure: Locator) -> np.ndarray:
    """Returns the colours (height, width, 3) of a figure on the screen, after scrolling to it."""
    shown = imread(BytesIO(figure.screenshot()), format="png")
    return np.round(255 * shown[..., :3]).astype(np.int64)


def check_within_page(page: Page) -> None:
    width = page.evaluate("document.documentElement.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Wide figures and tables scroll inside a box, which lies within the page.
    for box in page.locator(".wide, .slots figure, .facts, p, h1, h2, h3, h4, ul").all():
        place = box.bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= width + 0.5


def test_every_figure_is_drawn_within_the_page(page: Page) -> None:
    check_within_page(page)
    figures = page.locator("figure svg").all()
    assert figures
    for figure in figures:
        place = figure.bounding_box()
        assert place is not None
        assert min(place["width"], place["height"]) > 40
        colours = pixels(figure) @ np.array([1 << 16, 1 << 8, 1])
        _, counts = np.unique(colours, return_counts=True)
        assert 1 - counts.max() / counts.sum() > SECOND_COLOUR


def test_text_has_enough_contrast(page: Page) -> None:
    # WCAG 2.2 requires a contrast of 4.5 to 1 for text (success criterion 1.4.3).
    for kind in ("body", ".lead", "figcaption", "td.reason", ".note", "tr.model td:nth-child(2)"):
        for element in page.locator(kind).all()[:1]:
            ink = element.evaluate("e => getComputedStyle(e).color")
            paper = element.evaluate(
                """e => {
                  for (; e; e = e.parentElement) {
                    const colour = getComputedStyle(e).backgroundColor;
                    if (colour !== "rgba(0, 0, 0, 0)") return colour;
                  }
                }"""
            )
            light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, kind


def luminance(colour: str) -> float:
    """Returns the relative luminance of ``rgb(r, g, b)``, as defined by WCAG 2.2."""
    channels = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_the_report_prints_without_cutting_figures(browser: Browser, report: Path) -> None:
    page = browser.new_page(viewport={"width": A4, "height": 1000}, color_scheme="dark")
    page.goto(report.as_uri())
    page.emulate_media(media="print")
    check_within_page(page)
    for figure in page.locator("figure svg").all():
        place = figure.bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= A4 + 0.5
    margin = {"top": "1cm", "right": "1cm", "bottom": "1cm", "left": "1cm"}
    printed = page.pdf(format="A4", margin=margin, print_background=True)
    page.close()
    assert printed.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 40


@pytest.mark.parametrize("width", WIDTHS)
def test_markup_in_ids_is_shown_as_text(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, width: int
) -> None:
    path = tmp_path_factory.mktemp("markup") / "report.html"
    hostile(path)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    assert page.locator("script, img, b, svg[onload]").count() == 0
    assert page.title().startswith("6 months ahead: <script>")
    headings = page.locator("h4 bdi").all_text_contents()
    for name in MARKUP[:4]:
        assert name[:50] in "".join(one[:50] for one in headings)
    page.close()
