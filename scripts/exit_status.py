"""How a script that checks something reports: one line for each finding, and status 1 for any."""

from __future__ import annotations


def report(findings: list[str]) -> int:
    """Print the findings; return the status that the script exits with: 1 if there are any."""
    for line in findings:
        print(line)
    return 1 if findings else 0
