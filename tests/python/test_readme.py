"""Every ```python block of README.md runs, each separately."""

import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks, parameters, run

README = blocks(ROOT / "README.md", "python")


def test_readme_has_python_blocks() -> None:
    assert README


@pytest.mark.parametrize("code", parameters(README))
def test_a_python_block_runs(code: str, tmp_path: Path) -> None:
    source = tmp_path / "readme.py"
    source.write_text(code, encoding="utf-8")
    run(sys.executable, "-W", "error", source, cwd=tmp_path)
