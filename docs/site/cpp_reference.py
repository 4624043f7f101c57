"""The directive `cpp-header`: adds the introduction of a header and an entry per declaration.

Doxygen reads the headers, and Breathe makes the entries. The directive lists the declarations in
the order of the header. Breathe's own directive for files would declare the namespace once per
header.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

XML = Path(__file__).resolve().parents[2] / "build/docs/doxygen/xml"
HEADERS = Path(__file__).resolve().parents[2] / "include/memattn"
CLASSES = {"class": "doxygenclass", "struct": "doxygenstruct"}
MEMBERS = {
    "define": "doxygendefine",
    "enum": "doxygenenum",
    "typedef": "doxygentypedef",
    "variable": "doxygenvariable",
}


@cache
def declared() -> dict[str, list[tuple[int, str, str]]]:
    """Returns, for each header, its declarations outside classes: line, directive and argument."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for path in sorted(XML.glob("*.xml")):
        for compound in ET.parse(path).getroot().iter("compounddef"):
            kind, name = compound.attrib["kind"], compound.findtext("compoundname", "")
            if kind in CLASSES and compound.attrib["prot"] == "public" and name.count("::") == 1:
                add(found, compound, CLASSES[kind], name)
            elif kind == "namespace" and name == "memattn":
                for member in compound.iter("memberdef"):
                    add(found, member, *directive_of(member))
            elif kind == "file":
                for member in compound.iter("memberdef"):
                    if member.attrib["kind"] == "define":
                        add(found, member, *directive_of(member))
    return {header: sorted(entries) for header, entries in found.items()}


def directive_of(member: ET.Element) -> tuple[str, str]:
    """Returns Breathe's directive for a member, and its argument."""
    kind = member.attrib["kind"]
    name = member.findtext("qualifiedname") or member.findtext("name", "")
    if kind == "function":
        return "doxygenfunction", name + member.findtext("argsstring", "")
    return MEMBERS[kind], name


def add(
    found: dict[str, list[tuple[int, str, str]]],
    element: ET.Element,
    directive: str,
    argument: str,
) -> None:
    """Adds an entry to those of its header."""
    location = element.find("location")
    header = Path(location.attrib["file"]).name
    found.setdefault(header, []).append((int(location.attrib["line"]), directive, argument))


def introduction(header: str) -> list[str]:
    """Returns the opening comment of a header as reStructuredText; its indented lines are code."""
    lines: list[str] = []
    for line in (HEADERS / header).read_text(encoding="utf-8").splitlines():
        if not line.startswith("//"):
            break
        lines.append(re.sub("^// ?", "", line))
    statements = any(line.startswith("  ") and line.endswith(";") for line in lines)
    text, was_code = [], False
    for line in lines:
        is_code = line.startswith("  ") or (was_code and not line)
        if is_code and not was_code:
            text += [f".. code-block:: {'cpp' if statements else 'text'}", ""]
        was_code = is_code
        text.append(f" {line}" if is_code else re.sub(r"docs/([\w-]+)\.md", r":doc:`/\1`", line))
    return [*text, ""]


class CppHeader(SphinxDirective):
    """``.. cpp-header:: config.h`` documents a header of include/memattn."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parses the introduction and Breathe's directives."""
        header = self.arguments[0]
        lines = introduction(header)
        for _, directive, argument in declared().get(header, []):
            lines += [f".. {directive}:: {argument}"]
            if directive in CLASSES.values():
                lines += ["   :members:", "   :undoc-members:"]
            lines += [""]
        return nested_parse_to_nodes(self.state, "\n".join(lines), source=header)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("cpp-header", CppHeader)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
