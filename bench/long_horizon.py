"""The accuracy of the forecaster on ETTh1, a long hourly panel, with and without its memory.

    python -m bench.long_horizon ETTh1.csv --validate    # the validation that chose the settings
    python -m bench.long_horizon ETTh1.csv               # also on the test part
    python -m bench.long_horizon ETTh1.csv --validate --days 180 --horizons 24 96   # with less data

The file comes from https://github.com/zhouhaoyi/ETDataset, with 7 series of 17,420 hours. The
protocol is the usual one for long horizons: 12, 4 and 4 months of 30 days for training, validation
and test. Series are standardised with the mean and deviation of their training part. All windows
whose forecasts lie in a part are used, one row apart, with their history from the part before. MSE
and MAE are over all series, windows and steps. With --validate the rows of the test are not read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.forecasting import exit_code
from bench.tables import markdown
from memattn._memattn import PanelForecaster
from memattn.forecast import panel_from_file
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.panel import Panel
from memattn.forecast.forecaster_settings import (
    Setting,
    Settings,
    engine_options,
    last_values,
    past_seasons,
)
from memattn.forecast.layer_choice import CANDIDATES, choose_layers
from memattn.forecast.model import Model

Array = npt.NDArray[np.float64]

DAY = 24
MONTH = 30 * DAY
TRAIN_END, VALIDATION_END, TEST_END = 12 * MONTH, 16 * MONTH, 20 * MONTH
HORIZONS = (96, 192, 336, 720)


def load(path: Path, validate: bool) -> Panel:
    """Return the standardised panel; with `validate`, up to the end of the validation part."""
    panel = panel_from_file(path, time_col="date")
    rows = VALIDATION_END if validate else TEST_END
    if panel.lengths.min() < rows:
        raise ValueError(f"load: found {panel.lengths.min()} rows, expected {rows} or more")
    panel = panel.until(np.full(len(panel), rows))
    series = panel.values.reshape(len(panel), rows)
    train = series[:, :TRAIN_END]
    standard = (series - train.mean(axis=1, keepdims=True)) / train.std(axis=1, keepdims=True)
    panel.values[:] = standard.ravel()
    return panel


@dataclass
class Errors:
    """MSE and MAE on one part: of each member, and of the ensemble."""

    members: list[tuple[float, float]] = field(default_factory=list)
    ensemble: tuple[float, float] = (np.nan, np.nan)

    def cells(self) -> list[str]:
        """Return mean and range of the members' MSE, their mean MAE, and the ensemble's MSE."""
        mse, mae = np.array(self.members).T
        spread = f"{mse.mean():.4f} ({mse.min():.4f} to {mse.max():.4f})"
        return [spread, f"{mae.mean():.4f}", f"{self.ensemble[0]:.4f}"]


def measure(engine: PanelForecaster, panel: Panel, horizon: int, start: int, stop: int) -> Errors:
    """Return the errors of windows whose forecasts lie in rows start .. stop - 1."""
    times = np.arange(start, stop - horizon + 1)
    series = panel.values.reshape(len(panel), -1)
    errors = Errors()
    for member in (*range(engine.members), -1):
        squares, sizes = [], []
        for k, values in enumerate(series):
            truth = np.lib.stride_tricks.sliding_window_view(values[start:stop], horizon)
            which = np.full(len(times), k)
            found = engine.predict(panel.values, panel.offsets, which, times, member)[:, 0]
            squares.append(np.square(found - truth).mean())
            sizes.append(np.abs(found - truth).mean())
        result = float(np.mean(squares)), float(np.mean(sizes))
        if member < 0:
            errors.ensemble = result
        else:
            errors.members.append(result)
    return errors


@dataclass
class Trained:
    """A model trained on the training part."""

    engine: PanelForecaster
    seconds: float


def train(known: Panel, settings: Settings, **overrides: Any) -> Trained:
    """Return a model trained on the known rows."""
    engine = PanelForecaster(**(engine_options(settings) | overrides))
    start = time.perf_counter()
    engine.fit(known.values, known.offsets)
    return Trained(engine, time.perf_counter() - start)


def models(panel: Panel, horizon: int, seeds: int, days: int) -> tuple[dict[str, Trained], Setting]:
    """Return the models that the forecaster chooses between, others beside them, and its choice."""
    first = TRAIN_END - days * DAY
    known = rows_of(panel, first, VALIDATION_END)
    part = rows_of(panel, first, TRAIN_END)
    options = ForecasterOptions(horizon, members=seeds)
    settings = past_seasons(panel.season, options)
    trained: dict[str, Trained] = {}

    def candidate(name: str, rows: Panel, these: Settings) -> tuple[Model, bool]:
        trained[name] = train(rows, these)
        return Model(trained[name].engine, these), True

    chosen = choose_layers(known, settings, VALIDATION_END - TRAIN_END, candidate)
    assert chosen is not None
    with_memory = {**settings, "layers": Setting(CANDIDATES["memory"], "to compare")}
    trained["memory from zeros"] = train(part, with_memory, zero_memory=True)
    trained["last values"] = train(
        part, last_values(part.lengths, panel.frequency, panel.season, options)
    )
    return trained, chosen["layers"]


def rows_of(panel: Panel, start: int, stop: int) -> Panel:
    """Return a range of rows of each series."""
    series = panel.values.reshape(len(panel), -1)[:, start:stop]
    offsets = np.arange(len(panel) + 1) * (stop - start)
    return replace(panel, values=series.ravel(), offsets=offsets)


def run(options: argparse.Namespace) -> None:
    """Measure all horizons and models, and print their table."""
    panel = load(options.data, options.validate)
    parts = {"validation": (TRAIN_END, VALIDATION_END)}
    if not options.validate:
        parts["test"] = (VALIDATION_END, TEST_END)
    header = ["horizon, model"]
    for part in parts:
        header += [f"{part}: MSE, mean (range)", "MAE, mean", "MSE, all"]
    rows, choices = [], []
    for horizon in options.horizons:
        trained, chosen = models(panel, horizon, options.seeds, options.days)
        choices.append(f"{horizon}: layers {chosen}")
        for name, model in trained.items():
            marked = CANDIDATES.get(name) == chosen.value
            row = [f"{horizon}, {name}{', chosen' if marked else ''}"]
            for start, stop in parts.values():
                row += measure(model.engine, panel, horizon, start, stop).cells()
            rows.append([*row, f"{model.seconds:.1f}"])
            print(rows[-1], file=sys.stderr)
    print(markdown([*header, "training, s"], rows))
    print(*choices, sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("python -m bench.long_horizon", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("data", type=Path, help="ETTh1.csv")
    parse.add_argument("--validate", action="store_true", help="do not read the test part")
    parse.add_argument("--seeds", type=int, default=5, help="members of each model")
    parse.add_argument("--days", type=int, default=360, help="number of last days to train on")
    parse.add_argument("--horizons", type=int, nargs="+", default=HORIZONS)
    options = parse.parse_args(arguments)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
