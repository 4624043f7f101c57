"""Every ```cpp and ```python block of README.md compiles and runs, each on its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"


def blocks(language: str) -> list[object]:
    """All fenced blocks of one language, as parameters named by their line."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(match[1], id=f"line {text.count(chr(10), 0, match.start()) + 1}")
        for match in fence.finditer(text)
    ]


def run(*command: object, cwd: Path) -> None:
    """Run a command that has to succeed; a failure shows its output."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope="module")
def library() -> Path:
    """Return libmemattn.a, which scripts/test has built before."""
    if not (BUILD / "CMakeCache.txt").exists():
        run("cmake", "--preset", "release", cwd=ROOT)
    run("cmake", "--build", BUILD, "--target", "memattn", cwd=ROOT)
    return BUILD / "src" / "libmemattn.a"


def test_readme_has_blocks() -> None:
    assert blocks("cpp")
    assert blocks("python")


@pytest.mark.parametrize("code", blocks("cpp"))
def test_cpp_block(code: str, library: Path, tmp_path: Path) -> None:
    source = tmp_path / "readme.cc"
    source.write_text(code, encoding="utf-8")
    binary = tmp_path / "readme"
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}"]
    run("g++", *flags, source, library, "-o", binary, cwd=tmp_path)
    run(binary, cwd=tmp_path)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block(code: str, tmp_path: Path) -> None:
    source = tmp_path / "readme.py"
    source.write_text(code, encoding="utf-8")
    run(sys.executable, "-W", "error", source, cwd=tmp_path)
