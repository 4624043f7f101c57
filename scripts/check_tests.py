"""Finds C++ tests that never run.

tests/cpp has a folder for each module of src/ that it tests. Prints each *_test.cc that the
CMakeLists.txt beside it does not name, and each folder without a module, and exits with status 1.
"""

import re
import sys
from pathlib import Path

from exit_status import report

ROOT = Path(__file__).resolve().parent.parent
TESTING = "testing"  # code that the tests share


def never_run(folder: Path) -> list[str]:
    """Return the tests in a folder that its CMakeLists.txt does not name."""
    words = set(re.findall(r"\w+", (folder / "CMakeLists.txt").read_text(encoding="utf-8")))
    # Either NAME_test, or NAME in a loop that appends the suffix.
    return [
        path.name
        for path in sorted(folder.glob("*_test.cc"))
        if path.stem not in words and path.stem.removesuffix("_test") not in words
    ]


def violations() -> list[str]:
    """Return one line for each test that never runs and each folder without a module."""
    tests = ROOT / "tests" / "cpp"
    found = []
    for folder in sorted(path for path in tests.iterdir() if path.is_dir()):
        if folder.name == TESTING:
            continue
        place = folder.relative_to(ROOT)
        if not (ROOT / "src" / folder.name).is_dir():
            found.append(f"{place}: src/ has no module of that name")
        found += [f"{place}/{name}: not in {place}/CMakeLists.txt" for name in never_run(folder)]
    return found


if __name__ == "__main__":
    sys.exit(report(violations()))
