"""Reads the files of the built site: pages with their links and anchors, and the inventory."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build/docs/html"
# Tags and attributes whose files a browser loads with a page.
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


@dataclass
class Page(HTMLParser):
    """A page with its links, the files that it loads, and its anchors."""

    path: Path
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    title: str = ""

    def __post_init__(self) -> None:
        HTMLParser.__init__(self)
        self._in_title = False
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects links, files and anchors."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in FETCHED and FETCHED[tag] in given:
            self.loads.append(given[FETCHED[tag]])
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        """Collects the title."""
        if self._in_title:
            self.title += data


@cache
def pages() -> dict[Path, Page]:
    """Returns all pages by path."""
    found = {path: Page(path) for path in sorted(SITE.rglob("*.html"))}
    assert found, "no site: run scripts/docs"
    return found


@cache
def inventory() -> dict[str, dict[str, str]]:
    """Returns, for each role such as py:class, the names with the addresses of their entries."""
    content = (SITE / "objects.inv").read_bytes()
    _, _, _, _, packed = content.split(b"\n", 4)
    found: dict[str, dict[str, str]] = {}
    for line in zlib.decompress(packed).decode().splitlines():
        name, role, place = re.fullmatch(r"(.+?) (\S+:\S+) -?\d+ (\S+) .*", line).groups()
        found.setdefault(role, {})[name] = place.replace("$", name)
    return found
