"""Fits and forecasts of folders of files that need not fit in memory."""

from __future__ import annotations

import gzip
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from memattn.errors import DataError, refused
from memattn.files import write_error, written_atomically
from memattn.forecast.arguments import ForecasterOptions, checked_memory
from memattn.forecast.data.bad_series import BadSeriesError
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.external_sort import in_order_of_ids
from memattn.forecast.data.file_set import Batch, FileSet
from memattn.forecast.data.file_sets import file_set
from memattn.forecast.data.folders import csv_files, is_parquet, is_several, parquet_files
from memattn.forecast.data.frames import Forecasts, forecast_frame
from memattn.forecast.data.long_rows import Note, PartNotes
from memattn.forecast.data.series_parts import (
    Survey,
    check_longest,
    parts,
    sorted_parts,
    survey,
)
from memattn.forecast.progress import SeriesProgress

MEMORY = 2 << 30  # bytes, the default
# Several files with more rows are read in passes by default; sorting 20 million rows takes about
# 3 GB.
MANY_ROWS = 20_000_000
MANY_BYTES = 25 * MANY_ROWS  # the same for CSV files, whose rows are not counted
GZIP_GROWS = 8  # size of the unpacked text of a table of series, relative to the gzip file
# Memory of the process before it reads, of a row while its series is forecast, and of a series:
# bench.scaling --folder.
BYTES_ANYWAY, BYTES_A_ROW, BYTES_A_SERIES = 700 << 20, 400, 64
MOST_ROWS = 3_000_000  # rows forecast at once, with any amount of memory: more is no faster
FEWEST_ROWS = 100_000  # rows forecast at once, at least


class Written(NamedTuple):
    """The result of `Forecaster.write_forecasts`.

    Attributes
    ----------
    series, rows : int
        How many series were forecast, and how many rows were written.
    notes : tuple of Note
        Notes on the data, one of each kind with its count.
    """

    series: int
    rows: int
    notes: tuple[Note, ...]


class Passes:
    """A folder, a pattern or a file that is read in passes, with the options of a forecaster."""

    def __init__(
        self, where: str, data: object, options: ForecasterOptions, memory: object, beside: bool
    ) -> None:
        self._memory = MEMORY if memory is None else checked_memory(where, memory)
        if not isinstance(data, str | os.PathLike):
            problem = "needs the path of files as data: a data frame is in memory already"
            raise refused(where, "memory", problem)
        source = Path(data)
        target, id_col = options.target_col, options.id_col
        if id_col is None or not isinstance(target, str):
            problem = "cannot be set for a wide table or a single series, which are read at once; "
            raise refused(where, "memory", problem + "pass id_col and one target_col")
        self._options, self._beside = options, beside
        stat = [] if beside else list(options.stat_exog_list)
        names = [id_col, options.time_col, target]
        names += [*options.futr_exog_list, *options.hist_exog_list, *stat]
        self._files = file_set(source, names, options.day_first)
        self._survey: Survey | None = None

    @property
    def series(self) -> int:
        """The number of series."""
        return len(self._surveyed(0, sampled=False).census)

    @property
    def values(self) -> int:
        """The number of values of all series."""
        return int(self._surveyed(0, sampled=False).census.values.sum())

    def sample(self, seed: int) -> tuple[Columns, int, bool]:
        """Returns the rows to train on, the number of series, and whether all are in these rows."""
        found = self._surveyed(seed, sampled=True)
        assert found.sample is not None
        rows = self._files.columns_of(found.sample)
        count = len(found.census)
        # The sample is not kept: forecasts only need the census.
        self._survey = Survey(found.files, found.census, found.batch_rows)
        return rows, count, found.is_all

    def _surveyed(self, seed: int, *, sampled: bool) -> Survey:
        if self._survey is None or sampled:
            target = str(self._options.target_col)
            self._survey = survey(self._files, target, seed, sampled=sampled)
        return self._survey

    def forecasts(
        self, of_part: Callable[[Columns], Forecasts], told: SeriesProgress
    ) -> Iterator[Forecasts | Note]:
        """Yields the forecasts of all series in parts, or a note for a part with only bad series.

        Raises
        ------
        BadSeriesError
            If all series are bad, although bad series are to be left out.
        """
        counted = self._surveyed(0, sampled=False)
        series, done = len(counted.census), 0
        rows = self._rows_at_once(series)
        check_longest(counted, rows)
        with self._parts(counted, rows) as found:
            first: BadSeriesError | None = None
            for number, part in enumerate(found):
                try:
                    forecasts = of_part(self._files.columns_of(part))
                except BadSeriesError as error:
                    first = error if number == 0 else first
                    done += error.count
                    yield error.note
                else:
                    first = None
                    yield forecasts
                    panel = forecasts.panel
                    left_out = (one.count for one in panel.notes if one.kind == "bad-series")
                    done += len(panel) + sum(left_out)
                told(done, series)
            if first is not None:
                raise first

    def _rows_at_once(self, series: int) -> int:
        needed = BYTES_ANYWAY + BYTES_A_SERIES * series + BYTES_A_ROW * FEWEST_ROWS
        if needed > self._memory:
            problem = f"{series:,} series take {-(-needed // 2**20):,} MiB; pass at least as much"
            raise DataError("option", problem, argument="memory")
        free = self._memory - BYTES_ANYWAY - BYTES_A_SERIES * series
        return min(free // BYTES_A_ROW, MOST_ROWS)

    @contextmanager
    def _parts(self, counted: Survey, rows: int) -> Iterator[Iterator[Batch]]:
        """Yields parts of whole series; sorts the rows by id first if series are too spread out."""
        if counted.census.most_kept(counted.batch_rows) + rows // 2 <= rows:
            yield parts(counted, rows)
            return
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        memory = self._memory - BYTES_ANYWAY // 2
        with in_order_of_ids(self._files, memory, threads) as files:
            yield sorted_parts(files, rows)


def read_in_passes(data: object, memory: object) -> bool:
    """Returns whether to read data in passes: with `memory`, or for many rows in several files."""
    if memory is not None:
        return True
    if not isinstance(data, str | os.PathLike):
        return False
    source = Path(data)
    if not is_several(source):
        return False
    if text := csv_files(source):
        sizes = (
            (GZIP_GROWS if one.suffix.lower() == ".gz" else 1) * one.stat().st_size for one in text
        )
        return sum(sizes) > MANY_BYTES
    files = parquet_files(source)
    if len(files) < 2 or importlib.util.find_spec("pyarrow") is None:  # the reader reports it
        return False
    return FileSet(source, tuple(files), ()).rows > MANY_ROWS


def write_forecasts(path: Path, found: Iterator[Forecasts | Note], model: str) -> Written:
    """Writes forecasts to a file as they arrive; the file appears when it is complete.

    Raises
    ------
    DataError
        If the file cannot be written. An existing file is then unchanged.
    """
    series = rows = 0
    notes = PartNotes()
    with written_atomically(path) as stream, _writer(path, stream) as write:
        for one in found:
            if isinstance(one, Note):
                notes.add([one])
                continue
            try:
                write(one, model)
            except OSError as error:
                raise write_error(path, error) from None
            series += len(one.panel)
            rows += one.values.size
            notes.add(one.panel.notes)
    return Written(series, rows, notes.all())


@contextmanager
def _writer(path: Path, stream: BinaryIO) -> Iterator[Callable[[Forecasts, str], None]]:
    """Yields the writer of forecasts for the suffix of a file."""
    if is_parquet(path):
        with _closed_if_good(_ParquetWriter(stream)) as write:
            yield write
    elif path.suffix.lower() == ".gz":
        with _closed_if_good(gzip.GzipFile("", "wb", mtime=0, fileobj=stream)) as packed:
            yield _CsvWriter(packed)
    else:
        yield _CsvWriter(stream)


@contextmanager
def _closed_if_good(stream: Any) -> Iterator[Any]:
    """Closes a stream after the block; after an exception, ignores errors of closing."""
    try:
        yield stream
    except BaseException:
        with suppress(OSError):
            stream.close()
        raise
    stream.close()


class _ParquetWriter:
    """Writes Parquet, one row group for each call."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._writer: Any = None

    def __call__(self, found: Forecasts, model: str) -> None:
        import pyarrow.parquet as pq

        table = forecast_frame(
            found.panel, found.values, found.intervals, model=model, kind="pyarrow"
        )
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._stream, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """Writes the end of the file."""
        if self._writer is not None:
            self._writer.close()


class _CsvWriter:
    """Writes CSV, with the header once."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._begun = stream, False

    def __call__(self, found: Forecasts, model: str) -> None:
        table = forecast_frame(
            found.panel, found.values, found.intervals, model=model, kind="small"
        )
        text = str(table.to_csv())
        if self._begun:
            text = text.partition("\n")[2]
        self._begun = True
        self._stream.write(text.encode())
