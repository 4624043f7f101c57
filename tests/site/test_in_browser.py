"""The site in a browser, opened from disk: search, width, light and dark."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from .pages import SITE

PAGES = (
    *("index", "start/csv", "forecasting", "math"),
    *("reference/forecast", "reference/commands", "reference/cpp-layers"),
)
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; fails for console messages, errors and network requests."""
    complaints: list[str] = []
    with browser.new_context() as context:
        opened = context.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "request", lambda asked: complaints.append(asked.url) if remote(asked.url) else None
        )
        yield opened
    assert not complaints


def remote(url: str) -> bool:
    """Whether an address is outside of this disk."""
    return not url.startswith(("file:", "data:"))


def open_page(page: Page, name: str) -> None:
    """Opens a page of the site."""
    page.goto((SITE / f"{name}.html").as_uri())


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_the_width_of_the_screen(page: Page, name: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, name)
    assert page.locator("h1").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    images = page.locator("article img")
    for k in range(images.count()):
        assert images.nth(k).evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


@pytest.mark.parametrize(
    ("words", "title"),
    [
        ("cross_validation", "memattn.forecast"),
        ("conformal", "What an interval promises"),
        ("set_num_threads", "C++: errors, threads, version"),
        ("--on-bad-series", "Commands"),
    ],
)
def test_the_search_finds_names_and_options(page: Page, words: str, title: str) -> None:
    open_page(page, "index")
    field = page.locator("input[name=q]").first
    field.fill(words)
    field.press("Enter")
    results = page.locator("ul.search li")
    results.first.wait_for()
    page.get_by_text(re.compile("Search finished")).wait_for()
    assert any(title in text for text in results.all_inner_texts())


def test_a_slash_focuses_the_search(page: Page) -> None:
    open_page(page, "index")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_dark_and_light_schemes_differ(page: Page) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        open_page(page, "start/csv")
        shown = "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(body))"
        colours[scheme] = page.locator("body").evaluate(f"body => {shown}")
    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]


def test_a_link_from_the_start_leads_to_its_entry(page: Page, tmp_path: Path) -> None:
    open_page(page, "start/data-frame")
    page.get_by_role("link", name="Every option and method").click()
    assert page.title().startswith("memattn.forecast")
    entry = page.locator("dt[id='memattn.forecast.Forecaster']")
    assert entry.is_visible()
