"""`memattn predict`: a forecast from a kept model, with few imports, for scripts run it often."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from memattn.cli.fitting import check_outputs, in_words_of_options, read
from memattn.cli.forecast_options import LEVELS
from memattn.cli.output import write_file
from memattn.errors import printable
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.table_files import check_table_file, for_file, table_bytes
from memattn.forecast.forecaster import Forecaster


def predict_command(
    *, model: Path, data: Path | None, levels: Sequence[float], output: Path, as_json: bool
) -> None:
    """Runs the command; see `memattn predict --help`. Raises DataError."""
    check_outputs({"--output": output}, model, data)
    check_table_file(output)
    with in_words_of_options(model):
        forecaster = Forecaster.load(model)
    panel = None if data is None else read(forecaster, data)
    if not levels and forecaster.is_calibrated:
        trained = forecaster.settings.get("levels")
        levels = trained.value if trained is not None else LEVELS
    with in_words_of_options():
        found = forecaster.forecasts(levels, data=panel)
    table = forecast_frame(for_file(found.panel, output), found.values, found.intervals)
    write_file(output, table_bytes(table))
    if as_json:
        from memattn.cli.documents import forecast_records, input_document, notes_document
        from memattn.cli.output import print_json

        document = {
            "model": str(model),
            "input": input_document(model if data is None else data, found.panel),
            "notes": notes_document(found.panel.notes),
            "files": {"forecast": str(output)},
            "forecast": forecast_records(found),
        }
        print_json(document)
        return
    series, rows = plural(len(found.panel), "series", "series"), found.values.shape[1]
    for note in found.panel.notes:
        sys.stdout.write(f"  {printable(str(note))}\n")
    sys.stdout.write(f"wrote {printable(str(output))}: {series}, {rows:,} rows ahead\n")
