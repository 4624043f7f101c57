"""The report needs nothing from elsewhere, and nothing from the data gets out of its place."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from memattn.forecast import DataError, forecast_csv
from memattn.forecast.first_report import render_report

Write = Callable[[str | bytes], Path]
HOSTILE = "<script>alert('$x_$ & \x1b')</script>"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("href", "src", "xlink:href")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_report_is_whole_and_stands_alone(seasonal_csv: Path) -> None:
    text = render_report(forecast_csv(seasonal_csv, 24, epochs=2))
    page = Page(text)
    assert page.tags.count("svg") == 2 * 4 + 2
    assert "script" not in page.tags
    assert all(link.startswith(("#", "data:image/png;")) for link in page.links)
    assert "@import" not in text
    assert "url(http" not in text
    for said in ("one", "two", "seasonal-naive", "What the memory attends to", "hours ahead"):
        assert said in page.text


def test_report_is_reproducible(seasonal_csv: Path) -> None:
    result = forecast_csv(seasonal_csv, 24, epochs=2)
    assert render_report(result) == render_report(result)


def test_hostile_names_are_text(write_csv: Write) -> None:
    values = np.random.default_rng(0).normal(size=120)
    lines = [f'"{HOSTILE}"', *(f"{value:.4f}" for value in values)]
    page = Page(render_report(forecast_csv(write_csv("\n".join(lines)), 3)))
    assert "script" not in page.tags
    assert "<script>alert('$x_$ &" in page.text


@pytest.mark.parametrize(
    "lines",
    [
        ["a", *["1"] * 30],
        ["a", "1", "2", "0", "1", "2"],
        ["m,a", *(f"{2000 + k // 12}-{k % 12 + 1:02d},{k % 12}" for k in range(120))],
        ["d,a", *(f"2024-{k // 28 + 1:02d}-{k % 28 + 1:02d},{k % 7}" for k in range(28))],
    ],
    ids=["constant", "tiny", "monthly", "daily"],
)
def test_all_kinds_of_series_have_a_report(write_csv: Write, lines: list[str]) -> None:
    page = Page(render_report(forecast_csv(write_csv("\n".join(lines)), 1)))
    assert page.tags.count("svg") >= 5
    assert "nan" not in page.text.lower()


def test_standalone_figure(seasonal_csv: Path, tmp_path: Path) -> None:
    result = forecast_csv(seasonal_csv, 24, epochs=2)
    for name, start in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG")):
        result.write_figure(tmp_path / name, target="two")
        first = (tmp_path / name).read_bytes()
        result.write_figure(tmp_path / name, target="two")
        assert first.startswith(start)
        assert first == (tmp_path / name).read_bytes()
    for options in ({"path": "a.gif"}, {"path": "a.svg", "target": "three"}):
        with pytest.raises(DataError):
            result.write_figure(**options)
