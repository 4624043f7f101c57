"""A forecaster of sktime: one model for all series of a panel, with intervals and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from memattn.forecast.forecaster import Forecaster

ID, TIME, TARGET = "unique_id", "ds", "y"  # of the tables that Forecaster gets
NO_COVERAGE = 0.01  # below, an interval is the forecast


class MemattnForecaster(BaseForecaster):  # type: ignore[misc]
    """`memattn.forecast.Forecaster` for sktime.

    A panel or a hierarchy trains one model for all its series. Columns of ``X`` are covariates that
    are known ahead; ``predict`` needs them for each row up to the last one of ``fh``.

    Parameters
    ----------
    season, lookback, members, loss, seed, steps, prior
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
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "requires-fh-in-fit": True,
        "X-y-must-have-same-index": True,
    }

    def __init__(
        self,
        season: int | None = None,
        lookback: int | None = None,
        members: int = 1,
        loss: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        prior: str | None = "auto",
    ) -> None:
        self.season = season
        self.lookback = lookback
        self.members = members
        self.loss = loss
        self.seed = seed
        self.steps = steps
        self.prior = prior
        super().__init__()

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> MemattnForecaster:  # noqa: N803
        self._ids, codes, times = _split(y.index)
        every = np.sort(times.unique())
        # Times of a multi-index carry no frequency, which a relative horizon needs.
        dated = isinstance(self.cutoff, pd.DatetimeIndex) and len(every) > 2
        self._freq = pd.infer_freq(pd.DatetimeIndex(every)) if dated else None
        self._last = times[np.append(np.flatnonzero(np.diff(codes)), len(codes) - 1)]
        late = len(every) - 1 - np.searchsorted(every, self._last)  # rows that others have after
        self._steps = late[:, None] + self._relative(fh)[None]  # of each series (N, fh)
        columns = [] if X is None else list(X.columns)
        self._futr = [f"x{k}" for k in range(len(columns))]
        numbered = every.dtype.kind in "iu" and len(every) > 1
        self._forecaster = Forecaster(
            int(self._steps.max()),
            freq=int(np.diff(every).min()) if numbered else None,
            futr_exog_list=self._futr,
            season=self.season,
            lookback=self.lookback,
            members=self.members,
            loss=self.loss,
            seed=self.seed,
            steps=self.steps,
            prior=self.prior,
        )
        self._forecaster.fit(self._table(codes, times, X).assign(y=y.iloc[:, 0].to_numpy(float)))
        return self

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:  # noqa: N803
        found = self._forecaster.forecasts(X_df=self._future(X))
        return self._framed(fh, dict.fromkeys(self._y.columns, found.values))

    def _predict_interval(
        self,
        fh: Any,
        X: pd.DataFrame | None,  # noqa: N803
        coverage: Sequence[float],
    ) -> pd.DataFrame:
        levels = [round(100 * one, 10) for one in coverage if one >= NO_COVERAGE]
        found = self._forecaster.forecasts(X_df=self._future(X), level=levels)
        columns = {}
        for one in coverage:
            bounds = found.intervals.get(round(100 * one, 10), (found.values, found.values))
            for end, values in zip(("lower", "upper"), bounds, strict=True):
                columns[self._get_varnames()[0], one, end] = values
        table = self._framed(fh, columns)
        table.columns = pd.MultiIndex.from_tuples(columns)
        return table

    def _relative(self, fh: Any) -> npt.NDArray[np.int64]:
        return np.asarray(self._dated(fh).to_relative(self.cutoff), dtype=np.int64)

    def _dated(self, fh: Any) -> Any:
        """A horizon that knows its frequency."""
        if fh.freq is not None or self._freq is None:
            return fh
        return ForecastingHorizon(fh.to_pandas(), is_relative=fh.is_relative, freq=self._freq)

    def _table(self, codes: npt.NDArray[np.int64], times: pd.Index, X: Any) -> pd.DataFrame:  # noqa: N803
        """Ids, times and covariates in the columns that the forecaster knows."""
        table = pd.DataFrame({ID: codes, TIME: times})
        for name, column in zip(self._futr, [] if X is None else X.columns, strict=True):
            table[name] = X[column].to_numpy()
        return table

    def _future(self, X: pd.DataFrame | None) -> pd.DataFrame | None:  # noqa: N803
        if X is None or not self._futr:
            return None
        ids, codes, times = _split(X.index)
        place = pd.Index(self._ids).get_indexer(ids)
        return self._table(place[codes], times, X)

    def _framed(self, fh: Any, columns: dict[Any, npt.NDArray[np.float64]]) -> pd.DataFrame:
        """Columns of forecasts (N, horizon) at the steps of fh."""
        wanted = self._relative(fh)
        known = self._relative(self._fh)
        places = self._steps[:, :1] + (wanted - known[0])[None] - 1
        index = self._dated(fh).to_absolute_index(self.cutoff)
        if isinstance(self._y.index, pd.MultiIndex):
            parts = [(*_tuple(one), time) for one in self._ids for time in index]
            index = pd.MultiIndex.from_tuples(parts, names=self._y.index.names)
        rows = np.arange(len(places))[:, None]
        taken = [values[rows, places].ravel() for values in columns.values()]
        return pd.DataFrame(dict(enumerate(taken)), index=index).set_axis(list(columns), axis=1)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Quick settings for sktime's tests."""
        return [{"steps": 2, "prior": None}, {"steps": 2, "season": 4}]


def _split(index: pd.Index) -> tuple[list[Any], npt.NDArray[np.int64], pd.Index]:
    """The ids of an index, for each row the place of its id, and the times as dates or numbers."""
    ids, codes = [""], np.zeros(len(index), np.int64)
    if isinstance(index, pd.MultiIndex):
        codes, found = pd.factorize(index.droplevel(-1), sort=True)
        ids, codes = found.tolist(), codes.astype(np.int64)
        index = index.get_level_values(-1)
    return ids, codes, index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index


def _tuple(one: Any) -> tuple[Any, ...]:
    return one if isinstance(one, tuple) else (one,)
