"""A forecaster of sktime: one model for all series of a panel, with intervals and covariates."""

# ruff: noqa: N803 - X is sktime's name

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sktime.forecasting.base import BaseForecaster, ForecastingHorizon

from memattn.forecast.adapters._late_values import RowForecasts, forecasts_after_rows
from memattn.forecast.data.series import Panel
from memattn.forecast.forecaster import Forecaster

ID, TIME, TARGET = "unique_id", "ds", "y"  # of the tables that Forecaster gets
NO_COVERAGE = 0.01  # below, an interval is the forecast


class MemattnForecaster(BaseForecaster):  # type: ignore[misc]  # mypy has no types of sktime here
    """`memattn.forecast.Forecaster` for sktime.

    A panel or a hierarchy trains one model for all its series. Columns of ``X`` are covariates that
    are known ahead; ``predict`` needs them for each row up to the last one of ``fh``.

    ``update`` trains again. With ``update_params=False`` it adds the rows after the last value of
    each series, and new series, without training.

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
        "capability:update": True,
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

    def _fit(self, y: pd.DataFrame, X: pd.DataFrame | None, fh: Any) -> MemattnForecaster:
        self._ids, codes, times = _split(y.index)
        self._every = times.unique().sort_values()
        every = self._every.to_numpy()
        # Times of a multi-index carry no frequency, which a relative horizon needs.
        dated = isinstance(self.cutoff, pd.DatetimeIndex) and len(every) > 2
        self._freq = pd.infer_freq(pd.DatetimeIndex(self._every)) if dated else None
        self._y_names, self._index_names = list(y.columns), list(y.index.names)
        self._is_panel = isinstance(y.index, pd.MultiIndex)
        values = y.iloc[:, 0].to_numpy(float)
        self._last = _last_times(codes, times, values)
        steps = self._late() + int(self._relative(fh).max())
        self._columns = [] if X is None else list(X.columns)
        self._futr = [f"x{k}" for k in range(len(self._columns))]
        numbered = every.dtype.kind in "iu" and len(every) > 1
        self._forecaster = Forecaster(
            int(steps.max()),
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
        table = self._table(codes, times, X)
        self._forecaster.fit(table.assign(y=values))
        self._keep_late_rows(table)
        return self

    def _update(
        self,
        y: pd.DataFrame,
        X: pd.DataFrame | None = None,
        update_params: bool = True,
    ) -> MemattnForecaster:
        if update_params and self.get_config()["remember_data"]:
            return self._fit(self._y, self._X, self._fh)
        ids, codes, times = _split(y.index)
        self._ids += [one for one in ids if one not in set(self._ids)]
        codes = pd.Index(self._ids).get_indexer(ids)[codes]
        self._every = self._every.union(times.unique())
        table = self._table(codes, times, X).assign(y=y.iloc[:, 0].to_numpy(float))
        last = _last_times(codes, times, table.y.to_numpy())
        after = table[TIME] > table[ID].map(self._last).fillna(_before(times))
        self._last = pd.concat([self._last, last]).groupby(level=0).max()
        new = table[after & (table[TIME] <= table[ID].map(self._last))]
        if len(new):
            self._forecaster.update(new)
        if update_params:
            self._forecaster.fit(self._panel())
        table = table.drop(columns=TARGET)
        self._keep_late_rows(pd.concat([self._late_rows, table]) if len(self._late_rows) else table)
        return self

    def _panel(self) -> Panel:
        """All rows up to the last value of each series, as the forecaster keeps them."""
        return self._forecaster._state_with_series("predict").panel

    def _late(self) -> npt.NDArray[np.int64]:
        """How many rows there are after the last value of each series, up to the cutoff (N,)."""
        _, _, cutoff = _split(self.cutoff)
        places = self._every.get_indexer(pd.Index(self._last))
        late: npt.NDArray[np.int64] = self._every.get_indexer(cutoff)[0] - places
        if late.min() < 0:
            name, last = self._ids[int(late.argmin())], self._last.iloc[int(late.argmin())]
            problem = (
                f"MemattnForecaster: the cutoff is {cutoff[0]}, but series {name!r} has values"
            )
            raise ValueError(
                f"{problem} up to {last}; fit again to forecast from an earlier cutoff"
            )
        return late

    def _keep_late_rows(self, table: pd.DataFrame) -> None:
        """Keeps the covariates of rows after the last value of each series."""
        late = table[table[TIME] > table[ID].map(self._last)] if self._futr else table[:0]
        self._late_rows = late.drop_duplicates([ID, TIME], keep="last")

    def _predict(self, fh: Any, X: pd.DataFrame | None) -> pd.DataFrame:
        found = self._forecasts(fh, X)
        return self._framed(fh, dict.fromkeys(self._y_names, found.values))

    def _forecasts(self, fh: Any, X: Any, level: Sequence[float] = ()) -> RowForecasts:
        """Forecasts of the rows after the cutoff, up to the last one of fh."""
        return forecasts_after_rows(
            "MemattnForecaster",
            self._forecaster,
            self._panel(),
            self._late(),
            int(self._relative(fh).max()),
            names=self._ids,
            level=level,
            X_df=self._future(X),
        )

    def _predict_interval(
        self,
        fh: Any,
        X: pd.DataFrame | None,
        coverage: Sequence[float],
    ) -> pd.DataFrame:
        levels = [round(100 * one, 10) for one in coverage if one >= NO_COVERAGE]
        found = self._forecasts(fh, X, levels)
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

    def _table(self, codes: npt.NDArray[np.int64], times: pd.Index, X: Any) -> pd.DataFrame:
        """Ids, times and covariates in the columns that the forecaster knows."""
        table = pd.DataFrame({ID: codes, TIME: times})
        if self._futr and X is None:
            raise ValueError(f"MemattnForecaster: X: expected the columns {self._columns} of fit")
        for name, column in zip(self._futr, self._columns, strict=True):
            if column not in X.columns:
                problem = f"found no column {column!r}, expected those of fit: {self._columns}"
                raise ValueError(f"MemattnForecaster: X: {problem}")
            table[name] = X[column].to_numpy()
        return table

    def _future(self, X: pd.DataFrame | None) -> pd.DataFrame | None:
        if X is None or not self._futr:
            return None
        ids, codes, times = _split(X.index)
        place = pd.Index(self._ids).get_indexer(ids)
        table = self._table(place[codes], times, X)
        if len(self._late_rows):
            table = pd.concat([self._late_rows, table]).drop_duplicates([ID, TIME], keep="last")
        return table

    def _framed(self, fh: Any, columns: dict[Any, npt.NDArray[np.float64]]) -> pd.DataFrame:
        """Columns of forecasts (N, steps) at the steps of fh."""
        places = self._relative(fh) - 1
        index = self._dated(fh).to_absolute_index(self.cutoff)
        if self._is_panel:
            parts = [(*_tuple(one), time) for one in self._ids for time in index]
            index = pd.MultiIndex.from_tuples(parts, names=self._index_names)
        taken = [values[:, places].ravel() for values in columns.values()]
        table = pd.DataFrame(dict(enumerate(taken)), index=index).set_axis(list(columns), axis=1)
        return table.sort_index() if self._is_panel else table  # update may have brought series

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


def _last_times(
    codes: npt.NDArray[np.int64], times: pd.Index, values: npt.NDArray[np.float64]
) -> pd.Series:
    """The time of the last value of each series; of the last row where there is no value."""
    rows, given = pd.Series(times), ~np.isnan(values)
    found = rows[given].groupby(codes[given]).max()
    return found.combine_first(rows.groupby(codes).max())


def _before(times: pd.Index) -> Any:
    """What is before all times."""
    return pd.Timestamp.min if isinstance(times, pd.DatetimeIndex) else np.iinfo(np.int64).min


def _tuple(one: Any) -> tuple[Any, ...]:
    return one if isinstance(one, tuple) else (one,)
