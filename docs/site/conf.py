"""Sphinx's configuration of the documentation site, which scripts/docs builds.

The pages lie in docs/, where they can be read without a site, too. What a page links to outside of
docs/ has its place in the site by `ELSEWHERE`.
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

# Markdown: anchors of headings as the forges that show the pages make them.
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

# Names in single quotes of a docstring become links where there is such a name.
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
html_show_search_summary = False  # which would fetch pages; browsers refuse that without a server
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
smartquotes_action = "D"  # dashes; quotes stay as they can be typed
highlight_language = "text"
pygments_style = "tango"
pygments_dark_style = "native"
copybutton_exclude = ".linenos, .gp, .go"

# No page changes because it was built on another day, or twice.
html_last_updated_fmt = None

# Files outside docs/ that are pages here. Such a page of docs/ is a link to the file, no more.
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
    """Puts files into pages that only link to them, and gives links out of docs/ their place."""
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
            text = ""  # the name of a page becomes its title
        if target.is_relative_to(app.srcdir):
            return f"[{text}](/{target.relative_to(app.srcdir).as_posix()}{anchor})"
        place = target.relative_to(ROOT).as_posix()
        if place.startswith("examples/") and target.is_file():
            return f"[{text}](/examples.md#{slug(place.removeprefix('examples/'))})"
        if place in PAGES:
            return f"[{text}]({PAGES[place]}{anchor})"
        return match[0]  # a file that the site gets a copy of; Sphinx warns of anything else

    content[0] = LINK.sub(replaced, content[0])


def slug(heading: str) -> str:
    """The anchor of a heading that is the name of a file."""
    return re.sub(r"[^\w-]", "", heading.lower())


def examples() -> str:
    """A section for each program in examples/."""
    folder = ROOT / "examples"
    parts = []
    for path in sorted(folder.glob("*/*")):
        if path.suffix in LANGUAGES:
            language, code = LANGUAGES[path.suffix], path.read_text(encoding="utf-8")
            name = path.relative_to(folder).as_posix()
            parts.append(f"\n## {name}\n\n```{language}\n{code}```\n")
    return "".join(parts)


def setup(app: Sphinx) -> None:
    """Connects what is ours."""
    app.connect("source-read", read_source)
