"""The report of a script that checks something: a line for each finding, and status 1 if any."""

from __future__ import annotations


def report(findings: list[str]) -> int:
    """Print the findings; return the exit status of the script, 1 if there are any."""
    for line in findings:
        print(line)
    return 1 if findings else 0
