"""A model of Darts: trained on one or many series, forecasts any, without PyTorch.

>>> from memattn.forecast.adapters.darts import MemattnModel  # doctest: +SKIP
>>> MemattnModel(output_chunk_length=12).fit(series).predict(12)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from darts import TimeSeries
from darts.models.forecasting.forecasting_model import GlobalForecastingModel

from memattn.forecast.adapters._late_values import forecasts_after_rows, rows_without_value
from memattn.forecast.forecaster import Forecaster

ID, TIME, TARGET = "unique_id", "ds", "y"  # of the tables that Forecaster gets
Lags = tuple[int, int, int | None, int | None, int | None, int | None, int]
Given = Sequence[TimeSeries] | None


class MemattnModel(GlobalForecastingModel):  # type: ignore[misc]  # mypy has no types of Darts here
    """`memattn.forecast.Forecaster` for Darts.

    One model is trained on all series, each component of a multivariate series by itself. With
    ``predict_likelihood_parameters=True``, `predict` gives calibrated quantiles.

    Parameters
    ----------
    output_chunk_length : int
        The longest horizon; `predict` refuses a larger ``n``.
    input_chunk_length : int
        Rows of a series that `historical_forecasts` waits for before the first forecast.
    quantiles : sequence of float, optional
        Those that ``predict_likelihood_parameters=True`` gives. Default: 0.1, 0.5 and 0.9.
    season, members, loss, seed, steps, prior
        As in `memattn.forecast.Forecaster`.
    """

    def __init__(
        self,
        output_chunk_length: int,
        input_chunk_length: int = 24,
        quantiles: Sequence[float] | None = None,
        season: int | None = None,
        members: int = 1,
        loss: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        prior: str | None = "auto",
        add_encoders: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(add_encoders=add_encoders)
        self._horizon, self._rows = output_chunk_length, input_chunk_length
        self._quantiles = (0.1, 0.5, 0.9) if quantiles is None else tuple(quantiles)
        if len({round(one, 9) for one in self._quantiles}) < len(self._quantiles):
            problem = f"found {list(self._quantiles)}, expected each quantile once"
            raise ValueError(f"MemattnModel: quantiles: {problem}")
        self._options: dict[str, Any] = {"season": season, "members": members, "loss": loss}
        self._options |= {"seed": seed, "steps": steps, "prior": prior}
        self._forecaster: Forecaster | None = None

    def fit(
        self,
        series: Any,
        past_covariates: Any = None,
        future_covariates: Any = None,
        verbose: bool | None = None,
    ) -> MemattnModel:
        """Train on one series or a sequence of them; the lengths of covariates are as in Darts."""
        super().fit(series, past_covariates, future_covariates, verbose)
        targets, past, future = map(_listed, (series, past_covariates, future_covariates))
        assert targets is not None
        table, _, names = _tables(targets, past, future, 0)
        freq = None if targets[0].has_datetime_index else int(targets[0].freq)
        horizon = self._horizon + int(_late(targets).max())
        self._forecaster = Forecaster(horizon, freq=freq, **names, **self._options)
        self._forecaster.fit(table)
        return self

    def predict(
        self,
        n: int,
        series: Any = None,
        past_covariates: Any = None,
        future_covariates: Any = None,
        num_samples: int = 1,
        verbose: bool | None = None,
        predict_likelihood_parameters: bool = False,
        show_warnings: bool = True,
        random_state: int | None = None,
    ) -> Any:
        """The `n` steps after each series, at most `output_chunk_length`."""
        if series is None:
            series = self.training_series
            past_covariates = past_covariates or self.past_covariate_series
            future_covariates = future_covariates or self.future_covariate_series
        super().predict(
            n,
            series,
            past_covariates,
            future_covariates,
            num_samples,
            verbose,
            predict_likelihood_parameters,
            show_warnings,
            random_state,
        )
        if self._forecaster is None or series is None:
            raise ValueError("MemattnModel.predict: found no series; pass those of fit again")
        if n > self._horizon:
            msg = f"found {n}, expected at most output_chunk_length={self._horizon}"
            raise ValueError(f"MemattnModel.predict: n: {msg}")
        targets, past, future = map(_listed, (series, past_covariates, future_covariates))
        assert targets is not None
        table, ahead, _ = _tables(targets, past, future, n)
        wanted = self._quantiles if predict_likelihood_parameters else ()
        levels = {one: round(abs(200 * one - 100), 9) for one in wanted}
        found = forecasts_after_rows(
            "MemattnModel.predict",
            self._forecaster,
            self._forecaster.panel(table),
            _late(targets),
            n,
            level=sorted({level for level in levels.values() if level}),
            X_df=ahead,
        )
        values = [found.values]
        if wanted:
            ends = [found.intervals.get(level) for level in levels.values()]
            pairs = zip(wanted, ends, strict=True)
            values = [found.values if one is None else one[int(q > 0.5)] for q, one in pairs]
        cut = np.cumsum([0, *(one.width for one in targets)])
        made = [
            _series(one, np.stack([value[a:b] for value in values], axis=-1), wanted)
            for one, a, b in zip(targets, cut[:-1], cut[1:], strict=True)
        ]
        return made[0] if isinstance(series, TimeSeries) else made

    @property
    def output_chunk_length(self) -> int:
        """The longest horizon."""
        return self._horizon

    @property
    def extreme_lags(self) -> Lags:
        """What Darts has to know of the rows that a forecast needs."""
        past = (-self._rows, -1) if self.uses_past_covariates else (None, None)
        future = (-self._rows, self._horizon - 1) if self.uses_future_covariates else (None, None)
        return (-self._rows, self._horizon - 1, *past, *future, 0)

    @property
    def min_train_samples(self) -> int:
        """How many windows a training needs: any length will do."""
        return 1

    @property
    def _target_window_lengths(self) -> tuple[int, int]:
        return self._rows, self._horizon

    @property
    def _model_encoder_settings(self) -> tuple[Any, ...]:
        return self._rows, self._horizon, True, True, None, None

    @property
    def supports_multivariate(self) -> bool:
        """Each component is forecast by itself."""
        return True

    @property
    def supports_likelihood_parameter_prediction(self) -> bool:
        """Quantiles are there."""
        return True

    @property
    def supports_optimized_historical_forecasts(self) -> bool:
        """Darts calls `predict` for each cutoff."""
        return False

    @property
    def supports_sample_weight(self) -> bool:
        """There are none."""
        return False


def _listed(series: Any) -> Given:
    return [series] if isinstance(series, TimeSeries) else series


def _tables(
    targets: Sequence[TimeSeries], past: Given, future: Given, ahead: int
) -> tuple[pd.DataFrame, pd.DataFrame | None, dict[str, Any]]:
    """The rows of all components, the rows after them, and the names of the covariates."""
    names: dict[str, list[str]] = {"hist_exog_list": [], "futr_exog_list": []}
    rows, after, ids = [], [], 0
    for k, one in enumerate(targets):
        known = pd.DataFrame({TIME: one.time_index})
        last = one.end_time() + np.arange(1, ahead + 1) * one.freq if ahead else []
        coming = pd.DataFrame({TIME: list(last)}, columns=[TIME])
        for role, given in (("hist_exog_list", past), ("futr_exog_list", future)):
            if given is None:
                continue
            columns = [f"{role[:4]}{c}" for c in range(given[k].width)]
            names[role] = columns
            table = pd.DataFrame(given[k].values(), index=given[k].time_index, columns=columns)
            known = known.join(table, on=TIME)
            if role.startswith("futr"):
                coming = coming.join(table, on=TIME)
        for component in range(one.width):
            y = one.values()[:, component]
            rows.append(known.assign(**{ID: ids, TARGET: y}))
            late = known[len(known) - rows_without_value(y) :][list(coming.columns)]
            some = pd.concat([late, coming]) if len(late) else coming
            after.append(some.assign(**{ID: ids}))
            ids += 1
    has_future = bool(names["futr_exog_list"]) and ahead
    return pd.concat(rows), pd.concat(after) if has_future else None, names


def _late(targets: Sequence[TimeSeries]) -> npt.NDArray[np.int64]:
    """How many rows of each component come after its last value."""
    return np.array([rows_without_value(y) for one in targets for y in one.values().T])


def _series(
    target: TimeSeries, values: npt.NDArray[np.float64], quantiles: Sequence[float]
) -> TimeSeries:
    """Forecasts (components, n, quantiles) as what comes after a series."""
    columns = list(target.components)
    if quantiles:
        columns = [f"{name}_q{one:.3f}" for name in columns for one in quantiles]
    times = target.append_values(np.zeros((values.shape[1], target.width))).time_index
    flat = values.transpose(1, 0, 2).reshape(values.shape[1], -1)
    return TimeSeries.from_times_and_values(times[-len(flat) :], flat, target.freq, columns=columns)
