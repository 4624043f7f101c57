"""The fenced blocks of code in README.md and docs/, for the tests that run them."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from .sampling import LONG

ROOT = Path(__file__).resolve().parents[2]


FEW_STEPS = """
from memattn.forecast import model
def few(settings, *rest, options=model.engine_options):
    found = options(settings, *rest)
    return found | {"steps": min(found["steps"], STEPS)}
model.engine_options = few
"""
ONE_SLOT = """
from memattn.forecast.report import page
page.SLOTS_DRAWN = 1
"""


@dataclass(frozen=True)
class Block:
    """A fenced block; `only` is the word after the language, such as keras2 in ```python keras2."""

    page: Path
    line: int
    only: str
    code: str


def blocks(page: Path, language: str) -> list[Block]:
    """Return all blocks of one language in a page."""
    text = page.read_text(encoding="utf-8")
    fence = re.compile(rf"^```{language}(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1] or "", match[2])
        for match in fence.finditer(text)
    ]


def short_form(report: bool, steps: int = 20) -> str:
    """Return code that shortens the training and the reports of a program that it begins.

    Networks train for few steps, enough for what the pages assert, and reports draw one slot of
    each layer. In the long form there is no such code, so that a program does as its readers do.
    """
    if LONG:
        return ""
    return f"STEPS = {steps}\n{FEW_STEPS}{ONE_SLOT if report else ''}"


def parameters(found: list[Block]) -> list[object]:
    """Return blocks as pytest parameters, named by page and line."""
    return [pytest.param(block.code, id=f"{block.page.name} line {block.line}") for block in found]


def run(*command: object, cwd: Path) -> None:
    """Run a command that must succeed; a failure shows its output."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
