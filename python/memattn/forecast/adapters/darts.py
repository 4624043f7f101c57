"""A model of Darts: trained on one or many series, forecasts any, without PyTorch.

>>> from memattn.forecast.adapters.darts import MemattnModel  # doctest: +SKIP
>>> MemattnModel(output_chunk_length=12).fit(series).predict(12)  # doctest: +SKIP
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from darts import TimeSeries
from darts.models.forecasting.forecasting_model import GlobalForecastingModel
from darts.utils.likelihood_models.base import Likelihood, LikelihoodType, quantile_names
from darts.utils.serialization import add_safe_globals
from darts.utils.ts_utils import series2seq

from memattn.forecast.adapters._rows import ID, TARGET, TIME, forecasts_of_rows, levels_of
from memattn.forecast.arguments import whole_number
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.forecaster_file import without_series

WHERE = "MemattnModel"
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)  # the default of Darts' models
EXOG = ("futr_exog_list", "hist_exog_list", "stat_exog_list")
FIRST = 8  # values at the beginning of a series that are part of its key


class MemattnModel(GlobalForecastingModel):  # type: ignore[misc]  # mypy has no types of Darts here
    """`memattn.forecast.Forecaster` for Darts.

    One model is trained on all series, each component of a multivariate series by itself.
    ``predict_likelihood_parameters=True`` gives calibrated quantiles, and ``num_samples`` draws
    samples between them, for each step by itself.

    Parameters
    ----------
    output_chunk_length : int
        The horizon. Beyond it, `predict` forecasts from its own forecasts.
    input_chunk_length : int
        Rows of a series that `historical_forecasts` waits for before the first forecast.
    quantiles : sequence of float
        The quantiles of `predict`, between 0 and 1.
    use_static_covariates : bool
        Whether to use the static covariates of the series: numbers, booleans or text.
    add_encoders : dict, optional
        As in the models of Darts.
    **options
        Of `memattn.forecast.Forecaster`, such as ``members=10``.
    """

    supports_multivariate = supports_past_covariates = supports_future_covariates = True
    supports_static_covariates = supports_probabilistic_prediction = True
    supports_sample_weight = supports_optimized_historical_forecasts = False
    min_train_samples = 1

    def __init__(
        self,
        output_chunk_length: int,
        input_chunk_length: int = 24,
        quantiles: Sequence[float] = QUANTILES,
        use_static_covariates: bool = True,
        add_encoders: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(add_encoders=add_encoders)
        self._horizon, self._rows = output_chunk_length, input_chunk_length
        self._considers_static_covariates = use_static_covariates
        self._quantiles = sorted({round(one, 9) for one in quantiles})
        if len(self._quantiles) < len(quantiles) or not all(0 < one < 1 for one in quantiles):
            problem = f"found {list(quantiles)}, expected numbers between 0 and 1, each once"
            raise ValueError(f"{WHERE}: quantiles: {problem}")
        trained = {"level": levels_of(self._quantiles)} if options.get("loss") == "quantile" else {}
        self._options = trained | options
        self._forecaster = Forecaster(output_chunk_length, **self._options)  # checks them
        self._names: dict[str, list[str]] = {}  # columns of covariates by option
        self._known: dict[str, int] = {}  # ids of the components of fit by key

    def fit(
        self,
        series: Any,
        past_covariates: Any = None,
        future_covariates: Any = None,
        verbose: bool | None = None,
    ) -> MemattnModel:
        """Train on one series or a sequence of them; the lengths of covariates are as in Darts."""
        self.encoders, covariates = self.initialize_encoders(), (past_covariates, future_covariates)
        if self.encoders.encoding_available:
            covariates = self.generate_fit_encodings(series, *covariates)
        super().fit(series, *covariates, verbose)
        self._names, self._known = {}, {}
        targets = series2seq(series)
        table, _, late, keys = self._tables(targets, *map(series2seq, covariates))
        freq = None if targets[0].has_datetime_index else int(targets[0].freq)
        options: dict[str, Any] = {"freq": freq} | self._names | self._options
        self._forecaster = Forecaster(self._horizon + int(late.max()), **options)
        self._forecaster.fit(table, progress=bool(verbose))
        self._known = {key: number for number, key in enumerate(keys)}
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
        random_state: Any = None,
    ) -> Any:
        """Forecast the `n` steps after each series: points, samples or quantiles."""
        whole_number(f"{WHERE}.predict", "n", n, 1)
        series = self.training_series if series is None else series
        if series is None:
            raise ValueError(f"{WHERE}.predict: series: found none, expected those to forecast")
        targets, *covariates = map(series2seq, (series, past_covariates, future_covariates))
        for k, one in enumerate((self.past_covariate_series, self.future_covariate_series)):
            if covariates[k] is None and one is not None:
                covariates[k] = [one] * len(targets)
        if self.encoders.encoding_available:
            covariates = self.generate_fit_predict_encodings(n, targets, *covariates)
        how = verbose, predict_likelihood_parameters, show_warnings, random_state
        super().predict(n, targets, *covariates, num_samples, *how)
        if n <= self._horizon:
            count = 0 if predict_likelihood_parameters else num_samples
            found = self._forecasts(n, targets, covariates, count, random_state)
        elif num_samples > 1:
            problem = f"found {n}, but samples reach output_chunk_length={self._horizon} steps"
            raise ValueError(f"{WHERE}.predict: n: {problem}; fit with a longer one")
        else:
            near = self._forecasts(self._horizon, targets, covariates, 1, None)
            longer = [one.append(two) for one, two in zip(targets, near, strict=True)]
            past, future = covariates
            rest = self.predict(n - self._horizon, longer, past, future, show_warnings=False)
            found = [one.append(two) for one, two in zip(near, rest, strict=True)]
        return found[0] if isinstance(series, TimeSeries) else found

    def _forecasts(self, n: int, targets: Any, covariates: Any, samples: int, seed: Any) -> Any:
        """Forecast n steps: with 1 sample the points, with 0 the quantiles."""
        table, plan, late, _ = self._tables(targets, *covariates)
        order = np.argsort(table[ID].unique())  # the panel's series among the components
        ahead = late[order, None] + np.arange(1, n + 1)
        found = forecasts_of_rows(
            f"{WHERE}.predict",
            self._forecaster,
            self._forecaster.panel(table),
            ahead,
            quantiles=() if samples == 1 else self._quantiles,
            X_df=plan,
        )
        values = found.values[:, :, None] if samples == 1 else found.quantiles
        if samples > 1:
            rng, flat = np.random.default_rng(seed), values.reshape(-1, len(self._quantiles))
            drawn = [np.interp(rng.random(samples), self._quantiles, one) for one in flat]
            values = np.reshape(drawn, (*ahead.shape, samples))
        parts = np.split(values[np.argsort(order)], np.cumsum([one.width for one in targets])[:-1])
        made = []
        for one, part in zip(targets, parts, strict=True):
            values, names = part.swapaxes(0, 1), None
            if samples == 0:
                values, names = values.reshape(n, -1), self.likelihood.component_names(one)
            made.append(self._build_forecast_series(values, one, names, samples > 0, samples > 0))
        return made

    def _tables(self, targets: Any, past: Any, future: Any) -> tuple[Any, Any, Any, list[str]]:
        """Return tables of the rows of all components and of their future covariates.

        Also return the number of rows without a value at the end of each component, and a key by
        which to know it again.
        """
        for role, given in (("past", past), ("future", future)):
            if given is not None and len(given) != len(targets):
                problem = f"found {len(given)} series, expected one for each of {len(targets)}"
                raise ValueError(f"{WHERE}: {role}_covariates: {problem}")
        known, seen, rows, plan, late = dict(self._known), Counter[str](), [], [], []
        keys: list[str] = []
        for k, one in enumerate(targets):
            static = one.static_covariates if self.uses_static_covariates else None
            static = pd.DataFrame() if static is None else static.add_prefix("static ")
            behind, coming = _frame("past", past, k), _frame("future", future, k)
            names = dict(zip(EXOG, map(sorted, (coming, behind, static)), strict=True))
            self._names = self._names or names
            if names != self._names:
                columns, expected = ([*chain(*some.values())] for some in (names, self._names))
                problem = f"found {columns} with series {k}, expected {expected} as in fit"
                raise ValueError(f"{WHERE}: covariates: {problem}")
            table = pd.DataFrame(index=one.time_index).join([behind, coming])
            for component, y in enumerate(one.values().T):
                first = f"{one.start_time()} {y[~np.isnan(y)][:FIRST].tolist()}"
                seen[first] += 1
                keys.append(f"{first} {seen[first]}")
                number = {ID: known.pop(keys[-1], len(self._known) + len(keys) - 1)}
                own = static.iloc[component % len(static)].to_dict() if len(static) else {}
                rows.append(table.assign(**own, **number, **{TARGET: y}))
                plan.append(coming.assign(**number))
                late.append(np.isnan(y)[::-1].argmin())
        rows, plan = (pd.concat(some).rename_axis(TIME).reset_index() for some in (rows, plan))
        return rows, plan if future else None, np.array(late), keys

    def _clean(self) -> Any:
        found = super()._clean()
        found._known, found._forecaster = {}, copy.copy(self._forecaster)
        if self._fit_called:
            found._forecaster._fitted = without_series(self._forecaster._state("save"))
        return found

    @property
    def likelihood(self) -> Likelihood:
        """The quantiles."""
        return Likelihood(LikelihoodType.Quantile, quantile_names(self._quantiles))

    @property
    def output_chunk_length(self) -> int:
        """The horizon."""
        return self._horizon

    @property
    def extreme_lags(self) -> tuple[int | None, ...]:
        """The first and the last row that a forecast needs, counted from its first step."""
        past = (-self._rows, -1) if self.uses_past_covariates else (None, None)
        future = (-self._rows, self._horizon - 1) if self.uses_future_covariates else (None, None)
        return (-self._rows, self._horizon - 1, *past, *future, 0)

    @property
    def _target_window_lengths(self) -> tuple[int, int]:
        return self._rows, self._horizon

    @property
    def _model_encoder_settings(self) -> tuple[Any, ...]:
        return self._rows, self._horizon, True, True, None, None


def _frame(role: str, given: Any, k: int) -> pd.DataFrame:
    """Returns the covariates of series k, named by number since their names may differ."""
    if not given:
        return pd.DataFrame()
    names = [f"{role} {component}" for component in range(given[k].width)]
    return pd.DataFrame(given[k].values(), given[k].time_index, names)


add_safe_globals([MemattnModel, Forecaster])  # load() takes them; their state holds no code
