"""Sphinx's configuration of the documentation site, which scripts/docs builds.

The pages in docs/ can be read without the site, too. `read_source` rewrites their links to files
outside docs/; `PAGES` lists the files that become pages of the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "docs/site"), str(ROOT / "python")]

project = "memattn"
author = "memattn contributors"
copyright = "memattn contributors, BSD-3-Clause"
version_header = (ROOT / "include/memattn/version.h").read_text(encoding="utf-8")
version = release = re.search(r'MEMATTN_VERSION "(.+)"', version_header)[1]

extensions = [
    "breathe",
    "command_reference",
    "cpp_reference",
    "myst_parser",
    "python_reference",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["site"]
root_doc = "index"

# Markdown: give headings the same anchors as code hosts do.
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# A name in single backquotes in a docstring becomes a link if the name has an entry.
default_role = "py:obj"
python_maximum_signature_line_length = 88
cpp_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

breathe_projects = {"memattn": str(ROOT / "build/docs/doxygen/xml")}
breathe_default_project = "memattn"
breathe_domain_by_extension = {"h": "cpp"}
breathe_show_include = False

html_theme = "furo"
html_title = f"memattn {release}"
html_static_path = ["static"]
html_css_files = ["memattn.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # fetches pages, which browsers refuse without a server
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
smartquotes_action = "D"  # only dashes; quotes stay straight
highlight_language = "text"
pygments_style = "tango"
pygments_dark_style = "native"
copybutton_exclude = ".linenos, .gp, .go"

# No date: pages that are built again do not change.
html_last_updated_fmt = None

# Files outside docs/ that are pages of the site. Their page in docs/ contains only a link.
PAGES = {
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "bench/README.md": "/reference/bench.md",
    "data/README.md": "/reference/data.md",
    "fuzz/README.md": "/reference/fuzz.md",
    "python/memattn/forecast/prior/README.md": "/reference/prior-files.md",
}
LINK = re.compile(r"\[([^][]*)\]\((?!\w+:|[#/])([^)#\s]+)(#[^)\s]*)?\)")
ONLY_A_LINK = re.compile(r"\s*\[[^]]*\]\(([^)#\s]+)\)\s*")
LANGUAGES = {".cc": "cpp", ".py": "python"}


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replaces pages that only link to a file by that file, and rewrites links to outside docs/."""
    path = Path(app.env.doc2path(docname))
    only = ONLY_A_LINK.fullmatch(content[0])
    if docname == "examples":
        content[0] += examples()
    elif only:
        path = (path.parent / only[1]).resolve()
        app.env.note_dependency(str(path))
        content[0] = path.read_text(encoding="utf-8")

    def replaced(match: re.Match[str]) -> str:
        text, target, anchor = match[1], (path.parent / match[2]).resolve(), match[3] or ""
        if not target.exists():
            raise ExtensionError(f"{path}: {match[2]}: no such file")
        if text.endswith(f"{target.stem}.md"):
            text = ""  # MyST fills in the title of the page
        if target.is_relative_to(app.srcdir):
            return f"[{text}](/{target.relative_to(app.srcdir).as_posix()}{anchor})"
        place = target.relative_to(ROOT).as_posix()
        if place.startswith("examples/") and target.is_file():
            return f"[{text}](/examples.md#{slug(place.removeprefix('examples/'))})"
        if place in PAGES:
            return f"[{text}]({PAGES[place]}{anchor})"
        return match[0]  # Sphinx copies the file to the site, or warns

    content[0] = LINK.sub(replaced, content[0])


def slug(heading: str) -> str:
    """Returns the anchor of a heading that is a file name."""
    return re.sub(r"[^\w-]", "", heading.lower())


def examples() -> str:
    """Returns a section for each program in examples/."""
    folder = ROOT / "examples"
    parts = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix in LANGUAGES:
            language, code = LANGUAGES[path.suffix], path.read_text(encoding="utf-8")
            name = path.relative_to(folder).as_posix()
            parts.append(f"\n## {name}\n\n```{language}\n{code}```\n")
    return "".join(parts)


def setup(app: Sphinx) -> None:
    """Connects `read_source`."""
    app.connect("source-read", read_source)
