"""A model of fev, so that its tasks and benchmarks can be run with a forecaster.

>>> from memattn.forecast.adapters.fev import MemattnModel  # doctest: +SKIP
>>> task.evaluation_summary(MemattnModel().fit_predict(task), "memattn")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import fev
import numpy as np
import numpy.typing as npt
import pandas as pd

from memattn.forecast.adapters._late_values import forecasts_after_rows
from memattn.forecast.forecaster import Forecaster


class MemattnModel(fev.ForecastingModel):  # type: ignore[misc]  # mypy has no types of fev here
    """`memattn.forecast.Forecaster` for fev: one fit for each window of a task.

    Each target of a multivariate task is a series of its own. Dynamic and static columns of the
    task are covariates. Quantiles are the bounds of calibrated intervals. A bound that is not
    finite is replaced by the forecast, since fev accepts only finite numbers.

    Parameters
    ----------
    **options
        Options of `Forecaster`, such as ``members=10``. Default of `season`: that of the task.
    """

    model_name = "memattn"

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._options = options

    def _fit_predict(self, task: fev.Task) -> list[Any]:
        return [self._forecast(task, window) for window in task.iter_windows()]

    def _forecast(self, task: fev.Task, window: fev.EvaluationWindow) -> Any:
        past, future, static = fev.convert_input_data(window, "nixtla", as_univariate=True)
        known, hist = list(task.known_dynamic_columns), list(task.past_dynamic_columns)
        options = {"season": task.seasonality, **self._options}
        # The task's horizon begins after the last row of each series, which may have no value.
        ends = past.ds.where(past.y.notna()).groupby(past.unique_id).transform("max")
        after = past.ds > ends
        late = after.groupby(past.unique_id).sum()
        forecaster = Forecaster(
            task.horizon + int(late.max()),
            futr_exog_list=known,
            hist_exog_list=hist,
            stat_exog_list=list(task.static_columns),
            **options,
        )
        with self._record_training_time():
            forecaster.fit(past, static_df=static if task.static_columns else None)
        columns = ["unique_id", "ds", *known]
        levels = {q: round(abs(200 * q - 100), 9) for q in task.quantile_levels}
        with self._record_inference_time():
            panel = forecaster._state_with_series("predict").panel
            found = forecasts_after_rows(
                "MemattnModel",
                forecaster,
                panel,
                late[panel.ids].to_numpy(),
                task.horizon,
                level=sorted({level for level in levels.values() if level}),
                X_df=pd.concat([past[after], future])[columns] if known else None,
            )
        taken = {"predictions": found.values}
        for q, level in levels.items():
            ends = found.intervals.get(level)
            bound = found.values if ends is None else ends[int(q > 0.5)]
            taken[str(q)] = np.where(np.isfinite(bound), bound, found.values)
        places = {name: k for k, name in enumerate(panel.ids.tolist())}
        rows = [places[name] for name in past["unique_id"].drop_duplicates()]
        return fev.combine_univariate_predictions_to_multivariate(
            _dataset(taken, rows), target_columns=task.target_columns
        )


def _dataset(columns: dict[str, npt.NDArray[np.float64]], rows: list[int]) -> list[dict[str, Any]]:
    """Returns a dict of column values for each series, in the order of `rows`."""
    return [{name: values[row] for name, values in columns.items()} for row in rows]
