"""Splits a file set into parts of whole series that fit in memory, and reads the sample of a fit.

One pass over the ids finds where each series ends. The next pass keeps the rows of a series until
its end, which is little at a time if files hold whole series or rows are sorted by id. If it would
be too much, DuckDB sorts the rows once in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.file_set import Batch, FileSet, joined
from memattn.forecast.data.series_sample import Counted, hashes_of, last_hash, shortest
from memattn.forecast.data.time_zones import Ticks

MANY_ROWS = 4_000_000  # kept of series that may be in the sample, before others are dropped

# A 64-bit number for each distinct id of a batch, the same in all batches of one pass.
Keys = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Census:
    """All series of a file set, in ascending order of `keys` (N,).

    Attributes
    ----------
    keys : array (N,)
        The keys of their ids, valid in this process only.
    hashes : array (N,)
        The hashes that choose the sample.
    rows, values : array (N,)
        Number of rows and of values of each.
    last : array (N,)
        Number of the batch with its last row.
    """

    keys: Keys
    hashes: Hashes
    rows: Ticks
    values: Ticks
    last: Ticks

    def __len__(self) -> int:
        return len(self.keys)

    def places(self, keys: Keys) -> Ticks:
        """Returns the indices of keys (m,), -1 for unknown ones."""
        if not len(self):
            return np.full(len(keys), -1)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        return np.where(self.keys[found] == keys, found, -1)

    def most_kept(self, batch_rows: Ticks) -> int:
        """Returns the most rows in memory at once if each series is kept until its last row."""
        done = np.bincount(self.last, self.rows, minlength=len(batch_rows)).astype(np.int64)
        read = np.cumsum(batch_rows)
        return int(np.max(read - np.cumsum(done) + done, initial=0))


class _Codes:
    """The ids of a batch: `codes` are indices into `ids`, which are distinct."""

    def __init__(self, files: FileSet, batch: Batch) -> None:
        column = batch.table[files.columns[0]]
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            columns = files.columns_of(batch)
            raise columns.error("missing-id", "the id is missing", row, files.columns[0])
        import pyarrow as pa

        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        chunk = column.unify_dictionaries().combine_chunks()
        chunk = chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk
        self.codes = np.asarray(chunk.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
        there = np.bincount(self.codes, minlength=len(chunk.dictionary)) > 0
        if not there.all():
            self.codes = (np.cumsum(there) - 1)[self.codes]
            chunk = chunk.dictionary.filter(pa.array(there))
        else:
            chunk = chunk.dictionary
        self.ids = chunk.to_pylist()

    @property
    def keys(self) -> Keys:
        """The key of each distinct id."""
        return np.fromiter(map(hash, self.ids), np.int64, len(self.ids))


@dataclass(frozen=True, eq=False)
class Survey:
    """The result of one pass over a file set.

    Attributes
    ----------
    files : FileSet
        The files that were read.
    census : Census
        Their series.
    batch_rows : array
        The number of rows of each batch.
    sample : Batch, optional
        The rows of the series that a fit trains on, if they were asked for.
    is_all : bool
        Whether the sample has all rows.
    """

    files: FileSet
    census: Census
    batch_rows: Ticks
    sample: Batch | None = None
    is_all: bool = False


def _together(blocks: list[Census]) -> Census:
    """Merges censuses that share no series."""
    order = np.argsort(np.concatenate([one.keys for one in blocks]))
    names = (one.name for one in fields(Census))
    return Census(
        *(np.concatenate([getattr(one, name) for one in blocks])[order] for name in names)
    )


class _Counter:
    """Counts series batch by batch."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._blocks = [
            Census(*(np.zeros(0, kind) for kind in (np.int64, np.uint64, *[np.int64] * 3)))
        ]

    def add(self, found: _Codes, given: npt.NDArray[np.bool_], number: int) -> Hashes:
        """Counts a batch, whose rows with values are `given`, and returns the hashes of its ids."""
        keys, count = found.keys, len(found.ids)
        order = np.argsort(keys)
        keys = keys[order]
        starts = np.flatnonzero(np.append(True, np.diff(keys) != 0))  # two ids may share a key
        rows = np.add.reduceat(np.bincount(found.codes, minlength=count)[order], starts)
        values = np.bincount(found.codes[given], minlength=count)[order]
        values, keys = np.add.reduceat(values, starts), keys[starts]
        hashes, left = np.zeros(len(keys), np.uint64), np.arange(len(keys))
        for block in self._blocks:
            place = block.places(keys[left])
            there, place = left[place >= 0], place[place >= 0]
            block.rows[place] += rows[there]
            block.values[place] += values[there]
            block.last[place] = number
            hashes[there] = block.hashes[place]
            left = np.setdiff1d(left, there, assume_unique=True)
        if len(left):
            hashes[left] = hashes_of([found.ids[k] for k in order[starts[left]]], self._seed)
            last = np.full(len(left), number)
            self._blocks.append(Census(keys[left], hashes[left], rows[left], values[left], last))
            # Each block is at most half the one before, so there are few and each series moves
            # rarely.
            while len(self._blocks) > 1 and 2 * len(self._blocks[-1]) > len(self._blocks[-2]):
                self._blocks[-2:] = [_together(self._blocks[-2:])]
        of_ids = np.empty(count, np.uint64)
        of_ids[order] = np.repeat(hashes, np.diff(np.append(starts, count)))
        return of_ids

    def census(self) -> Census:
        """Returns the series counted so far."""
        self._blocks = [_together(self._blocks)]
        return self._blocks[0]


def survey(files: FileSet, target: str, seed: int, *, sampled: bool) -> Survey:
    """Counts the series of a file set and, if wanted, keeps the rows of the sample.

    Parameters
    ----------
    files : FileSet
        The files of a long table.
    target : str
        The column of values; missing ones are not counted.
    seed : int
        Seed of the sample.
    sampled : bool
        Whether the rows of the sample are kept.

    Raises
    ------
    DataError
        If there are no rows, or a row has no id.
    """
    counter, sizes = _Counter(seed), list[int]()
    kept: list[tuple[Batch, Hashes]] = []  # with the hash of each row
    limit, threshold = MANY_ROWS, None
    for number, batch in enumerate(files.batches(None if sampled else [files.columns[0], target])):
        found = _Codes(files, batch)
        hashes = counter.add(found, files.given(batch, target), number)
        sizes.append(len(batch))
        if sampled:
            kept.append(_up_to(threshold, batch, hashes[found.codes]))
            if sum(len(one) for one, _ in kept) > limit:
                threshold = _threshold(counter.census())
                kept = [_up_to(threshold, *one) for one in kept]
                limit = max(MANY_ROWS, 2 * sum(len(one) for one, _ in kept))
    census = counter.census()
    if not len(census):
        problem = "the table has no rows"
        raise DataError("no-rows", problem, file=files.source)
    counted = Survey(files, census, np.array(sizes, dtype=np.int64))
    if not sampled:
        return counted
    threshold = _threshold(census)
    some = [one for one, _ in (_up_to(threshold, *pair) for pair in kept) if len(one)]
    return replace(counted, sample=joined(some), is_all=threshold is None)


def _threshold(census: Census) -> int | None:
    """Returns the last hash of the sample, None if it is all series."""
    return last_hash(shortest(Counted(census.hashes, census.values)))


def _up_to(threshold: int | None, batch: Batch, hashes: Hashes) -> tuple[Batch, Hashes]:
    """Returns the rows of series with hashes up to a threshold, and their hashes."""
    if threshold is None:
        return batch, hashes
    wanted = hashes <= np.uint64(threshold)
    return batch.select(wanted).plain(), hashes[wanted]


def parts(counted: Survey, rows: int) -> Iterator[Batch]:
    """Yields the rows of whole series in parts of about `rows` rows, each series in one part.

    Raises
    ------
    DataError
        If a file cannot be read, or a row has no id.
    """
    files, census = counted.files, counted.census
    kept: list[Batch] = []
    wanted = rows // 2
    for number, batch in enumerate(files.batches()):
        kept.append(batch)
        if sum(map(len, kept)) < wanted and number + 1 < len(counted.batch_rows):
            continue
        both = joined(kept)
        found = _Codes(files, both)
        done = (census.last[census.places(found.keys)] <= number)[found.codes]
        kept = [both.select(~done)] if not done.all() else []
        if done.any():
            yield both.select(done)


def sorted_parts(files: FileSet, rows: int) -> Iterator[Batch]:
    """Yields parts as `parts` does, of a file set whose rows are sorted by id."""
    kept: list[Batch] = []
    for batch in files.batches():
        kept.append(batch)
        if sum(map(len, kept)) < rows // 2:
            continue
        both = joined(kept)
        found = _Codes(files, both)
        done = found.codes != found.codes[-1]
        kept = [both.select(~done)] if not done.all() else []
        if len(kept) and len(kept[0]) > rows:
            raise _too_long(str(found.ids[found.codes[-1]]), len(kept[0]), rows)
        if done.any():
            yield both.select(done)
    if kept:
        yield joined(kept)


def check_longest(counted: Survey, rows: int) -> None:
    """Raises DataError if a series has more rows than fit in memory."""
    longest = int(np.argmax(counted.census.rows))
    if counted.census.rows[longest] > rows:
        raise _too_long("", int(counted.census.rows[longest]), rows)


def _too_long(name: str, found: int, rows: int) -> DataError:
    which = f"series {quoted(name)}: " if name else ""
    problem = f"{which}found {found:,} rows in one series, expected at most {rows:,} in this much "
    return DataError("too-large", problem + "memory; pass more", argument="memory")
