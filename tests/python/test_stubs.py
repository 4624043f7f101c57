"""The committed stub of the extension equals the one that nanobind generates from it."""

import difflib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_stub_is_current(tmp_path: Path) -> None:
    made = tmp_path / "_memattn.pyi"
    patterns = ROOT / "python/bindings/stub_patterns.txt"
    command = [sys.executable, "-m", "nanobind.stubgen", "--quiet", "-m", "memattn._memattn"]
    subprocess.run([*command, "-p", str(patterns), "-o", str(made)], cwd=tmp_path, check=True)
    difference = difflib.unified_diff(
        (ROOT / "python/memattn/_memattn.pyi").read_text(encoding="utf-8").splitlines(),
        made.read_text(encoding="utf-8").splitlines(),
        "committed",
        "made now",
        lineterm="",
    )
    assert "\n".join(difference) == "", "run scripts/format"
