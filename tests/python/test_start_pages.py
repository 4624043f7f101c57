"""The Start pages of docs: their ```python and ```sh blocks run in order, as for a reader.

Consecutive blocks of one language are one program, and the files that it writes are there for the
next. MEMATTN_TEST_HOST selects the pages, as in test_pages.py. Pages that need no framework train
for few steps in the short form.
"""

import os
import re
import sys
from itertools import groupby
from pathlib import Path

import pytest

from .pages import ROOT, Block, blocks, run, short_form

HOST = os.environ.get("MEMATTN_TEST_HOST")
START = ROOT / "docs" / "start"
PAGES = {
    "keras2": ["keras"],
    "keras3": ["keras"],
    "torch": ["pytorch"],
    "jax": ["jax"],
    None: ["csv", "data-frame"],
}
ELSEWHERE = ["cpp"]  # test_cpp_blocks.py runs its blocks
SHELL = "set -euo pipefail\n"
# The environments of the hosts lack the packages of the command.
PYTHON = ROOT / ".venv/bin/python" if HOST else sys.executable


def in_order(page: Path) -> list[Block]:
    """Return the blocks that run, in the order of the page."""
    found = [*blocks(page, "python"), *blocks(page, "sh")]
    return sorted((block for block in found if block.only in ("", HOST)), key=lambda one: one.line)


def language_of(block: Block) -> str:
    """Return the word after the fence."""
    fence = block.page.read_text(encoding="utf-8").splitlines()[block.line - 1]
    return re.fullmatch(r"```(\w+)(?: \w+)?", fence)[1]


def test_every_start_page_is_tested() -> None:
    known = {name for names in PAGES.values() for name in names} | set(ELSEWHERE)
    assert {page.stem for page in START.glob("*.md")} == known


@pytest.mark.parametrize("name", PAGES.get(HOST, []))
def test_a_start_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "memattn"
    command.parent.mkdir()
    program = command.with_name("program.py")
    command.write_text(f'#!/bin/sh\nexec "{PYTHON}" "{program}" "$@"\n')
    command.chmod(0o755)
    found = in_order(START / f"{name}.md")
    assert found
    text = "".join(block.code for block in found)
    short = ""
    if HOST is None:
        short = short_form("write_report(" in text or "--report" in text)
    main = "from memattn.cli import main\nmain()\n"
    program.write_text(f"{short}{main}", encoding="utf-8")
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    programs = [
        (language, "\n".join(block.code for block in group))
        for language, group in groupby(found, language_of)
    ]
    # The parts of earlier Python blocks that a later one uses, although commands stand between
    # them.
    before = short if "memattn.forecast" in text else ""
    for language, code in programs:
        if language == "sh":
            run("bash", "-c", SHELL + code, cwd=tmp_path)
        else:
            before += code
            program = tmp_path / "program.py"
            program.write_text(before, encoding="utf-8")
            run(sys.executable, program, cwd=tmp_path)
