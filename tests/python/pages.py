"""The fenced blocks of code in README.md and docs/, for the tests that run them."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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
