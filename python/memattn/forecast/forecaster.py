"""The forecaster: fit, predict with intervals, backtest, save and load.

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
    """Forecasts many series of one frequency with one model, trained on all of them.

    The options are read-only attributes, such as ``forecaster.horizon``.

    Parameters
    ----------
    horizon : int
        Steps ahead to forecast, in rows.
    freq : str or int, optional
        Time between rows, as an alias of pandas or Polars such as ``"MS"``; for numbered rows the
        step, a whole number, by keyword only. Default: the coarsest that fits all times.
    futr_exog_list, hist_exog_list, stat_exog_list : list of str
        Columns of covariates: known over the horizon (prices, promotions, a weather forecast),
        known only in the past (measured weather), and constant for each series (a region). They
        hold numbers, booleans, or text for categories. Rolling validation decides whether and how
        they are used.
    calendar : bool or "auto"
        Whether to use hour, weekday, month, position in the year and, with a `country`, public
        holidays as covariates, as far as the frequency has them. "auto": only if they lower the
        validation error.
    country : str, optional
        Country of the public holidays, such as ``"NO"``, or a part of one, such as ``"DE-BY"``.
        Needs the package ``holidays``.
    season : int, optional
        Rows in a season; 1 for no season. Default: from the frequency, or for numbered rows from
        the values, as in `panel_from_frame`.
    lookback : int, optional
        Rows in each input window. Default: from frequency and season.
    members : int
        Models in the ensemble, which by default have one of five lookbacks each. One is quick, ten
        are more accurate.
    loss : str, optional
        Training loss: ``"smape"``, ``"mae"`` or ``"huber"``, of logs for positive series, else in
        units of each series' mean change from row to row. ``"quantile"`` is the pinball loss of the
        interval bounds of each `level` and of the median, which is the forecast. Default:
        ``"smape"``, or ``"huber"`` for many long seasons.
    seed : int
        Random seed of weights and training; the same seed gives the same bits.
    steps : int, optional
        Training steps. Default: from frequency, season and the amount of data.
    id_col, time_col, target_col : str
        Names of the columns. For a wide file, `target_col` may be a list. ``id_col=None`` means
        that all rows are one series.
    intervals : bool
        Whether to calibrate intervals. This takes a second training, without the last values,
        unless `fit` has a `val_size`. If False, the quantile loss still gives its trained bounds,
        without a guarantee of coverage.
    level : float or list of float, optional
        Levels in percent that the quantile loss trains; `predict` then offers only these. Default:
        80 and 95. With other losses pass levels to `predict`.
    alias : str
        Name of the forecast column.
    prior : str, optional
        Pretrained networks. ``"auto"``: those of the package, for series with too few windows to
        train on, or if validation shows that they help. A path: a file that `pretrain` and `save`
        made, or a folder of such files. None: train only on these series. ``settings["prior"]``
        says how the prior was used.
    day_first, on_bad_series
        As in `panel_from_frame`.

    Notes
    -----
    Intervals are split-conformal (`memattn.forecast.conformal`): they contain the true value with
    at least the probability `level`, on average over series, **if future windows are exchangeable
    with the calibration windows**. After a break in the series, coverage is lower. With the
    quantile loss, the trained bounds are adjusted by the same rule (Romano et al. 2019).

    A series with fewer than three values is forecast by its last value, and a constant series by
    its constant. Without a prior, a model with too few windows to train on stays untrained and
    equals Naive2; `settings` says so.
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

        With more than a million values and a thousand series, training uses a sample of whole
        series with that many values, chosen by `seed` and their ids; ``settings["sample"]`` has its
        size.

        Parameters
        ----------
        data : DataFrame, path or Panel
            A data frame of pandas, Polars, PyArrow or another library that narwhals reads, or a CSV
            or Parquet file, each long or wide; or what `panel_from_frame` made. Or several files of
            one kind: a folder, or a pattern such as ``"sales/*.parquet"``. Or a long table of Ray,
            Dask or Spark (docs/scale.md), of which the forecaster then keeps no series.
        val_size : int
            Number of last values of each series, at least `horizon`, to calibrate intervals on
            instead of training on them. This saves the second training, but the model does not
            learn from these values. 0: none.
        static_df : DataFrame or path, optional
            The columns of `stat_exog_list`, one row for each series. Default: `data` has them.
        progress : callable or bool, optional
            True shows a progress bar on stderr. A callable is called with (step, steps, loss) at
            most every 50 ms; if it returns False, training ends and no intervals are calibrated.
        checkpoint : path, optional
            A file for the training state, written atomically every 10 s and when a training ends or
            is stopped by `progress`, Ctrl-C or an exception. It holds weights and fingerprints of
            the series, not the series.
        resume : bool
            Whether to continue the training in `checkpoint`; the result equals that of an
            uninterrupted fit to the bit. If False, the file must not exist.
        start_from : Forecaster or path, optional
            A fitted forecaster or its file, with the same options for its networks. Training starts
            from its weights, with its settings and few steps; `data` must have its frequency. Only
            rows that are new to it calibrate intervals; if there are too few, intervals stay as
            before.
        memory : int or str, optional
            Bytes, such as ``"2GiB"``, that a long table in files may take: they are read in passes,
            and the forecaster keeps none of their series; `write_forecasts` forecasts them.
            Default: 2 GiB for more than 20 million rows in several files; others are read at once.

        Returns
        -------
        Forecaster
            The forecaster itself. After an exception, including KeyboardInterrupt, it is unchanged.

        Raises
        ------
        DataError
            If the data cannot be used (the message names row and column), if the checkpoint belongs
            to other data or settings, or if it cannot be written; the previous checkpoint is then
            intact.
        FormatError
            If the checkpoint is damaged or another kind of file.
        TypeError, ValueError
            If `val_size` is invalid, or `start_from` has other options.
        """
        where = "Forecaster.fit"
        check_val_size(where, val_size, self.horizon)
        start = None if start_from is None else self._start(where, start_from)
        how: dict[str, Any] = {"val_size": val_size, "progress": progress}
        how |= {"checkpoint": checkpoint, "resume": resume}
        if is_engine_table(data):
            if memory is not None:
                problem = "cannot be set for a table of an engine, whose workers limit their memory"
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
        """Forecast the rows after the end of each series.

        Parameters
        ----------
        data : DataFrame, path or Panel, optional
            Series to forecast, with the columns and the frequency of `fit`; they may be new.
            Default: the series of `fit`.
        X_df : DataFrame or path, optional
            The columns of `futr_exog_list` for the ``h`` rows after each series. Other rows,
            columns and series are ignored.
        static_df : DataFrame or path, optional
            As in `fit`, of the series in `data`.
        level : float or list of float, optional
            Levels of the intervals in percent, from 1 to below 100. Default: no intervals. The
            quantile loss offers only the trained levels, see `available_levels`.
        h : int, optional
            Steps ahead, at most `horizon`. Default: the horizon.
        precision : {"float32", "bfloat16"}
            Precision of products in the memory layers, as in `MemoryAugmentedAttention`.

        Returns
        -------
        DataFrame, Table or SmallTable
            A table of the same library as the data; for a file pandas if it is installed, else
            Polars. ``h`` rows for each series with the columns unique_id, ds, memattn (`alias`),
            and for each level memattn-lo-80 and memattn-hi-80. Bounds are NaN for steps ahead that
            no calibration window reached, and infinite if a positive series turned non-positive in
            a calibration window.

        Raises
        ------
        RuntimeError
            Before `fit`, or without `data` if the forecaster was saved without its series.
        DataError
            If the data cannot be used, `X_df` lacks a row or a value, or the horizon reaches beyond
            the year 9999.
        TypeError, ValueError
            If `level` or `h` is invalid, a level was not trained, `fit` has not calibrated
            intervals, `data` has another frequency, or `X_df` is missing for covariates that must
            be known.
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
        """Forecast series in files of any size, and write the forecasts to a file.

        The forecasts equal those of `predict` to the bit. Series are written in the order in which
        they end in the files. If the rows of many series are spread over the files, they are sorted
        by id first, which needs DuckDB and space in the folder of temporary files.

        Parameters
        ----------
        path : path
            The file to write, ``*.parquet``, ``*.csv`` or ``*.csv.gz``. It appears when it is
            complete.
        data : path
            A Parquet or CSV file, a folder of them, or a pattern such as ``"sales/*.parquet"``.
        X_df, static_df, level, h
            As in `predict`.
        memory : int or str, optional
            Limit of the process's memory, such as ``"4GiB"``. Default: 2 GiB.
        progress : callable or bool, optional
            True shows a progress bar on stderr. A callable is called with (series done, all
            series).

        Returns
        -------
        Written
            The number of series and rows, and notes on the data.

        Raises
        ------
        RuntimeError
            Before `fit`.
        DataError
            As in `predict`, with file and row. Also if a series is too long for `memory`, or the
            file cannot be written; an existing file is then unchanged.
        TypeError, ValueError
            As in `predict`, or if `memory` is invalid.
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
        """Return the forecasts of `predict` as arrays (N, h) for N series."""
        where = "Forecaster.predict"
        fitted = self._state("predict") if data is not None else self._state_with_series("predict")
        levels = checked_levels(where, level)
        rounding = checked_precision(precision, where)
        steps = self.horizon if h is None else whole_number(where, "h", h, 1, self.horizon)
        if isinstance(data, int | float | list | tuple):
            hint = f"pass level={data!r}" if data else "pass levels as level="
            raise TypeError(f"{where}: data: found {data!r}, expected series; {hint}")
        panel = fitted.panel
        if data is not None:
            panel = self._panel_like_fit(where, data, static_df=static_df)
        elif static_df is not None:
            raise refused(where, "static_df", "needs data; fit() has the table of its own series")
        panel = self._with_future(where, panel, X_df, steps)
        found = forecast(fitted.model, panel, last_windows(panel), rounding)
        ends = intervals_of(where, fitted, found, levels)
        first = {one: (low[:, :steps], high[:, :steps]) for one, (low, high) in ends.items()}
        return Forecasts(panel, found.points[:, :steps], first)

    def fitted(self) -> Any:
        """Forecast every known row from the rows before it, one step ahead.

        The model was trained on these rows, so its errors are smaller here than on new rows. Use
        `held_out` or `backtest` to measure accuracy.

        Returns
        -------
        DataFrame, Table or SmallTable
            As in `predict`, with the columns unique_id, ds, y and memattn (`alias`). y is NaN where
            the data has no value. The first three rows of each series are left out.

        Raises
        ------
        RuntimeError
            Before `fit`.
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
        """Forecast the last windows of each series with only the rows known at that time.

        One model is trained on the rows up to the earliest cutoff of all windows, which also
        determine frequency, season, settings and intervals. It forecasts all windows in one pass. A
        series too short for a window has none. The forecaster itself is not changed.

        Parameters
        ----------
        data : DataFrame, path or Panel
            As in `fit`.
        n_windows : int
            Windows per series; the last one ends with the series.
        step_size : int
            Rows from one window to the next, 1 by default.
        val_size : int
            As in `fit`, applied to the rows before the first window.
        refit : bool or int
            True trains a model for each window, a number k one for every k windows, with the same
            settings. False trains once.
        static_df : DataFrame or path, optional
            As in `fit`.
        level : float or list of float, optional
            As in `predict`.
        progress : callable or bool, optional
            As in `fit`; if a callable returns False, the training for this window ends.
        checkpoint, resume
            As in `fit`, for the trainings of all windows.

        Returns
        -------
        DataFrame, Table or SmallTable
            As in `predict`, with the additional columns cutoff, the time of the last known row, and
            y.

        Raises
        ------
        DataError, FormatError
            As in `fit`.
        TypeError, ValueError
            If no series is longer than the horizon, or an option is invalid.
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
        """Run `cross_validation` and measure errors, those of naive forecasts, and coverage.

        Returns
        -------
        Evaluation
            Arrays (W, horizon) for W windows; `Evaluation.to_frame` returns a table. For a table of
            an engine it has the same measures, but no arrays; its table is the engine's.
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
