"""The forecaster of many series: fit, predict with intervals, backtest, save and load.

>>> from memattn.forecast import Forecaster
>>> forecaster = Forecaster(horizon=12).fit(frame)  # unique_id, ds, y  # doctest: +SKIP
>>> forecaster.predict(level=[80, 95])  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memattn.errors import refused
from memattn.files import write_atomically
from memattn.forecast.arguments import LEVELS, ForecasterOptions, checked_levels, whole_number
from memattn.forecast.backtest import backtest
from memattn.forecast.checkpoint import Progress, trainer_of
from memattn.forecast.data.frames import MODEL, Forecasts, cross_validation_frame, forecast_frame
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Data, Panel, panel_of
from memattn.forecast.data.windows import last_windows
from memattn.forecast.evaluation import Evaluation, evaluate_held_out
from memattn.forecast.fitting import Fitted, forecast, held_back, intervals_of, train
from memattn.forecast.forecaster_file import read_forecaster, write_forecaster
from memattn.forecast.forecaster_settings import Settings, choose_settings

if TYPE_CHECKING:
    from typing_extensions import Self


class Forecaster(ForecasterOptions):
    """Forecasts of many series of one frequency, by one model of all of them.

    Its options are attributes that can be read: ``forecaster.horizon``.

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast, in rows.
    freq : str or int, optional
        The time between rows, an alias of pandas or Polars such as ``"MS"``; of numbered rows the
        step, a whole number, as a keyword only. Default: the coarsest that fits all times.
    season : int, optional
        Rows after which the series repeat, 1 for never. Default: as `panel_from_frame` finds it.
    lookback : int, optional
        Rows in each input window. Default: by frequency and season.
    members : int
        Models in the ensemble; with the default lookback each has one of five. One is quick, ten
        are more accurate.
    loss : str, optional
        Training loss: ``"smape"``, the default, ``"mae"`` or ``"huber"``: of logs for positive
        series, else in units of each series' mean change from row to row. ``"quantile"`` is the
        pinball loss of the interval bounds of each `level`, and of the median, the forecast.
    seed : int
        Random seed of weights and training; the same seed gives the same bits.
    steps : int, optional
        Training steps. Default: by frequency and season.
    id_col, time_col, target_col : str
        The names of the columns; for a wide file `target_col` may be several.
    intervals : bool
        Whether to calibrate intervals. Unless `fit` gets a `val_size`, this takes a second
        training, on all but the last values. Without it, the quantile loss still gives its trained
        bounds, which promise no coverage.
    level : float or list of float, optional
        Levels in percent that the quantile loss trains, the only ones that `predict` then gives;
        default 80 and 95. With other losses pass levels to `predict`.
    alias : str
        The name of the forecast column.

    Notes
    -----
    Intervals are split-conformal: the ceil((n + 1) level)-th smallest of the errors that a model
    made on n windows it had not seen, for each step ahead, pooled over series after division by
    how rough each is (`memattn.forecast.conformal`). They hold the truth with at least the
    probability `level`, on average over series, **if the windows to come are exchangeable with
    those**: after a break in the series they hold it less often. Without `val_size` the errors are
    those of a model with less history, which makes them a little larger. With the quantile loss the
    trained ends of an interval are moved, by the rank of how far truths lay outside of them
    (conformalised quantile regression, Romano et al. 2019): the same promise, and widths that
    follow what the model has learned of each window.

    A series with fewer than three values gets its last one as forecast; one that stands still is
    forecast to stand still. Where all series together are too few to learn from, the model stays
    untrained and is Naive2, which `settings` says.
    """

    _fitted: Fitted | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fitted = None

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_fitted":
            hint = f"pass {name}= to the constructor" if name in self.get_params() else "no option"
            raise AttributeError(f"Forecaster: {name} cannot be assigned: {hint}")
        object.__setattr__(self, name, value)

    # Two are equal when their options are; each is itself alone.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        state = "not fitted" if self._fitted is None else repr(self._fitted.panel)
        return f"{super().__repr__()}: {state}"

    def set_params(self, **options: Any) -> Self:
        """Replace options; what was fitted with others is forgotten.

        Raises
        ------
        TypeError, ValueError
            An unknown option, or an impossible value: nothing has changed.
        """
        if options:
            self.__dict__.update(vars(replace(self, **options)))
        return self

    @property
    def settings(self) -> Settings:
        """What was given or chosen, by name: each has a ``value`` and a ``reason``."""
        return self._state("settings").settings

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was found in the data and done about it, for people."""
        return self._state("notes").notes

    @property
    def is_calibrated(self) -> bool:
        """Whether there are intervals to ask for."""
        return self._state("is_calibrated").calibration is not None

    def fit(
        self,
        data: Data,
        val_size: int = 0,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on all series.

        Parameters
        ----------
        data : DataFrame, path or Panel
            Of pandas or Polars, long, with the columns of ids, times and values; a CSV or Parquet
            file, long or wide; or what `panel_from_frame` made.
        val_size : int
            Last values of each series that training leaves out, at least `horizon`, for intervals
            to be calibrated on: one training instead of two, of a model that knows less. 0: none.
        progress : callable, optional
            Called with (step, steps, loss) at most every 50 ms; False from it ends the training
            there, and no intervals are calibrated.
        checkpoint : path, optional
            A file that keeps where training stands: written atomically every 10 s, when a training
            ends, and when it is stopped, by `progress`, Ctrl-C or an exception. It holds weights
            and fingerprints of the series, not the series.
        resume : bool
            Whether to go on with what is in `checkpoint`, with the bits of a fit that was never
            stopped. Without it the file must not exist.

        Returns
        -------
        Forecaster
            Itself. After an exception, KeyboardInterrupt included, it is as it was before.

        Raises
        ------
        DataError
            The data cannot be used; it names row and column. Or the checkpoint is that of other
            data or settings, which it names, or cannot be written: the one before it is whole.
        FormatError
            The file is no checkpoint, or is damaged.
        """
        where = "Forecaster.fit"
        self._check_val_size(where, val_size)
        panel = self._panel(where, data)
        settings = self._choose(panel if val_size == 0 else held_back(panel, val_size))
        choices = {"val_size": val_size, "intervals": self.intervals}
        trainer = trainer_of(where, panel, settings, checkpoint, resume, **choices)
        self._fitted = train(panel, settings, val_size, progress, self.intervals, trainer)
        return self

    def predict(
        self, level: float | Iterable[float] | None = None, *, data: Data | None = None
    ) -> Any:
        """Forecast the rows after the last one of each series.

        Parameters
        ----------
        level : list of float, optional
            Of the intervals, in percent, in (0, 100). None or none: no intervals. The quantile loss
            has those that were trained.
        data : DataFrame, path or Panel, optional
            Series to forecast instead of those of fit, with the same columns and frequency; they
            need not have been there.

        Returns
        -------
        DataFrame or str
            As the data came, the text of a CSV for a file: unique_id, ds, memattn, and for each
            level memattn-lo-80 and memattn-hi-80. Ends are NaN for steps ahead that no calibration
            window reached, and infinite where windows of the level ended in a value that is not
            positive after none like it.

        Raises
        ------
        RuntimeError
            Before fit.
        ValueError
            A level that is none, or was not trained, or intervals that fit has not calibrated.
        """
        found = self.forecasts(level, data=data)
        return forecast_frame(found.panel, found.values, found.intervals)

    def forecasts(
        self, level: float | Iterable[float] | None = None, *, data: Data | None = None
    ) -> Forecasts:
        """As `predict`, as arrays."""
        where = "Forecaster.predict"
        fitted = self._state("predict")
        levels = checked_levels(where, level)
        panel = fitted.panel if data is None else self.panel(data)
        windows = last_windows(panel)
        found = forecast(fitted.engine, fitted.settings, panel, windows)
        return Forecasts(panel, found.points, intervals_of(where, fitted, found, levels))

    def panel(self, data: Data) -> Panel:
        """The series in data, read as `fit` and `predict` read them.

        Raises
        ------
        DataError
            The data cannot be used.
        ValueError
            After fit: another frequency than there.
        """
        where = "Forecaster.panel"
        panel = self._panel(where, data)
        if self._fitted is None:
            return panel
        known = self._fitted.panel
        if panel.frequency != known.frequency:
            found, expected = panel.frequency.words, known.frequency.words
            msg = f"found one row every {found}, expected one every {expected}, as in fit"
            raise refused(where, "data", msg)
        return replace(panel, season=known.season)  # which these values may show less well

    def cross_validation(
        self,
        data: Data,
        n_windows: int,
        step_size: int = 1,
        val_size: int = 0,
        refit: bool = False,
        level: float | Iterable[float] | None = None,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Any:
        """Forecast the last windows of each series as they would have been forecast then.

        One model is trained on what was known before the first window of each series, and its
        settings and intervals come from there too; it forecasts all windows in one pass. A series
        too short for a window has no part. The forecaster itself stays as it is.

        Parameters
        ----------
        data : DataFrame, path or Panel
            As in `fit`.
        n_windows : int
            Windows a series; the last one ends with it.
        step_size : int
            Rows from one window to the next.
        val_size : int
            As in `fit`, of what is known before the first window.
        refit : bool
            Whether to train anew for each window, with the same settings.
        level : list of float, optional
            As in `predict`.
        progress : callable, optional
            As in `fit`; False from it is the end of training for this window.
        checkpoint, resume
            As in `fit`, for the trainings of all windows.

        Returns
        -------
        DataFrame or str
            As `predict`, with the columns cutoff, the time of the last known row, and y.

        Raises
        ------
        ValueError
            No series is longer than the horizon, or a number cannot be.
        """
        result = self.backtest(
            data, n_windows, step_size, val_size, refit, level,
            progress=progress, checkpoint=checkpoint, resume=resume,
        )  # fmt: skip
        forecasts = result.forecasts[MODEL]
        return cross_validation_frame(result.panel, result.windows, forecasts, result.intervals)

    def backtest(
        self,
        data: Data,
        n_windows: int,
        step_size: int = 1,
        val_size: int = 0,
        refit: bool = False,
        level: float | Iterable[float] | None = None,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Evaluation:
        """As `cross_validation`, measured: errors beside naive forecasts, and the coverage."""
        where = "Forecaster.cross_validation"
        self._check_val_size(where, val_size)
        return backtest(
            where,
            self._panel(where, data),
            self._choose,
            horizon=self.horizon,
            n_windows=n_windows,
            step_size=step_size,
            val_size=val_size,
            refit=refit,
            levels=checked_levels(where, level),
            calibrated=self.intervals or not self.trained_levels,
            progress=progress,
            checkpoint=checkpoint,
            resume=resume,
        )

    def held_out(self, level: float | Iterable[float] | None = None) -> Evaluation | None:
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
        return evaluate_held_out(self._state("held_out"), levels)

    def render_report(
        self, level: float | Iterable[float] = LEVELS, *, source: str | None = None
    ) -> str:
        """The report as text: one HTML page that needs no network.

        It shows the accuracy on rows that the model had not seen, the forecasts of a few series,
        and what each memory slot responds to.

        Parameters
        ----------
        level : float or list of float
            As in `predict`; without intervals from fit there are none.
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

        where = "write_report"
        levels = checked_levels(f"Forecaster.{where}", level)
        return render_report(self._state(where), levels=levels, source=source)

    def write_report(
        self,
        path: str | os.PathLike[str],
        level: float | Iterable[float] = LEVELS,
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
        level: float | Iterable[float] = LEVELS,
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

        fitted, target = self._state("write_figure"), Path(path)
        levels = checked_levels("Forecaster.write_figure", level)
        write_atomically(target, series_picture(fitted, target.suffix, unique_id, levels))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that predict needs to one safetensors file, atomically.

        The series are in it, whole: season and level at their end come from all of their values.

        Raises
        ------
        RuntimeError
            Before fit.
        DataError
            The file cannot be written; one that was there before is whole.
        ValueError
            Ids that are neither text nor whole numbers, or a type of a column or a time zone that
            the file cannot keep.
        """
        write_forecaster(Path(path), self._state("save"), self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in the file is trusted or executed.

        Raises
        ------
        FormatError
            It is no such file; a ValueError that says where and why.
        OSError
            The system refused.
        """
        options, fitted = read_forecaster(Path(path))
        forecaster = cls(**options.get_params())
        forecaster._fitted = fitted
        return forecaster

    def _state(self, function: str) -> Fitted:
        if self._fitted is None:
            msg = "this Forecaster is not fitted; call fit() first"
            raise RuntimeError(f"Forecaster.{function}: {msg}")
        return self._fitted

    def _check_val_size(self, where: str, val_size: int) -> None:
        if 0 < whole_number(where, "val_size", val_size, 0) < self.horizon:
            expected = f"0 or at least horizon = {self.horizon}"
            raise refused(where, "val_size", f"found {val_size}, expected {expected}")

    def _panel(self, where: str, data: Data) -> Panel:
        names = ("freq", "season", "id_col", "time_col", "target_col")
        return panel_of(where, data, **{name: getattr(self, name) for name in names})

    def _choose(self, panel: Panel) -> Settings:
        return choose_settings(panel.lengths, panel.frequency, panel.season, self)
