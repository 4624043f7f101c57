"""Prints the coverage measured by scripts/coverage, and exits with status 1 if it is too low.

Lines and branches are counted per area, so that a well-tested area does not hide another. Every
line that no test reached is listed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from exit_status import report

COVERAGE = Path(__file__).resolve().parent.parent / "build" / "coverage"
LINES = 0.98
BRANCHES = 0.95

# The areas and their files, all of which must have been measured.
AREAS = {
    "src/io": ["src/io/*"],
    "src/layer": ["src/layer/*"],
    "convert": ["*/convert/*"],
    "readers of tables": [
        "*/memattn/csv_reader.py",
        "*/memattn/file_kinds.py",
        "*/forecast/data/panel_files.py",
        "*/forecast/data/table_files.py",
        "*/forecast/data/arrow_columns.py",
        "*/forecast/data/column_types.py",
        "*/forecast/data/frame_columns.py",
        "*/forecast/data/form_config.py",
        "*/forecast/data/parquet_reader.py",
        "*/forecast/data/parquet_child.py",
    ],
    "writers of files": ["*/memattn/files.py"],
    "files of the forecaster": [
        "*/forecast/forecaster_file.py",
        "*/forecast/state_file.py",
        "*/forecast/checkpoint.py",
    ],
}


@dataclass(frozen=True)
class Counts:
    """The lines and branches of a file, and how many of them tests reached."""

    name: str
    lines: int
    lines_reached: int
    branches: int
    branches_reached: int
    missing: str = ""


def of_gcovr(file: dict[str, Any]) -> Counts:
    """Return a file's counts from gcovr's summary."""
    return Counts(
        file["filename"],
        file["line_total"],
        file["line_covered"],
        file["branch_total"],
        file["branch_covered"],
    )


def of_coverage(name: str, file: dict[str, Any]) -> Counts:
    """Return a file's counts from coverage.py's report."""
    summary = file["summary"]
    missing = [str(line) for line in file["missing_lines"]]
    missing += [f"{start}->{end}" for start, end in file["missing_branches"]]
    return Counts(
        name,
        summary["num_statements"],
        summary["covered_lines"],
        summary["num_branches"],
        summary["covered_branches"],
        " ".join(missing),
    )


def measured(folder: Path = COVERAGE) -> list[Counts]:
    """Return the counts of all measured files."""
    cpp = json.loads((folder / "cpp.json").read_text(encoding="utf-8"))
    python = json.loads((folder / "python.json").read_text(encoding="utf-8"))
    return [of_gcovr(file) for file in cpp["files"]] + [
        of_coverage(name, file) for name, file in python["files"].items()
    ]


def share(reached: int, total: int) -> float:
    """Return the share that was reached; 1 if there is nothing to reach."""
    return reached / total if total else 1.0


def failures(files: list[Counts]) -> list[str]:
    """Print the table; return the areas that are below the limit or were not measured."""
    found = []
    print(f"{'':44}{'lines':>16}{'branches':>18}")
    for area, patterns in AREAS.items():
        members = [file for file in files if any(fnmatch(file.name, p) for p in patterns)]
        found += [
            f"{area}: no file {pattern} was measured"
            for pattern in patterns
            if not any(fnmatch(file.name, pattern) for file in files)
        ]
        lines = sum(file.lines for file in members)
        branches = sum(file.branches for file in members)
        line_share = share(sum(file.lines_reached for file in members), lines)
        branch_share = share(sum(file.branches_reached for file in members), branches)
        print(f"{area:44}{line_share:8.1%} of{lines:5}{branch_share:9.1%} of{branches:5}")
        for file in members:
            row = share(file.lines_reached, file.lines), share(file.branches_reached, file.branches)
            if row != (1.0, 1.0):
                name = file.name.rpartition("memattn/")[2]
                print(f"  {name:42}{row[0]:8.1%}{row[1]:17.1%}        {file.missing}")
        if not line_share >= LINES:
            found.append(f"{area}: {line_share:.1%} of lines, expected {LINES:.0%}")
        if not branch_share >= BRANCHES:
            found.append(
                f"{area}: {branch_share:.1%} of branches, expected at least {BRANCHES:.0%}"
            )
    return found


if __name__ == "__main__":
    sys.exit(report(failures(measured())))
