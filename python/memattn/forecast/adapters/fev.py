"""A model of fev, so that its tasks and benchmarks can be run with a forecaster.

>>> from memattn.forecast.adapters.fev import MemattnModel  # doctest: +SKIP
>>> task.evaluation_summary(MemattnModel().fit_predict(task), "memattn")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

import fev
import numpy as np
import numpy.typing as npt

from memattn.forecast.forecaster import Forecaster


class MemattnModel(fev.ForecastingModel):  # type: ignore[misc]
    """`memattn.forecast.Forecaster` for fev: one fit for each window of a task.

    The targets of a multivariate task are series of their own. Dynamic and static columns of the
    task are covariates. Quantiles are the bounds of calibrated intervals; where fit could not
    calibrate one, it is the forecast, since fev takes finite numbers only.

    Parameters
    ----------
    **options
        Of `Forecaster`, such as ``members=10``. The season is the task's unless it is given.
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
        forecaster = Forecaster(
            task.horizon,
            futr_exog_list=known,
            hist_exog_list=hist,
            stat_exog_list=list(task.static_columns),
            **options,
        )
        with self._record_training_time():
            forecaster.fit(past, static_df=static if task.static_columns else None)
        levels = {q: round(abs(200 * q - 100), 9) for q in task.quantile_levels}
        with self._record_inference_time():
            found = forecaster.forecasts(
                X_df=future if known else None,
                level=sorted({level for level in levels.values() if level}),
            )
        columns = {"predictions": found.values}
        for q, level in levels.items():
            ends = found.intervals.get(level)
            bound = found.values if ends is None else ends[int(q > 0.5)]
            columns[str(q)] = np.where(np.isfinite(bound), bound, found.values)
        places = {name: k for k, name in enumerate(found.panel.ids.tolist())}
        rows = [places[name] for name in past["unique_id"].drop_duplicates()]
        return fev.combine_univariate_predictions_to_multivariate(
            _dataset(columns, rows), target_columns=task.target_columns
        )


def _dataset(columns: dict[str, npt.NDArray[np.float64]], rows: list[int]) -> list[dict[str, Any]]:
    """A row for each series, in the order of the task's."""
    return [{name: values[row] for name, values in columns.items()} for row in rows]
