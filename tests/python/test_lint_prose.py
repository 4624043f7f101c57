"""scripts/lint-prose on good and bad samples; scripts/test runs it on the pages."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from .pages import ROOT

SCRIPT = ROOT / "scripts" / "lint-prose"


def words(count: int) -> str:
    """Return a sentence of `count` words, in lines that are short enough."""
    return textwrap.fill(" ".join(["Words", *["word"] * (count - 1)]) + ".", 90)


LONG = words(36)


def lint(page: Path | None = None) -> tuple[int, str]:
    """Return the exit status and the output of the script."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *([page] if page else [])], capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "A caller that reads the file sees the old one.",
        "# What is refused",
        "What is a slot? A row of the memory.",
        "The page says what the layer computes, and what its gradients are.",
        "The options are those of `Forecaster`.",
        words(35) + "\n" + words(35),
        words(30) + "\n`Code` begins a sentence.\n" + words(30),
        f"```text\n{'x' * 120}\nWho reads, reads.\n```",
        f"A command:\n\n    {'x' * 120} as Keras has it\n",
        f"| a cell | {'x' * 120} |",
        f"A [link](https://example.org/{'x' * 120}) may be longer than a line.",
        "Code such as `as Keras has it` is not read.",
        "`a`" * 30 + "\n" + "`a` " * 20,
        "- many words without a full stop in an item of a list, twenty of them if somebody counts\n"
        * 3,
    ],
)
def test_good_sentences_pass(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A first line.\n\n" + text + "\n", encoding="utf-8")
    assert lint(page) == (0, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Who folds, folds in every step.", '"Who"'),
        ("Whoever opens the target sees the old file.", '"Whoever"'),
        ("The file is no secret to whoever has it.", '"whoever"'),
        ("It is slower for who folds by hand.", '"for who"'),
        ("What was learned stays.", '"What"'),
        ("A token reads the sum of what it wants.", '"of what"'),
        ("The gradient is\nwhat it is.", '"is what"'),
        ("It is another draw, and that of a GPU.", '"and that of"'),
        ("- layers: 2 (as M3's validation has them, as Keras has it)", '"as Keras has it"'),
        ("| cell | a table as RFC 8259 has it |", '"as RFC 8259 has it"'),
        ("The slots stay equal for ever.", '"for ever"'),
        ("The forecast is 12 rows ahead.", '"rows ahead"'),
        (LONG, "sentence of 36 words"),
        (f"Short.\n{LONG[:-1]}\nand three more", "sentence of 39 words"),
        ("- " + LONG.replace("\n", "\n  "), "sentence of 36 words"),
        ("x " * 51, "line of 102 columns"),
    ],
)
def test_bad_sentences_are_found(text: str, problem: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("A first line.\n\n" + text + "\n\nA last one.\n", encoding="utf-8")
    status, printed = lint(page)
    assert status == 1
    assert printed.startswith(f"{page}:3: ")
    assert problem in printed


def test_the_reported_line_is_that_of_the_paragraph(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\ncode\n```\n\nOne.\nTwo.\n\nFor ever is for ever.\n", encoding="utf-8")
    assert lint(page)[1].startswith(f"{page}:8: ")
