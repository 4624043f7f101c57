"""The directive `command-line`: lists every command of `memattn` and its options.

It imports the commands and reads their click objects, which needs click and nothing else.
sphinx-click would do the same, but knows neither the option groups nor the examples.
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

with mock(["memattn._memattn"]):  # a fresh clone has no built extension
    from memattn.cli import app as commands
    from memattn.cli.options import GROUPS


def code(text: str) -> list[str]:
    """Returns a code block."""
    return [".. code-block:: text", "", *(f"   {line}" for line in text.splitlines()), ""]


def prose(text: str) -> list[str]:
    """Returns a help text as reStructuredText; a paragraph that begins with a backspace is code."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        verbatim = paragraph.startswith("\b")
        lines += code(paragraph.removeprefix("\b\n")) if verbatim else [literal(paragraph), ""]
    return lines


def literal(text: str) -> str:
    """Escapes all markup in a help text, and formats option names as code."""
    text = re.sub(r"([\\*`|])", r"\\\1", text)
    return re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"``\1``\\ ", text)


def option_lines(option: click.Option, context: click.Context) -> Iterator[str]:
    """Yields the entry of an option, with its names and text as in `--help`."""
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
    """Returns the entry of a command: usage, help, examples, and options grouped as in `--help`."""
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
    """``.. command-line::`` adds a section for each command."""

    def run(self) -> list[nodes.Node]:
        """Parses the reStructuredText of each command."""
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
