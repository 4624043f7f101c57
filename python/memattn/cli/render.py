"""A forecast as text for people and as a JSON document for programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from memattn.cli.output import print_line
from memattn.errors import printable
from memattn.forecast.accuracy_table import NUMBER_COLUMNS, accuracy_rows
from memattn.forecast.intervals import LEVELS
from memattn.forecast.plan import Plan
from memattn.forecast.result import METHODS, MODEL, ForecastResult


def print_heading(console: Console, plan: Plan) -> None:
    """What is forecast, and what was decided on the way."""
    rows, ahead = plan.split.length, plan.settings.horizon
    print_line(console, f"{printable(plan.source)}: {rows:,} rows, {ahead:,} ahead", "bold")
    for note in plan.settings.notes:
        print_line(console, f"  {note}")


def print_outcome(console: Console, result: ForecastResult, files: list[Path]) -> None:
    """How good the forecast is likely to be, and where it was written."""
    validation = result.targets[0].validation
    print_line(
        console,
        f"\nTrained {result.training_seconds:.1f} s on the first {result.train_end:,} rows. "
        f"Accuracy on {len(validation.origins):,} windows of the rows after them:",
    )
    console.print(_accuracy_table(result))
    for level in LEVELS:
        measured = result.overall_coverage(level)
        told = f"{measured:.1f} %" if measured is not None else "not measured: too few windows"
        print_line(
            console, f"truths inside the {level} % interval, on windows it had not seen: {told}"
        )
    for warning in result.warnings:
        print_line(console, f"note: {warning}", "yellow")
    for path in files:
        print_line(console, f"wrote {printable(str(path))}", "green")


def _accuracy_table(result: ForecastResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("target", overflow="fold")
    table.add_column("method")
    for name in NUMBER_COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in accuracy_rows(result):
        table.add_row(
            Text(printable(row.target) if row.method == MODEL else ""),
            row.method,
            *row.cells,
            style="bold" if row.method == MODEL else "",
            end_section=row.method == METHODS[-1],
        )
    return table


def to_document(
    result: ForecastResult, data: Path, output: Path, report: Path | None
) -> dict[str, Any]:
    """All of it as what json.dumps takes; numbers that are not defined are None."""
    settings = asdict(result.settings)
    notes = settings.pop("notes")
    columns = result.columns()[2:]
    return {
        "input": {
            "file": str(data),
            "rows": result.rows,
            "time": result.axis.column,
            "spacing": result.axis.spacing,
            "first": result.axis.labels[0],
            "last": result.axis.labels[-1],
            "targets": [target.name for target in result.targets],
        },
        "settings": settings,
        "notes": list(notes),
        "training": {
            "rows": result.train_end,
            "parameters": result.model.count_params(),
            "seconds": round(result.training_seconds, 3),
        },
        "validation": {
            "windows": len(result.targets[0].validation.origins),
            "rows": result.rows - result.train_end,
            "targets": {
                target.name: {
                    "accuracy": {m: asdict(target.accuracy[m]) for m in METHODS},
                    "skill": target.skill,
                    "coverage": {str(level): target.coverage[level] for level in LEVELS},
                }
                for target in result.targets
            },
            "overall": {
                "accuracy": {m: asdict(result.overall(m)) for m in METHODS},
                "skill": result.overall_skill,
                "coverage": {str(level): result.overall_coverage(level) for level in LEVELS},
            },
        },
        "forecast": [
            {"unique_id": name, "ds": time, **dict(zip(columns, numbers, strict=True))}
            for name, time, numbers in result.records()
        ],
        "warnings": result.warnings,
        "files": {"forecast": str(output), "report": None if report is None else str(report)},
    }
