"""README.md is short, and each ```python block in it runs on its own."""

import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks, parameters, run

README = blocks(ROOT / "README.md", "python")


def test_readme_has_blocks_and_is_short() -> None:
    assert README
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("code", parameters(README))
def test_a_python_block_runs(code: str, tmp_path: Path) -> None:
    source = tmp_path / "readme.py"
    source.write_text(code, encoding="utf-8")
    run(sys.executable, "-W", "error", source, cwd=tmp_path)
