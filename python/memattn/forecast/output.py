"""The forecast as a file."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memattn.forecast.result import ForecastResult


def forecast_csv_text(result: ForecastResult) -> str:
    """The forecast table as CSV: unique_id, ds, memattn, memattn-lo-80, memattn-hi-80, ..."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns())
    for name, time, numbers in result.records():
        writer.writerow([name, time, *(f"{number:.8g}" for number in numbers)])
    return text.getvalue()
