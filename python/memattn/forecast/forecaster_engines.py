"""Training and forecasts on tables of Ray, Dask and Spark, whose rows stay on the workers."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from memattn.errors import DataError, refused
from memattn.forecast.arguments import Levels, check_val_size, checked_levels, whole_number
from memattn.forecast.backtest import Training, no_window, plan_of, trained_models
from memattn.forecast.data.bad_series import DROP
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Panel, panel_with_season
from memattn.forecast.data.series_sample import sample_read
from memattn.forecast.data.windows import Extent, Least, Rolling
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_file import forecaster_bytes, without_series
from memattn.forecast.forecaster_fit import ForecasterFit
from memattn.forecast.intervals import check_levels
from memattn.forecast.progress import Progress
from memattn.forecast.starting import Start

if TYPE_CHECKING:
    from memattn.forecast.engines.distributed import WindowWork
    from memattn.forecast.engines.windows import Sent


class ForecasterEngines(ForecasterFit):
    """Training and forecasts on tables of an engine."""

    _worker_notes: tuple[Note, ...] = ()

    @property
    def worker_notes(self) -> tuple[Note, ...]:
        """Notes of an engine's workers on the data of the latest call, with counts."""
        return self._worker_notes

    def _fit_on_engine(
        self, where: str, data: Any, static_df: Any, start: Start | None, **how: Any
    ) -> Fitted:
        """Fit to a table of an engine; the result has no series."""
        from memattn.forecast.engines.distributed import in_sample, sample_on

        found = sample_on(where, self, data, static_df)
        try:
            panel = self._panel_for_fit(where, found.data, found.static_df, start)
        except DataError as error:
            raise in_sample(error, found) from None
        # The sample has been drawn already.
        sample = None if found.is_all else sample_read(panel, as_in_fit=start is not None)
        fitted = self._fit_panel(where, replace(panel, given=None), sample, start, **how)
        return without_series(fitted)

    def _training(
        self,
        where: str,
        rolling: Rolling,
        refit: bool | int,
        *,
        val_size: int,
        level: Levels,
        progress: Progress | None,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> Training:
        """Check the options of a backtest and return how its models are trained."""
        check_val_size(where, val_size, self.horizon)
        return Training(
            where, plan_of(where, rolling, refit), refit, val_size, checked_levels(where, level),
            self.intervals or not self.trained_levels, progress, checkpoint, resume,
        )  # fmt: skip

    def _cross_validation_on_engine(self, how: Training, data: Any, static_df: Any) -> Any:
        """Return the forecasts of windows of an engine's table, as a table of the same engine."""
        work, extent, models, _ = self._windows_on_engine(how, data, static_df)
        rows, self.__dict__["_worker_notes"] = work.forecasts(extent, models, how.levels)
        return rows

    def _backtest_on_engine(self, how: Training, data: Any, static_df: Any) -> Any:
        """Return the measures of forecasts of windows of an engine's table."""
        work, extent, models, season = self._windows_on_engine(how, data, static_df)
        found, self.__dict__["_worker_notes"] = work.measures(extent, models, how.levels, season)
        return found

    def _windows_on_engine(
        self, how: Training, data: Any, static_df: Any
    ) -> tuple[WindowWork, Extent, list[Sent], int]:
        """Train the models of a backtest; return its work, its extent, the models, the season."""
        from memattn.forecast.engines.distributed import WindowWork, in_sample, sample_on
        from memattn.forecast.engines.windows import Sent

        where, rolling = how.where, how.plan.rolling
        found = sample_on(where, self, data, static_df)
        work = WindowWork(where, self, data, static_df, how.plan)

        def read(least: Least | None) -> Panel:
            try:
                return self._panel(
                    where, found.data, rolling, static_df=found.static_df, least=least
                )
            except DataError as error:
                raise in_sample(error, found) from None

        panel = read(None)
        extent = how.plan.extent(panel) if found.is_all else None
        tried: list[Frequency] = []
        while extent is None:  # the rows before the first window determine the frequency
            if panel.frequency in tried:
                problem = "the frequency changes with the number of known rows; pass {freq}"
                raise DataError("no-frequency", problem, argument="freq")
            tried.append(panel.frequency)
            first = work.extent(panel)
            if first.places and self.on_bad_series == DROP:
                first = work.extent(panel, first.first)  # without the series that have gaps
            again = read(first.first) if first.places else panel
            extent = first if again.frequency == panel.frequency else None
            panel = again
        if not extent.places:
            raise no_window(where, extent.span.longest, self.horizon)
        sample = None if found.is_all else sample_read(panel)
        panel = replace(panel if sample is None else sample.panel, given=None)
        if panel.season_found:
            panel, _ = panel_with_season(panel, rolling)
        choose = partial(self._choose, where)
        models = [
            Sent(one.place, forecaster_bytes(one.fitted, self, series=False), one.ages)
            for one in trained_models(how, panel, extent, choose, sampled=sample is not None)
        ]
        return work, extent, models, panel.season

    def _predict_on_engine(
        self,
        where: str,
        data: Any,
        future: Any,
        static_df: Any,
        level: Levels,
        h: int | None,
    ) -> Any:
        """Return the forecasts of an engine's table, as a table of the same engine."""
        from memattn.forecast.engines.distributed import predict_on

        fitted = self._state("predict")
        levels = checked_levels(where, level)
        check_levels(where, fitted, levels)
        steps = self.horizon if h is None else whole_number(where, "h", h, 1, self.horizon)
        if future is not None and not self.futr_exog_list:
            problem = "needs futr_exog_list, which names its columns"
            raise refused(where, "X_df", problem)
        if static_df is not None and not self.stat_exog_list:
            raise refused(where, "static_df", "needs stat_exog_list, which names its columns")
        model = forecaster_bytes(fitted, self, series=False)
        tables = {"future": future, "static_df": static_df}
        rows, self.__dict__["_worker_notes"] = predict_on(
            where, self, model, data, **tables, levels=levels, h=steps
        )
        return rows
