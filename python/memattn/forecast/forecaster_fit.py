"""Trains a forecaster on a panel, on a sample of it, or on files that are read in passes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from memattn.errors import refused
from memattn.forecast.checkpoint import trainer_of
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Data, Panel, Table
from memattn.forecast.data.series_sample import HOW, Sample, said, sample_of, sample_read
from memattn.forecast.data.windows import last_windows
from memattn.forecast.file_passes import Passes
from memattn.forecast.fitting import Fitted, held_back, train
from memattn.forecast.forecaster_file import without_series
from memattn.forecast.forecaster_report import ForecasterReport
from memattn.forecast.progress import Progress, progress_of
from memattn.forecast.sampled_fit import with_all_series, with_sample
from memattn.forecast.starting import Start, check_start, settings_after


class ForecasterFit(ForecasterReport):
    """Training of a `Forecaster`."""

    def _fit_data(
        self, where: str, data: Data, static_df: Table | None, start: Start | None, **how: Any
    ) -> Fitted:
        """Fit to data that is read at once."""
        panel = self._panel_for_fit(where, data, static_df, start)
        sample = sample_of(panel, self.seed, as_in_fit=start is not None)
        return self._fit_panel(where, panel, sample, start, **how)

    def _fit_files(
        self, where: str, passes: Passes, static_df: Table | None, start: Start | None, **how: Any
    ) -> Fitted:
        """Fit to files that are read in passes; the result has no series."""
        rows, series, is_all = passes.sample(self.seed)
        panel = self._panel_for_fit(where, rows, static_df, start)
        sample = None if is_all else sample_read(panel, as_in_fit=start is not None)
        fitted = self._fit_panel(where, replace(panel, given=None), sample, start, **how)
        if sample is not None:  # the note of `sample` counts only the series that were read
            text = f"trained on {said(sample.panel)} of {series:,}, {HOW}"
            note = Note("sample", text, len(sample.panel))
            told = (note if one.kind == "sample" else one for one in fitted.notes)
            fitted = replace(fitted, notes=tuple(told))
        return without_series(fitted)

    def _panel_for_fit(
        self, where: str, data: Data | Columns, static_df: Table | None, start: Start | None
    ) -> Panel:
        if start is None:
            return self._panel(where, data, static_df=static_df)
        return self._panel_like_fit(where, data, static_df, like=start)

    def _fit_panel(
        self,
        where: str,
        panel: Panel,
        sample: Sample | None,
        start: Start | None,
        *,
        val_size: int,
        progress: Progress | bool | None,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
    ) -> Fitted:
        """Fit to a panel, or to a sample of it."""
        panel = panel if sample is None else sample.panel
        phases = panel.phases(*last_windows(panel))
        if start is None:
            chosen_for = panel if val_size == 0 else held_back(panel, val_size)
            settings, prior = self._choose(where, chosen_for, phases)
        else:
            settings, prior = settings_after(start, self), None
        if sample is not None:
            settings = with_sample(settings, panel)
            self._check_phases(where, sample.whole, settings)
        choices: dict[str, Any] = {"val_size": val_size, "intervals": self.intervals}
        if start is not None:
            choices["start_from"] = start.fingerprint
        trainer = trainer_of(where, panel, settings, checkpoint, resume, **choices)
        with progress_of(where, progress) as told:
            fitted = train(
                panel, settings, val_size, told, self.intervals, trainer, prior=prior, start=start
            )
        return fitted if sample is None else with_all_series(fitted, sample)

    def _start(self, where: str, start_from: ForecasterFit | str | os.PathLike[str]) -> Start:
        """Return the fit that a training starts from, checked."""
        if isinstance(start_from, str | os.PathLike):
            start_from = type(self).load(start_from)
        if not isinstance(start_from, ForecasterFit):
            expected = "a fitted Forecaster or the path of a saved one"
            raise TypeError(f"{where}: start_from: found {start_from!r}, expected {expected}")
        if start_from._fitted is None:
            problem = "this Forecaster is not fitted; call its fit() first"
            raise refused(where, "start_from", problem)
        fitted = start_from._fitted
        start = Start(fitted.model, fitted.panel, fitted.calibration)
        check_start(where, start, self, start_from)
        return start
