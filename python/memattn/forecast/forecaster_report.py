"""The report and the figures of a fitted forecaster."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from memattn.files import write_atomically
from memattn.forecast.arguments import Levels, checked_levels
from memattn.forecast.evaluation import Evaluation, evaluate_held_out
from memattn.forecast.explanation import Explanation, explain
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_pretraining import ForecasterPretraining
from memattn.forecast.intervals import available_levels


class ForecasterReport(ForecasterPretraining):
    """Accuracy, explanation, report and figures."""

    def held_out(self, level: Levels = None) -> Evaluation | None:
        """Return the accuracy on the windows that `fit` held out to calibrate intervals.

        Parameters
        ----------
        level : list of float, optional
            As in `predict`. These intervals are calibrated on other held-out windows
            (`evaluate_held_out`).

        Returns
        -------
        Evaluation or None
            None if `fit` held out nothing, and after `load`.
        """
        levels = checked_levels("Forecaster.held_out", level)
        found = evaluate_held_out(self._state("held_out").measured, levels)
        return None if found is None else replace(found, alias=self.alias)

    def explain(self) -> Explanation:
        """Measure how much forecasts depend on each covariate and on past rows.

        Each input is shuffled among the held-out windows, several times, and a model that was
        trained without these windows forecasts them. The increase of the error is the importance of
        the input. Information that two covariates share counts for neither. The same fit gives the
        same figures.

        Returns
        -------
        Explanation
            `to_frame` returns the importances as a table, and `curves_frame` the effect curves: the
            mean forecast for values of each covariate that is known ahead.

        Raises
        ------
        RuntimeError
            Before `fit`, after `load`, and if `fit` held out fewer than two windows or did not
            train.
        """
        found = explain(self._state("explain").measured)
        if found is None:
            msg = "Forecaster.explain: there are no held-out windows to measure on: "
            raise RuntimeError(f"{msg}call fit() with intervals=True on longer series")
        return found

    def render_report(self, level: Levels = None, *, source: str | None = None) -> str:
        """Return the report as text: one HTML page that needs no network.

        It shows the accuracy on held-out rows, the forecasts of a few series, what they depend on
        if there are covariates, and what each memory slot responds to.

        Parameters
        ----------
        level : float or list of float
            As in `predict`. Default: `available_levels`.
        source : str, optional
            The title. Default: the number of series.

        Raises
        ------
        RuntimeError
            Before `fit`.
        TypeError, ValueError
            If a level is invalid or was not trained.
        """
        from memattn.forecast.report.page import render_report

        return render_report(*self._shown("write_report", level), source=source)

    def write_report(
        self,
        path: str | os.PathLike[str],
        level: Levels = None,
        *,
        source: str | None = None,
    ) -> None:
        """Write `render_report` to a file, atomically. Raises DataError if it cannot be written."""
        page = self.render_report(level, source=source)
        write_atomically(Path(path), page.encode())

    def write_figure(
        self,
        path: str | os.PathLike[str],
        unique_id: object = None,
        level: Levels = None,
    ) -> None:
        """Write a figure of one series and its forecast as SVG or PNG.

        Parameters
        ----------
        path : str or PathLike
            The file to write, ``*.svg`` or ``*.png``.
        unique_id : str or int, optional
            Id of the series. Default: the first series.
        level : list of float
            As in `write_report`.

        Raises
        ------
        RuntimeError
            Before `fit`.
        ValueError
            If there is no such series.
        DataError
            If the file cannot be written, or its name has another suffix.
        """
        from memattn.forecast.report.page import series_picture

        fitted, levels = self._shown("write_figure", level)
        target = Path(path)
        write_atomically(target, series_picture(fitted, target.suffix, unique_id, levels))

    def _shown(self, function: str, level: Levels) -> tuple[Fitted, list[float]]:
        """Return the fitted state and the levels to show."""
        fitted = self._state_with_series(function)
        if level is None or not available_levels(fitted):
            return fitted, list(available_levels(fitted))
        return fitted, checked_levels(f"Forecaster.{function}", level)
