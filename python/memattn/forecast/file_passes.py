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

MEMORY = 2 << 30  # bytes, unless the caller says so
# Of rows in several files, from which on they are read in passes without being asked for; 20
# million of them take some 3 GB while they are put in order.
MANY_ROWS = 20_000_000
MANY_BYTES = 25 * MANY_ROWS  # of CSV files, whose rows nobody has counted
GZIP_GROWS = 8  # times, the text of a table of series when it is unpacked
# Of the process before it reads, and of a row while its series is forecast: bench.scaling --folder.
BYTES_ANYWAY, BYTES_A_ROW, BYTES_A_SERIES = 700 << 20, 400, 64
MOST_ROWS = 3_000_000  # at once, however much memory there is: more is no faster
FEWEST_ROWS = 100_000


class Written(NamedTuple):
    """What `Forecaster.write_forecasts` did.

    Attributes
    ----------
    series, rows : int
        How many series were forecast, and how many rows were written.
    notes : tuple of Note
        What was found in the data, each kind once and counted.
    """

    series: int
    rows: int
    notes: tuple[Note, ...]


class Passes:
    """A folder, a pattern or a file that is read in passes, by the options of a forecaster."""

    def __init__(
        self, where: str, data: object, options: ForecasterOptions, memory: object, beside: bool
    ) -> None:
        self._memory = MEMORY if memory is None else checked_memory(where, memory)
        if not isinstance(data, str | os.PathLike):
            problem = "found it beside data that is no path: a data frame is in memory already"
            raise refused(where, "memory", problem)
        source = Path(data)
        target, id_col = options.target_col, options.id_col
        if id_col is None or not isinstance(target, str):
            problem = "found options of a wide table or of one series, which are read at once; "
            raise refused(where, "memory", problem + "expected id_col and one target_col")
        self._options, self._beside = options, beside
        stat = [] if beside else list(options.stat_exog_list)
        names = [id_col, options.time_col, target]
        names += [*options.futr_exog_list, *options.hist_exog_list, *stat]
        self._files = file_set(source, names, options.day_first)
        self._survey: Survey | None = None

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._surveyed(0, sampled=False).census)

    @property
    def values(self) -> int:
        """How many values they have."""
        return int(self._surveyed(0, sampled=False).census.values.sum())

    def sample(self, seed: int) -> tuple[Columns, int, bool]:
        """The rows of the series that a fit trains on, how many series there are, if all are in."""
        found = self._surveyed(seed, sampled=True)
        assert found.sample is not None
        rows = self._files.columns_of(found.sample)
        count = len(found.census)
        # Not kept: whoever goes on to forecast needs the census alone.
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
        """The forecasts of all series, part by part; a note for a part of bad series alone.

        Raises
        ------
        BadSeriesError
            Bad series are to be left out, and all are bad.
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
            problem = f"found {series:,} series, which take {-(-needed // 2**20):,} MiB, expected "
            raise DataError("option", problem + "at least so much", argument="memory")
        free = self._memory - BYTES_ANYWAY - BYTES_A_SERIES * series
        return min(free // BYTES_A_ROW, MOST_ROWS)

    @contextmanager
    def _parts(self, counted: Survey, rows: int) -> Iterator[Iterator[Batch]]:
        """Parts of whole series, of sorted rows where the files lie otherwise."""
        if counted.census.most_kept(counted.batch_rows) + rows // 2 <= rows:
            yield parts(counted, rows)
            return
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        memory = self._memory - BYTES_ANYWAY // 2
        with in_order_of_ids(self._files, memory, threads) as files:
            yield sorted_parts(files, rows)


def read_in_passes(data: object, memory: object) -> bool:
    """Whether data is to be read in passes: it is asked for, or it is very much in many files."""
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
    if len(files) < 2 or importlib.util.find_spec("pyarrow") is None:  # which reading says
        return False
    return FileSet(source, tuple(files), ()).rows > MANY_ROWS


def write_forecasts(path: Path, found: Iterator[Forecasts | Note], model: str) -> Written:
    """Writes forecasts to a file as they come; it is there once all of them are.

    Raises
    ------
    DataError
        The file cannot be written; one that was there before is whole.
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
    """Return the writer of forecasts for the suffix of a file."""
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
    """Closes a stream after the block; what an exception has ended is closed as well as can be."""
    try:
        yield stream
    except BaseException:
        with suppress(OSError):
            stream.close()
        raise
    stream.close()


class _ParquetWriter:
    """Writes Parquet, a row group each time."""

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
    """Writes CSV, its header once."""

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
