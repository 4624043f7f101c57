"""From a file or a frame to a forecast: plan, train, validate, and look ahead."""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memattn.csv_reader import Table, read_csv
from memattn.errors import DataError, quoted
from memattn.forecast import intervals
from memattn.forecast.metrics import accuracy, seasonal_scale
from memattn.forecast.plan import Plan, make_plan
from memattn.forecast.result import (
    BASELINES,
    METHODS,
    MODEL,
    ForecastResult,
    Settings,
    TargetForecast,
    Validation,
)
from memattn.forecast.settings import Split

if TYPE_CHECKING:
    import pandas as pd

    from memattn._memattn import Forecaster

Array = npt.NDArray[np.float64]
Progress = Callable[[int, int, float], object]

MAX_VALIDATION_WINDOWS = 4000  # for each target; more are thinned out evenly
PREDICT_CHUNK = 256  # windows; short enough for a prompt Ctrl-C between two


def forecast_csv(
    path: str | Path,
    horizon: int,
    *,
    time: str | None = None,
    targets: Sequence[str] | None = None,
    lookback: int | None = None,
    season: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ForecastResult:
    """Trains a forecaster on a CSV file, validates it on the newest 20 %, and looks ahead.

    Parameters
    ----------
    path : str or Path
        A CSV file with a header, one row for each time, equally spaced and ascending.
    horizon : int
        How many rows to forecast.
    time : str, optional
        The column of times. Default: the first column of dates, else the rows are counted.
    targets : sequence of str, optional
        The columns to forecast. Default: all columns of numbers.
    lookback : int, optional
        How many rows the model sees. Default: about seven seasons, fewer for a short series.
    season : int, optional
        Rows after which the series repeats. Default: from the spacing, if the values agree.
    epochs : int, optional
        Passes over the training windows. Default: enough for about 1,000 steps.
    seed : int
        Of the initial weights and the order of training; the same seed gives the same forecast.
    progress : callable, optional
        Called as progress(step, steps, loss) about 20 times a second while training.

    Returns
    -------
    ForecastResult

    Raises
    ------
    DataError
        The file or an option cannot be used; a ValueError that names file, line and column.
    """
    plan = make_plan(
        read_csv(Path(path)),
        horizon,
        time=time,
        targets=targets,
        lookback=lookback,
        season=season,
        epochs=epochs,
        seed=seed,
    )
    return execute(plan, progress)


def forecast_frame(
    frame: pd.DataFrame,
    horizon: int,
    *,
    time: str | None = None,
    targets: Sequence[str] | None = None,
    lookback: int | None = None,
    season: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> ForecastResult:
    """As `forecast_csv`, from a pandas DataFrame; a DatetimeIndex counts as the first column."""
    import pandas as pd

    if isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis(str(frame.index.name or "time")).reset_index()
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            problem = f"found the column name {quoted(name)} twice, expected different names"
            raise DataError("duplicate-column", problem, column=name)
    rows = [[str(value).strip() for value in row] for row in frame.itertuples(index=False)]
    if not rows:
        raise DataError("no-rows", "found a frame without rows, expected rows")
    plan = make_plan(
        Table(names, rows, list(range(1, len(rows) + 1))),
        horizon,
        time=time,
        targets=targets,
        lookback=lookback,
        season=season,
        epochs=epochs,
        seed=seed,
    )
    return execute(plan, progress)


def execute(plan: Plan, progress: Progress | None = None) -> ForecastResult:
    """Trains, validates and looks ahead as planned."""
    chosen, split = plan.settings, plan.split
    model = _make_model(chosen)
    start = clock.perf_counter()
    model.fit([values[: split.train_end] for values in plan.series], progress)
    seconds = clock.perf_counter() - start

    forecasts = [
        _forecast(model, name, values, split, chosen)
        for name, values in zip(plan.names, plan.series, strict=True)
    ]
    return ForecastResult(
        source=plan.source,
        axis=plan.axis,
        times=plan.times,
        targets=forecasts,
        settings=chosen,
        train_end=split.train_end,
        training_seconds=seconds,
        warnings=_warnings(forecasts, split, chosen.horizon),
        model=model,
    )


def _make_model(chosen: Settings) -> Forecaster:
    from memattn._memattn import Forecaster

    return Forecaster(
        lookback=chosen.lookback,
        horizon=chosen.horizon,
        season=chosen.season,
        patch_size=chosen.patch_size,
        units=chosen.units,
        memory_size=chosen.memory_size,
        num_heads=chosen.num_heads,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        seed=chosen.seed,
    )


def _forecast(
    model: Forecaster, name: str, values: Array, split: Split, chosen: Settings
) -> TargetForecast:
    validation = _validate(model, values, split, chosen)
    scale = seasonal_scale(values[: split.train_end], chosen.season)
    errors = validation.errors(MODEL)
    last_window = np.ascontiguousarray(values[None, -chosen.lookback :])
    return TargetForecast(
        name=name,
        values=values,
        forecast=model.predict(last_window)[0],
        half_widths={level: intervals.half_widths(errors, level) for level in intervals.LEVELS},
        validation=validation,
        accuracy={
            method: accuracy(validation.forecasts[method], validation.truth, scale)
            for method in METHODS
        },
        coverage=_measure_coverage(validation.origins, errors),
    )


def _validate(model: Forecaster, values: Array, split: Split, chosen: Settings) -> Validation:
    """Forecasts from every held-out origin; the rows that they see may be training rows."""
    count = split.length - split.train_end - chosen.horizon + 1
    stride = -(-count // MAX_VALIDATION_WINDOWS)
    origins = np.arange(split.train_end, split.length - chosen.horizon + 1, stride)
    truth = np.lib.stride_tricks.sliding_window_view(values, chosen.horizon)[origins]
    past = np.lib.stride_tricks.sliding_window_view(values, chosen.lookback)
    forecasts = np.concatenate(
        [
            model.predict(
                np.ascontiguousarray(past[origins[k : k + PREDICT_CHUNK] - chosen.lookback])
            )
            for k in range(0, len(origins), PREDICT_CHUNK)
        ]
    )
    steps = np.arange(chosen.horizon)
    season_ago = origins[:, None] - chosen.season + steps % chosen.season
    baselines = {
        "seasonal-naive": values[season_ago],
        "naive": np.repeat(values[origins - 1][:, None], chosen.horizon, axis=1),
    }
    return Validation(origins, truth, {MODEL: forecasts, **{b: baselines[b] for b in BASELINES}})


def _measure_coverage(origins: npt.NDArray[np.int64], errors: Array) -> dict[int, float | None]:
    """Calibrates on the first half of the windows and measures on the second.

    Between the two, windows that share a value with the second half are left out.
    """
    test = len(origins) // 2
    calibration = int(np.sum(origins + errors.shape[1] <= origins[test]))
    if calibration < intervals.windows_needed(max(intervals.LEVELS)):
        return dict.fromkeys(intervals.LEVELS)
    return {
        level: intervals.coverage(errors[test:], intervals.half_widths(errors[:calibration], level))
        for level in intervals.LEVELS
    }


def _warnings(targets: Sequence[TargetForecast], split: Split, horizon: int) -> list[str]:
    found = []
    for target in targets:
        if target.skill is None or target.skill < 0:
            found.append(
                f"{quoted(target.name)}: seasonal-naive was better on the held-out windows; "
                "prefer it, or give more data"
            )
    windows = len(targets[0].validation.origins)
    for level in intervals.LEVELS:
        if windows < intervals.windows_needed(level):
            found.append(
                f"only {windows} held-out windows: the {level} % interval is no wider than the "
                f"largest error seen, and needs {intervals.windows_needed(level)} windows to be one"
            )
    apart = (split.length - split.train_end) // horizon
    if apart < 10:
        found.append(
            f"the held-out rows hold only {apart} separate horizon{'s' * (apart != 1)}: the "
            "accuracy and the intervals rest on little evidence"
        )
    return found
