"""The measures of a backtest on an engine; measures by series stay on the engine."""

from __future__ import annotations

from typing import Any

from memattn.forecast.measured import Json, MeasuredParts


class EngineEvaluation(MeasuredParts):
    """The result of `Forecaster.backtest` for a table of Ray, Dask or Spark.

    It has the measures of `Evaluation`, equal to the bit, but not the arrays of all windows.
    `Forecaster.cross_validation` returns the forecasts.
    """

    def __init__(
        self, rows: Any, parts: list[Json], season: int, levels: list[float], alias: str
    ) -> None:
        super().__init__(parts, season, levels, alias)
        self._rows = rows

    def to_frame(self) -> Any:
        """Return the errors of each series as a table of the engine; see `Evaluation.to_frame`."""
        return self._rows
