"""A forecaster of sktime: one model for all series of a panel, with intervals and covariates."""

# ruff: noqa: N803 - X is sktime's name

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from memattn.forecast.adapters._rows import (
    ID,
    TARGET,
    TIME,
    dates_of,
    forecasts_of_rows,
    panel_of_values,
    rows_to,
    times_after,
)
from memattn.forecast.forecaster import Forecaster

WHERE = "MemattnForecaster"


class MemattnForecaster(BaseForecaster):  # type: ignore[misc]  # mypy has no types of sktime here
    """`memattn.forecast.Forecaster` for sktime.

    A panel or a hierarchy trains one model for all its series. Columns of ``X`` are covariates that
    are known ahead; ``predict`` needs them for each row up to the last one of ``fh``.

    ``update`` trains again. With ``update_params=False`` it adds rows and series without training.
    A later value of a row replaces an earlier one.

    Parameters
    ----------
    season, lookback, members, loss, seed, steps, prior, freq
        As in `memattn.forecast.Forecaster`.

    Examples
    --------
    >>> from memattn.forecast.adapters.sktime import MemattnForecaster
    >>> from sktime.datasets import load_airline
    >>> forecaster = MemattnForecaster(steps=10).fit(load_airline(), fh=[1, 2, 3])
    >>> forecast = forecaster.predict()
    """

    _tags = {  # noqa: RUF012 - sktime's way
        "authors": ["memattn contributors"],
        "maintainers": ["memattn contributors"],
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:non_contiguous_X": False,
        "capability:categorical_in_X": True,
        "capability:unequal_length": True,
        "capability:update": True,
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "requires-fh-in-fit": True,
        "X-y-must-have-same-index": True,
    }
    _config = {"remember_data": False}  # noqa: RUF012 - sktime's way; the adapter has the rows

    def __init__(
        self,
        season: int | None = None,
        lookback: int | None = None,
        members: int = 1,
        loss: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        prior: str | None = "auto",
        freq: str | int | None = None,
    ) -> None:
        self.season = season
        self.lookback = lookback
        self.members = members
        self.loss = loss
        self.seed = seed
        self.steps = steps
        self.prior = prior
        self.freq = freq
        super().__init__()
        self._y = self._X = None  # for those who set remember_data later: sktime begins so, too

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> MemattnForecaster:
        self._ids: dict[Any, Any] = {}
        self._columns = {} if X is None else {one: f"X {one}" for one in X.columns}
        self._y_names, self._index_names = list(y.columns), list(y.index.names)
        self._is_panel = len(self._index_names) > 1
        self._rows = self._table(y.index, X, y)
        return self._train(fh)

    def _train(self, fh: Any) -> MemattnForecaster:
        # How far the horizon is from the last value of a series depends on the frequency.
        panel = panel_of_values(self._rows, self.freq)
        dates = times_after(panel, 10)
        self._freq = pd.infer_freq(dates) if isinstance(dates, pd.DatetimeIndex) else None
        horizon = int(rows_to(WHERE, panel, self._times(fh)).max())
        futr, options = list(self._columns.values()), self.get_params(deep=False)
        self._forecaster = Forecaster(horizon, futr_exog_list=futr, **options)
        self._forecaster.fit(self._rows)
        return self

    def _update(
        self, y: pd.DataFrame, X: pd.DataFrame | None = None, update_params: bool = True
    ) -> MemattnForecaster:
        both = pd.concat([self._rows, self._table(y.index, X, y)])
        self._rows = both.groupby([ID, TIME], as_index=False).last()
        return self._train(self._fh) if update_params else self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        return self._forecast(fh, X, self._y_names)

    def _predict_quantiles(self, fh: Any, X: Any, alpha: list[float]) -> pd.DataFrame:
        names = pd.MultiIndex.from_product([self._get_varnames(), alpha])
        return self._forecast(fh, X, names, alpha)

    def _forecast(self, fh: Any, X: Any, names: Any, quantiles: Sequence[float] = ()) -> Any:
        panel, future, times = self._forecaster.panel(self._rows), None, self._times(fh)
        if X is not None and self._columns:
            future = pd.concat([self._rows, self._table(X.index, X)])
            future = future.drop_duplicates([ID, TIME], keep="last")
        ahead = rows_to(WHERE, panel, times)
        found = forecasts_of_rows(
            WHERE, self._forecaster, panel, ahead, quantiles=quantiles, X_df=future
        )
        values = found.quantiles if quantiles else found.values[:, :, None]
        if not self._is_panel:
            return pd.DataFrame(values[0], index=times, columns=names)
        index = [(*self._ids[name], time) for name in panel.ids.tolist() for time in times]
        index = pd.MultiIndex.from_tuples(index, names=self._index_names)
        values = values.reshape(len(index), -1)
        return pd.DataFrame(values, index=index, columns=names).sort_index()

    def _times(self, fh: Any) -> pd.Index:
        """The times of a horizon."""
        if fh.freq is None and self._freq is not None:  # those of a panel do not know theirs
            fh = ForecastingHorizon(fh.to_pandas(), is_relative=fh.is_relative, freq=self._freq)
        return fh.to_absolute_index(self.cutoff)

    def _table(self, index: pd.Index, X: Any, y: Any = None) -> pd.DataFrame:
        """Rows as the forecaster reads them."""
        if self._is_panel:
            ids = index.droplevel(-1)
            names = ids if ids.inferred_type in ("string", "integer") else ids.map(str)
            ids = (one if isinstance(one, tuple) else (one,) for one in ids.unique())
            self._ids.update(zip(names.unique(), ids, strict=True))
        times = index.get_level_values(-1)
        table = pd.DataFrame({ID: names if self._is_panel else "y", TIME: dates_of(times)})
        if y is not None:
            table[TARGET] = y.iloc[:, 0].to_numpy(float)
        found = [] if X is None else X.columns
        if missing := [column for column in self._columns if column not in found]:
            problem = f"found no column {missing[0]!r}, expected those of fit: {[*self._columns]}"
            raise ValueError(f"{WHERE}: X: {problem}")
        for column, name in self._columns.items():
            table[name] = X[column].to_numpy()
        return table

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Quick settings for sktime's tests."""
        return [{"steps": 2, "prior": None}, {"steps": 2, "season": 4}]
