"""The work of a backtest on parts of tables: outlines of windows, their forecasts and errors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from memattn.forecast.backtest import Plan, WindowModel, forecast_windows
from memattn.forecast.data.columns import Array
from memattn.forecast.data.frames import Intervals, cross_validation_frame
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Extent, Outline, Span, Windows, outline_of
from memattn.forecast.engines.notes import SUMS
from memattn.forecast.engines.parts import DATA, STATIC, Forecasting, as_notes
from memattn.forecast.evaluation import measured
from memattn.forecast.measured import sums_of

WHERE = "Forecaster.cross_validation"
OUTLINE = ("place", "cutoff", "rows", "early")
NONE = -1  # the place in a row without windows


class Sent(NamedTuple):
    """A model of windows, as it is sent to workers.

    Attributes
    ----------
    place, ages
        As in `WindowModel`.
    model : bytes
        The file of the forecaster, without series.
    """

    place: int
    model: bytes
    ages: Ticks | None


def outlines_schema() -> pa.Schema:
    """Returns the schema of the result of `Outlines`, without the column of notes."""
    return pa.schema([(name, pa.int64()) for name in (*OUTLINE, *Span._fields)])


class Outlines(Forecasting):
    """Outlines the windows of whole series: a row for each kind of window, and one without windows.

    The options are `plan`, the windows; `params`, those of the forecaster, which is not fitted;
    `like`, a panel with the frequency of the series; and `least`, the first times of all windows if
    they are known. With `least`, series with gaps before these times are bad.
    """

    @property
    def forecaster(self) -> Any:
        """A forecaster to read tables with."""
        return self.kind(**self.options["params"])

    def _of(self, tables: dict[int, pa.Table]) -> tuple[pa.Table, list[str]]:
        plan, least = self.options["plan"], self.options["least"]
        panel = self.forecaster._panel(
            WHERE, tables[DATA], None if least is None else plan.rolling,
            like=self.options["like"], static_df=tables.get(STATIC), least=least,
        )  # fmt: skip
        found = outline_of(panel, *plan.windows(panel))
        rows = len(found.place)
        columns = {name: np.append(getattr(found, name), NONE) for name in OUTLINE}
        spans = {name: np.full(rows + 1, k) for name, k in found.span._asdict().items()}
        return pa.table({**columns, **spans}), []


def outlines_of(table: pa.Table) -> list[Outline]:
    """Returns the outlines in the results of `Outlines` for at least one part."""
    spans = np.stack([table[name].to_numpy() for name in Span._fields])
    first, last = spans.min(axis=1).tolist(), spans.max(axis=1).tolist()
    kinds = table.filter(pc.not_equal(table["place"], NONE))
    columns = {name: kinds[name].to_numpy().astype(np.int64) for name in OUTLINE}
    return [Outline(**columns, span=Span(first[0], *last[1:]))]


@dataclass
class WindowForecasting(Forecasting):
    """Forecasts the last windows of whole series, as `Forecaster.cross_validation` does.

    The only option is `level`.

    Attributes
    ----------
    plan : Plan
        The windows.
    extent : Extent
        The extent of the windows of all series.
    models : tuple of Sent
        The models of the windows.
    """

    plan: Plan = field(kw_only=True)
    extent: Extent = field(kw_only=True)
    models: tuple[Sent, ...] = field(kw_only=True)

    def __getstate__(self) -> dict[str, Any]:
        return {name: one for name, one in super().__getstate__().items() if name != "_there"}

    @cached_property
    def _there(self) -> list[WindowModel]:
        """The models, each loaded once."""
        return [
            WindowModel(one.place, self.load(one.model)._state("cross_validation"), one.ages)
            for one in self.models
        ]

    def _of(self, tables: dict[int, pa.Table]) -> tuple[pa.Table, list[str]]:
        known, levels = self._there[0].fitted.panel, self.options["level"]
        panel = self.forecaster._panel(
            WHERE, tables[DATA], self.plan.rolling, like=known,
            static_df=tables.get(STATIC), least=self.extent.first,
        )  # fmt: skip
        panel = replace(panel, season=known.season)
        found = forecast_windows(WHERE, self._there, panel, self.plan, self.extent, levels)
        rows, notes = self._told(panel, self.plan.windows(panel)[0], *found)
        return rows, [*as_notes(panel.notes), *notes]

    def _told(
        self, panel: Panel, windows: Windows, forecasts: Array, intervals: Intervals
    ) -> tuple[pa.Table, list[str]]:
        """Returns the rows and the notes to send back for forecasts of windows."""
        if not len(windows):
            return self.schema.empty_table(), []
        found = panel, windows, forecasts, intervals
        return cross_validation_frame(*found, model=self.forecaster.alias), []


class WindowMeasuring(WindowForecasting):
    """Measures the errors of each series, as `Evaluation.to_frame` does; their sums are a note."""

    def _told(
        self, panel: Panel, windows: Windows, forecasts: Array, intervals: Intervals
    ) -> tuple[pa.Table, list[str]]:
        found = replace(measured(panel, windows, forecasts, intervals), alias=self.forecaster.alias)
        return found.to_frame(), [json.dumps({SUMS: sums_of(found)})]
