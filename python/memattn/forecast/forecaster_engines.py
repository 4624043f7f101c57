"""Training and forecasts on tables of Ray, Dask and Spark, whose rows stay on the workers."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import Any

from memattn.errors import DataError, refused
from memattn.forecast.arguments import Levels, check_val_size, checked_levels, whole_number
from memattn.forecast.backtest import chosen, no_window
from memattn.forecast.checkpoint import trainer_of
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import panel_with_season
from memattn.forecast.data.series_sample import sample_read
from memattn.forecast.data.windows import Rolling, known_rows, rolling_windows
from memattn.forecast.fitting import Fitted, check_levels, train
from memattn.forecast.forecaster_file import forecaster_bytes, without_series
from memattn.forecast.forecaster_fit import ForecasterFit
from memattn.forecast.progress import Progress, progress_of
from memattn.forecast.sampled_fit import with_sample
from memattn.forecast.starting import Start


class ForecasterEngines(ForecasterFit):
    """Training and forecasts on tables of an engine."""

    _worker_notes: tuple[Note, ...] = ()

    @property
    def worker_notes(self) -> tuple[Note, ...]:
        """Notes of the workers of an engine on the data of the latest `predict`, with counts."""
        return self._worker_notes

    def _fit_on_engine(
        self, where: str, data: Any, static_df: Any, start: Start | None, **how: Any
    ) -> Fitted:
        """What is fitted to a table of an engine; it has none of the series."""
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

    def _cross_validation_on_engine(
        self,
        data: Any,
        rolling: Rolling,
        *,
        val_size: int,
        refit: bool | int,
        static_df: Any,
        level: Levels,
        progress: Progress | bool | None,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> Any:
        """The forecasts of windows of a table of an engine, by one model, as one of the same."""
        from memattn.forecast.engines.distributed import in_sample, least_on, sample_on, windows_on

        where = "Forecaster.cross_validation"
        check_val_size(where, val_size, self.horizon)
        levels = checked_levels(where, level)
        if not isinstance(refit, bool) or refit:
            problem = "expected False on an engine, where one model forecasts all windows"
            raise refused(where, "refit", f"found {refit!r}, {problem}")
        if levels and rolling.n_windows > 1:
            problem = "intervals of several windows need the earlier windows of all series"
            raise refused(where, "level", f"{problem}; on an engine pass n_windows=1 or no level")
        found = sample_on(where, self, data, static_df)
        try:
            panel = self._panel(where, found.data, rolling, static_df=found.static_df)
        except DataError as error:
            raise in_sample(error, found) from None
        sample = None if found.is_all else sample_read(panel)
        panel = replace(panel if sample is None else sample.panel, given=None)
        windows = rolling_windows(panel, *rolling)
        if not len(windows):
            raise no_window(where, panel, self.horizon)
        if panel.season_found:
            panel, _ = panel_with_season(panel, rolling)
        # Nothing is trained on that comes after the first window of any series.
        tables = data, static_df, rolling
        least = None if found.is_all else least_on(where, self, panel, *tables)
        known = panel.until(known_rows(panel, windows, least))
        settings, prior = chosen(partial(self._choose, where), known, val_size, panel, windows)
        if sample is not None:
            settings = with_sample(settings, panel)
        calibrated = bool(levels) and (self.intervals or not self.trained_levels)
        choices = {"n_windows": rolling.n_windows, "step_size": rolling.step_size}
        choices |= {"refit": refit, "val_size": val_size, "intervals": calibrated}
        trainer = trainer_of(where, panel, settings, checkpoint, resume, **choices)
        with progress_of(where, progress) as told:
            fitted = train(known, settings, val_size, told, calibrated, trainer, "0.", prior)
        check_levels(where, fitted, levels)
        model = forecaster_bytes(fitted, self, series=False)
        rows, self.__dict__["_worker_notes"] = windows_on(where, self, model, *tables, levels)
        return rows

    def _predict_on_engine(
        self,
        where: str,
        data: Any,
        future: Any,
        static_df: Any,
        level: Levels,
        h: int | None,
    ) -> Any:
        """The forecasts of a table of an engine, as one of the same."""
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
