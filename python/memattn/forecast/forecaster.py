"""The forecaster of many series: fit, predict with intervals, backtest, save and load.

>>> from memattn.forecast import Forecaster
>>> forecaster = Forecaster(horizon=12).fit(frame)  # unique_id, ds, y  # doctest: +SKIP
>>> forecaster.predict(level=[80, 95])  # doctest: +SKIP
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memattn.errors import refused
from memattn.files import check_writable
from memattn.forecast.arguments import Levels, check_val_size, checked_levels, whole_number
from memattn.forecast.backtest import backtest
from memattn.forecast.data.frames import MODEL, Forecasts, cross_validation_frame, forecast_frame
from memattn.forecast.data.panel import Data, Table
from memattn.forecast.data.table_files import kind_of_file
from memattn.forecast.data.windows import last_windows
from memattn.forecast.engines import is_engine_table
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.file_passes import Passes, Written, read_in_passes, write_forecasts
from memattn.forecast.fitting import forecast, forecast_in_sample
from memattn.forecast.forecaster_engines import ForecasterEngines
from memattn.forecast.intervals import intervals_of
from memattn.forecast.progress import Progress, SeriesProgress, progress_of, series_progress
from memattn.layer_options import Precision, checked_precision

if TYPE_CHECKING:
    from typing_extensions import Self


class Forecaster(ForecasterEngines):
    """Forecasts of many series of one frequency, by one model of all of them.

    Its options are attributes that can be read: ``forecaster.horizon``.

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast, in rows.
    freq : str or int, optional
        The time between rows, an alias of pandas or Polars such as ``"MS"``; of numbered rows the
        step, a whole number, as a keyword only. Default: the coarsest that fits all times.
    futr_exog_list, hist_exog_list, stat_exog_list : list of str
        Columns of covariates: known over the horizon (prices, promotions, a weather forecast),
        known in the past only (weather as measured), constant for each series (a region). Numbers,
        booleans, or text: categories. Rolling validation decides how they are used, and whether.
    calendar : bool or "auto"
        Whether hour, weekday, month, position in the year and, with a `country`, public holidays
        are covariates too, as far as the frequency has them. "auto": if validation says so.
    country : str, optional
        Whose public holidays: ``"NO"``, or with a part of it ``"DE-BY"``. Needs the package
        ``holidays``.
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
        The names of the columns; for a wide file `target_col` may be several. ``id_col=None`` says
        that all rows are one series.
    intervals : bool
        Whether to calibrate intervals. Unless `fit` gets a `val_size`, this takes a second
        training, on all but the last values. Without it, the quantile loss still gives its trained
        bounds, which promise no coverage.
    level : float or list of float, optional
        Levels in percent that the quantile loss trains, the only ones that `predict` then gives;
        default 80 and 95. With other losses pass levels to `predict`.
    alias : str
        The name of the forecast column.
    prior : str, optional
        Networks that were trained on other series. ``"auto"``, the default: those that come with
        the package, for series with too few windows to learn from, and where validation says that
        they help. A path: one's own, a file that `pretrain` and `save` made, or a folder of such.
        None: networks learn from these series alone. ``settings["prior"]`` says what was done.
    day_first, on_bad_series
        As in `panel_from_frame`.

    Notes
    -----
    Intervals are split-conformal (`memattn.forecast.conformal`): they hold the truth with at least
    the probability `level`, on average over series, **if the windows to come are exchangeable with
    the calibration windows**; after a break in the series they hold it less often. With the
    quantile loss the trained bounds are moved by the same rule (Romano et al. 2019).

    A series with fewer than three values is forecast by its last one, and one that stands still
    stays there. Without a prior too few series to learn from leave the model untrained: it then is
    Naive2, which `settings` says.
    """

    def fit(
        self,
        data: Data | Passes,
        val_size: int = 0,
        *,
        static_df: Table | None = None,
        progress: Progress | bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        start_from: Forecaster | str | os.PathLike[str] | None = None,
        memory: int | str | None = None,
    ) -> Self:
        """Train on all series, or on a sample of very many.

        With more than a million values and a thousand series, training uses whole series with so
        many values, chosen by `seed` and their ids; ``settings["sample"]`` says how many.

        Parameters
        ----------
        data : DataFrame, path or Panel
            A data frame of pandas, Polars, PyArrow or another library that narwhals reads, or a CSV
            or Parquet file, each long or wide; or what `panel_from_frame` made. Or several files of
            one kind: a folder, or a pattern such as ``"sales/*.parquet"``. Or a long table of Ray,
            Dask or Spark (docs/scale.md), of which the forecaster then keeps no series.
        val_size : int
            Last values of each series that training leaves out, at least `horizon`, for intervals
            to be calibrated on: one training instead of two, of a model that knows less. 0: none.
        static_df : DataFrame or path, optional
            The columns of `stat_exog_list`, a row for each series. Default: they are in `data`.
        progress : callable or bool, optional
            True draws a bar on stderr. A callable gets (step, steps, loss) at most every 50 ms;
            False from it ends the training there, and no intervals are calibrated.
        checkpoint : path, optional
            A file that keeps where training stands: written atomically every 10 s, when a training
            ends, and when it is stopped, by `progress`, Ctrl-C or an exception. It holds weights
            and fingerprints of the series, not the series.
        resume : bool
            Whether to go on with what is in `checkpoint`, with the bits of a fit that was never
            stopped. Without it the file must not exist.
        start_from : Forecaster or path, optional
            A fitted forecaster, or what it saved, with the same options for its networks: training
            goes on from its weights, with its settings and few steps. Data has its frequency. Rows
            that it has seen calibrate no intervals: with too few others they stay as they were.
        memory : int or str, optional
            Bytes, such as ``"2GiB"``, that a long table in files may take: they are read in passes,
            and the forecaster keeps none of their series; `write_forecasts` forecasts them.
            Default: 2 GiB for more than 20 million rows in several files; others are read at once.

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
        TypeError, ValueError
            An impossible `val_size`, or a `start_from` with other options, which it names.
        """
        where = "Forecaster.fit"
        check_val_size(where, val_size, self.horizon)
        start = None if start_from is None else self._start(where, start_from)
        how: dict[str, Any] = {"val_size": val_size, "progress": progress}
        how |= {"checkpoint": checkpoint, "resume": resume}
        if is_engine_table(data):
            if memory is not None:
                problem = "found it for a table of an engine, whose workers have their own"
                raise refused(where, "memory", problem)
            self._fitted = self._fit_on_engine(where, data, static_df, start, **how)
        elif isinstance(data, Passes):
            self._fitted = self._fit_files(where, data, static_df, start, **how)
        elif read_in_passes(data, memory):
            passes = Passes(where, data, self, memory, static_df is not None)
            self._fitted = self._fit_files(where, passes, static_df, start, **how)
        else:
            self._fitted = self._fit_data(where, data, static_df, start, **how)
        return self

    def predict(
        self,
        data: Data | None = None,
        *,
        X_df: Table | None = None,  # noqa: N803 - nixtla's name
        static_df: Table | None = None,
        level: Levels = None,
        h: int | None = None,
        precision: Precision = "float32",
    ) -> Any:
        """Forecast the rows after the last one of each series.

        Parameters
        ----------
        data : DataFrame, path or Panel, optional
            Series to forecast instead of those of fit, with the same columns and frequency; they
            need not have been there.
        X_df : DataFrame or path, optional
            The columns of `futr_exog_list` in the ``h`` rows after each series; it may have more
            rows and columns, and rows of other series.
        static_df : DataFrame or path, optional
            As in `fit`, of the series in `data`.
        level : float or list of float, optional
            Levels of the intervals in percent, from 1 to below 100. None or none: no intervals. The
            quantile loss has those that were trained, see `available_levels`.
        h : int, optional
            Steps ahead, at most `horizon`. Default: the horizon.
        precision : {"float32", "bfloat16"}
            What the memory layers multiply, as in `MemoryAugmentedAttention`.

        Returns
        -------
        DataFrame, Table or SmallTable
            As the data came; for a file pandas if it is installed, else Polars. ``h`` rows for each
            series with the columns unique_id, ds, memattn (`alias`), and for each level
            memattn-lo-80 and memattn-hi-80. Bounds are NaN for steps ahead that no calibration
            window reached, and infinite if a positive series turned non-positive in a calibration
            window.

        Raises
        ------
        RuntimeError
            Before fit, or without data for a forecaster that was saved without its series.
        DataError
            The data cannot be used, X_df lacks a row or a value, or a forecast lies beyond the year
            9999.
        TypeError, ValueError
            An impossible level or `h`, a level that was not trained, intervals that fit has not
            calibrated, data of another frequency, or no X_df where covariates must be known.
        """
        if is_engine_table(data):
            where = "Forecaster.predict"
            if checked_precision(precision, where) != "float32":
                problem = f"found {precision!r}, expected 'float32' on an engine"
                raise refused(where, "precision", problem)
            return self._predict_on_engine(where, data, X_df, static_df, level, h)
        found = self.forecasts(
            data, X_df=X_df, static_df=static_df, level=level, h=h, precision=precision
        )
        return forecast_frame(found.panel, found.values, found.intervals, model=self.alias)

    def write_forecasts(
        self,
        path: str | os.PathLike[str],
        data: str | os.PathLike[str] | Passes,
        *,
        X_df: Table | None = None,  # noqa: N803 - nixtla's name
        static_df: Table | None = None,
        level: Levels = None,
        h: int | None = None,
        memory: int | str | None = None,
        progress: SeriesProgress | bool | None = None,
    ) -> Written:
        """Forecast series in files into a file, whatever memory there is.

        The forecasts have the bits of `predict`. Series come in the order in which the files end
        them, or of their ids where rows of many series are spread over the files; those have to be
        sorted first, which needs DuckDB and space in the folder of temporary files.

        Parameters
        ----------
        path : path
            The file to write, ``*.parquet``, ``*.csv`` or ``*.csv.gz``; it is there when all
            forecasts are in it.
        data : path
            A Parquet or CSV file, a folder of them, or a pattern such as ``"sales/*.parquet"``.
        X_df, static_df, level, h
            As in `predict`.
        memory : int or str, optional
            Bytes that the process may take, such as ``"4GiB"``. Default: 2 GiB.
        progress : callable or bool, optional
            True draws a bar on stderr. A callable gets (series done, all series).

        Returns
        -------
        Written
            How many series and rows there are, and notes on what was found in the data.

        Raises
        ------
        RuntimeError
            Before fit.
        DataError
            As in `predict`, with file and row; a series too long for `memory`; or the file cannot
            be written: one that was there before is whole.
        TypeError, ValueError
            As in `predict`, or an impossible `memory`.
        """
        where = "Forecaster.write_forecasts"
        self._state("write_forecasts")
        target = Path(path)
        kind_of_file(target)
        check_writable(target)
        if not isinstance(data, Passes):
            data = Passes(where, data, self, memory, static_df is not None)
        parts = partial(self.forecasts, X_df=X_df, static_df=static_df, level=level, h=h)
        with series_progress(where, progress) as told:
            return write_forecasts(target, data.forecasts(parts, told), self.alias)

    def forecasts(
        self,
        data: Data | None = None,
        *,
        X_df: Table | None = None,  # noqa: N803 - nixtla's name
        static_df: Table | None = None,
        level: Levels = None,
        h: int | None = None,
        precision: Precision = "float32",
    ) -> Forecasts:
        """As `predict`, as arrays (N, h) for N series."""
        where = "Forecaster.predict"
        fitted = self._state("predict") if data is not None else self._state_with_series("predict")
        levels = checked_levels(where, level)
        rounding = checked_precision(precision, where)
        steps = self.horizon if h is None else whole_number(where, "h", h, 1, self.horizon)
        if isinstance(data, int | float | list | tuple):
            hint = f"pass level={data!r}" if data else "levels go by name"
            raise TypeError(f"{where}: data: found {data!r}, expected series: {hint}")
        panel = fitted.panel
        if data is not None:
            panel = self._panel_like_fit(where, data, static_df=static_df)
        elif static_df is not None:
            raise refused(where, "static_df", "found it without data: fit has those of its series")
        panel = self._with_future(where, panel, X_df, steps)
        found = forecast(fitted.model, panel, last_windows(panel), rounding)
        ends = intervals_of(where, fitted, found, levels)
        first = {one: (low[:, :steps], high[:, :steps]) for one, (low, high) in ends.items()}
        return Forecasts(panel, found.points[:, :steps], first)

    def fitted(self) -> Any:
        """Forecast every known row from the rows before it, one step ahead.

        The model was trained on these rows, so its errors here are smaller than those to come:
        `held_out` and `backtest` measure accuracy.

        Returns
        -------
        DataFrame, Table or SmallTable
            As `predict`: unique_id, ds, y and memattn (`alias`); y is NaN where the data has no
            value. The first three rows of each series are left out: there is too little to see.

        Raises
        ------
        RuntimeError
            Before fit.
        """
        state = self._state_with_series("fitted")
        found = forecast_in_sample(state)
        return cross_validation_frame(state.panel, *found, model=self.alias, with_cutoffs=False)

    def cross_validation(
        self,
        data: Data,
        n_windows: int = 1,
        *,
        step_size: int = 1,
        val_size: int = 0,
        refit: bool | int = False,
        static_df: Table | None = None,
        level: Levels = None,
        progress: Progress | bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Any:
        """Forecast the last windows of each series as they would have been forecast then.

        One model is trained on the rows up to the earliest cutoff of all windows, and frequency,
        season, settings and intervals come from there too; it forecasts all windows in one pass. A
        series too short for a window has none. The forecaster itself stays as it is.

        Parameters
        ----------
        data : DataFrame, path or Panel
            As in `fit`.
        n_windows : int
            Windows per series; the last one ends with it.
        step_size : int
            Rows from one window to the next, 1 by default.
        val_size : int
            As in `fit`, of what is known before the first window.
        refit : bool or int
            True trains anew for each window and a number k for every k windows, with the same
            settings; False, the default, trains once.
        static_df : DataFrame or path, optional
            As in `fit`.
        level : float or list of float, optional
            As in `predict`.
        progress : callable or bool, optional
            As in `fit`; False from a callable is the end of training for this window.
        checkpoint, resume
            As in `fit`, for the trainings of all windows.

        Returns
        -------
        DataFrame, Table or SmallTable
            As `predict`, with the columns cutoff, the time of the last known row, and y.

        Raises
        ------
        DataError, FormatError
            As in `fit`.
        TypeError, ValueError
            No series is longer than the horizon, or an option is impossible.
        """
        if is_engine_table(data):
            where = "Forecaster.cross_validation"
            rolling = self._rolling(where, n_windows, step_size)
            with progress_of(where, progress) as told:
                how = self._training(
                    where, rolling, refit, val_size=val_size, level=level, progress=told,
                    checkpoint=checkpoint, resume=resume,
                )  # fmt: skip
                return self._cross_validation_on_engine(how, data, static_df)
        result = self.backtest(
            data, n_windows, step_size=step_size, val_size=val_size, refit=refit,
            static_df=static_df, level=level, progress=progress, checkpoint=checkpoint,
            resume=resume,
        )  # fmt: skip
        found = result.forecasts[MODEL], result.intervals
        return cross_validation_frame(result.panel, result.windows, *found, model=self.alias)

    def backtest(
        self,
        data: Data,
        n_windows: int = 1,
        *,
        step_size: int = 1,
        val_size: int = 0,
        refit: bool | int = False,
        static_df: Table | None = None,
        level: Levels = None,
        progress: Progress | bool | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> Evaluation:
        """As `cross_validation`, measured: errors beside naive forecasts, and the coverage.

        Returns
        -------
        Evaluation
            With arrays (W, horizon) for W windows; `Evaluation.to_frame` makes a table of it. For a
            table of an engine it has the same measures, but no arrays; its table is the engine's.
        """
        where = "Forecaster.cross_validation"
        rolling = self._rolling(where, n_windows, step_size)
        with progress_of(where, progress) as told:
            how = self._training(
                where, rolling, refit, val_size=val_size, level=level, progress=told,
                checkpoint=checkpoint, resume=resume,
            )  # fmt: skip
            if is_engine_table(data):
                found: Evaluation = self._backtest_on_engine(how, data, static_df)
                return found
            result = backtest(
                how,
                lambda held: self._panel(where, data, held, static_df=static_df),
                partial(self._choose, where),
                self.seed,
            )
        return replace(result, alias=self.alias)
