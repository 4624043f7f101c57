"""The directive `command-line`: every command of `memattn` with its options, from click's objects.

The commands are imported, which takes click and nothing else. sphinx-click would do, but it knows
neither the groups of our options nor the examples.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

with mock(["memattn._memattn"]):  # the extension, which has not been built in a fresh clone
    from memattn.cli import app as commands
    from memattn.cli.options import GROUPS


def code(text: str) -> list[str]:
    """A block of code."""
    return [".. code-block:: text", "", *(f"   {line}" for line in text.splitlines()), ""]


def prose(text: str) -> list[str]:
    """Help as reStructuredText: paragraphs, and what follows a backspace as code."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        verbatim = paragraph.startswith("\b")
        lines += code(paragraph.removeprefix("\b\n")) if verbatim else [literal(paragraph), ""]
    return lines


def literal(text: str) -> str:
    """Text of a help, in which nothing is markup; names of options are code."""
    text = re.sub(r"([\\*`|])", r"\\\1", text)
    return re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"``\1``\\ ", text)


def option_lines(option: click.Option, context: click.Context) -> Iterator[str]:
    """One option, by the names and the text of `--help`."""
    names, text = option.get_help_record(context) or ("", "")
    # "-o, --output FILE", "--day-first / --no-day-first"
    *_, metavar = names.split(" ")
    metavar = "" if metavar.startswith("-") else f" {metavar}"
    words = re.split(", | / ", names.removesuffix(metavar))
    heads = [word + metavar for word in words]
    yield f".. option:: {', '.join(heads)}"
    yield ""
    yield f"   {literal(' '.join(text.split()))}"
    yield ""


def command_lines(name: str, command: click.Command) -> list[str]:
    """One command: what it does, examples, and its options in the groups of `--help`."""
    context = click.Context(command, info_name=f"memattn {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f".. program:: memattn {name}", "", *code(f"memattn {name} {usage}")]
    lines += prose(command.help or "")
    examples = getattr(command, "examples", ())
    if examples:
        lines += ["Examples:", "", *code("\n".join(examples))]
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    for group in GROUPS:
        shown = [one for one in options if getattr(one, "group", "Other") == group]
        if shown:
            lines += [f".. rubric:: {group} options", ""]
        for one in shown:
            lines += option_lines(one, context)
    return lines


class CommandLine(SphinxDirective):
    """``.. command-line::``: a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Parses the reStructuredText that the commands give."""
        sections: list[nodes.Node] = []
        for name, command in commands._memattn.commands.items():
            section = nodes.section(ids=[nodes.make_id(f"memattn {name}")])
            section += nodes.title("", "", nodes.literal("", f"memattn {name}"))
            self.state.document.note_implicit_target(section, section)
            text = "\n".join(command_lines(name, command))
            section += nested_parse_to_nodes(self.state, text, source=f"memattn {name} --help")
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
