"""Every link within the site leads to a page and an anchor, and pages load no remote files."""

import re
from urllib.parse import unquote, urlsplit

import pytest

from .pages import ROOT, SITE, pages

# Matches a remote address that a style or script loads: url(...), @import, import ... from.
REMOTE = re.compile(r"""(?:url\(|@import\s+|\bfrom\s+)["']?(?:https?:)?//""")


def test_every_page_of_docs_is_built() -> None:
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.rst")]
    expected = {source.relative_to(ROOT / "docs").with_suffix(".html") for source in sources}
    assert expected <= {path.relative_to(SITE) for path in pages()}


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(SITE)))
def test_links_lead_to_pages_and_anchors(path) -> None:
    page = pages()[path]
    for link in [*page.links, *page.loads]:
        parts = urlsplit(link)
        if parts.scheme in ("http", "https"):
            assert link in page.links, f"{link} is fetched from a network"
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", parts.netloc), link
            continue
        assert parts.scheme in ("", "data", "mailto"), link
        assert not parts.netloc, link
        if parts.scheme:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.is_relative_to(SITE), link
        assert target.is_file(), link
        if parts.fragment and target.suffix == ".html":
            assert unquote(parts.fragment) in pages()[target].anchors, link


def test_styles_and_scripts_load_no_remote_files() -> None:
    files = [*SITE.rglob("*.css"), *SITE.rglob("*.js")]
    assert files
    for path in files:
        found = REMOTE.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found}"


def test_all_page_titles_differ() -> None:
    titles = [page.title for page in pages().values()]
    assert len(set(titles)) == len(titles)
