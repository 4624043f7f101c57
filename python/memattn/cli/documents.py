"""Parts of the JSON documents about forecasts; undefined numbers become null."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memattn.cli.errors import option_of
from memattn.forecast.arguments import EXOG
from memattn.forecast.data.frames import Forecasts, forecast_frame
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import TO_USE_COLUMNS, Panel
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.file_passes import Passes
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.measured import METHODS


def input_document(file: Path, panel: Panel) -> dict[str, Any]:
    """Returns the description of the data: file, series, values, frequency and season."""
    return {
        "file": str(file),
        "series": len(panel),
        "values": len(panel.values),
        "spacing": panel.frequency.words,
        "season": panel.season,
    }


def passes_document(file: Path, passes: Passes, forecaster: Forecaster) -> dict[str, Any]:
    """Returns the description of data that was read in passes, as `input_document` does."""
    return {
        "file": str(file),
        "series": passes.series,
        "values": passes.values,
        "spacing": forecaster.spacing,
        "season": int(forecaster.settings["season"].value),
    }


def notes_document(notes: Sequence[Note]) -> list[dict[str, Any]]:
    """Returns the notes about the data, with their texts."""
    return [vars(note) | {"text": note_text(note)} for note in notes]


def training_document(forecaster: Forecaster, seconds: float) -> dict[str, Any]:
    """Returns the notes, the settings and the duration of a training."""
    return {
        "notes": notes_document(forecaster.notes),
        "settings": {name: vars(setting) for name, setting in forecaster.settings.items()},
        "training": {"seconds": round(seconds, 3)},
    }


def note_text(note: Note) -> str:
    """Returns the text of a note, with arguments named as command-line options."""
    head, advice, rest = note.text.partition(TO_USE_COLUMNS)
    for argument in EXOG:
        advice = advice.replace(argument, option_of(argument))
    return head + advice + rest


def accuracy_document(result: Evaluation | None) -> dict[str, Any] | None:
    """Returns errors and coverage, overall and by step ahead."""
    if result is None:
        return None
    return {
        "windows": len(result),
        "overall": {method: vars(result.overall(method)) for method in METHODS},
        "by_step": {method: vars(result.by_step(method)) for method in METHODS},
        "coverage": {
            f"{level:g}": {
                "percent": result.coverage(level),
                "by_step": result.coverage_by_step(level),
                "windows": result.covered_windows(level),
                "calibrated_on": result.calibrated_on or None,
            }
            for level in result.intervals
        },
    }


def forecast_records(found: Forecasts) -> list[dict[str, Any]]:
    """Returns the rows of the forecast table as dictionaries."""
    table = forecast_frame(found.panel, found.values, found.intervals, kind="small")
    columns = table.to_dict()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
