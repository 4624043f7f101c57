"""What a fitted forecaster shows people: a page, and pictures of series."""

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
    """What is measured, the report and its figures."""

    def held_out(self, level: Levels = None) -> Evaluation | None:
        """How good forecasts of the windows were that fit held out to calibrate intervals on.

        Parameters
        ----------
        level : list of float, optional
            As in `predict`, of intervals calibrated on other windows (`evaluate_held_out`).

        Returns
        -------
        Evaluation or None
            None when fit held nothing out, and after `load`.
        """
        levels = checked_levels("Forecaster.held_out", level)
        found = evaluate_held_out(self._state("held_out").measured, levels)
        return None if found is None else replace(found, alias=self.alias)

    def explain(self) -> Explanation:
        """What the forecasts rest on: each covariate, and the rows of the past.

        Each of them is exchanged among the windows that fit held out, several times, and these are
        forecast by a model that was trained without them: by how much the error grows is what it is
        worth. What two covariates say alike is counted for neither. The same fit gives the same
        figures.

        Returns
        -------
        Explanation
            `to_frame` makes a table of it, and `curves_frame` one of the effect curves: the mean
            forecast for values of each covariate that is known ahead.

        Raises
        ------
        RuntimeError
            Before fit, after `load`, and where fit held out fewer than two windows or learned
            nothing.
        """
        found = explain(self._state("explain").measured)
        if found is None:
            msg = "Forecaster.explain: there are no held-out windows to measure on: "
            raise RuntimeError(f"{msg}call fit() with intervals=True on longer series")
        return found

    def render_report(self, level: Levels = None, *, source: str | None = None) -> str:
        """The report as text: one HTML page that needs no network.

        It shows the accuracy on rows that the model had not seen, the forecasts of a few series,
        what they rest on if there are covariates, and what each memory slot responds to.

        Parameters
        ----------
        level : float or list of float
            As in `predict`. Default: `available_levels`.
        source : str, optional
            The title. Default: the number of series.

        Raises
        ------
        RuntimeError
            Before fit.
        TypeError, ValueError
            An impossible level, or one that was not trained.
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
        """Write `render_report` to a file, atomically; DataError where that is impossible."""
        page = self.render_report(level, source=source)
        write_atomically(Path(path), page.encode())

    def write_figure(
        self,
        path: str | os.PathLike[str],
        unique_id: object = None,
        level: Levels = None,
    ) -> None:
        """Write a picture of one series and its forecast, SVG or PNG by the name of the file.

        Parameters
        ----------
        path : str or PathLike
            Of the file, ``*.svg`` or ``*.png``.
        unique_id : str or int, optional
            Which series. Default: the first one.
        level : list of float
            As in `write_report`.

        Raises
        ------
        RuntimeError
            Before fit.
        ValueError
            There is no such series.
        DataError
            The file cannot be written, or is called something else.
        """
        from memattn.forecast.report.page import series_picture

        fitted, levels = self._shown("write_figure", level)
        target = Path(path)
        write_atomically(target, series_picture(fitted, target.suffix, unique_id, levels))

    def _shown(self, function: str, level: Levels) -> tuple[Fitted, list[float]]:
        """The fitted state, and the levels that a report or a figure shows of it."""
        fitted = self._state_with_series(function)
        if level is None or not available_levels(fitted):
            return fitted, list(available_levels(fitted))
        return fitted, checked_levels(f"Forecaster.{function}", level)
