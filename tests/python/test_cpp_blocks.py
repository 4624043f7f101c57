"""Every ```cpp block of README.md and docs/ compiles without warnings and runs.

A program may write files, so it runs in its own folder.
"""

from pathlib import Path

import pytest

from .pages import ROOT, blocks, parameters, run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BUILD = ROOT / "build" / "release"
FLAGS = ["-std=c++20", "-pthread", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]


@pytest.fixture(scope="module")
def library() -> Path:
    """Return libmemattn.a, which scripts/test has already built."""
    if not (BUILD / "CMakeCache.txt").exists():
        run("cmake", "--preset", "release", cwd=ROOT)
    run("cmake", "--build", BUILD, "--target", "memattn", cwd=ROOT)
    return BUILD / "src" / "libmemattn.a"


def test_readme_has_cpp_blocks() -> None:
    assert blocks(ROOT / "README.md", "cpp")


@pytest.mark.parametrize(
    "code", parameters([block for page in PAGES for block in blocks(page, "cpp")])
)
def test_cpp_block_compiles_and_runs(code: str, library: Path, tmp_path: Path) -> None:
    source = tmp_path / "block.cc"
    source.write_text(code, encoding="utf-8")
    program = tmp_path / "block"
    run("g++", *FLAGS, source, library, "-o", program, cwd=tmp_path)
    run(program, cwd=tmp_path)
