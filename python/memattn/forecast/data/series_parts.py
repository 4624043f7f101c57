"""A file set in parts of whole series, none larger than memory allows, and the sample of a fit.

One pass over the ids says where each series ends. The next pass keeps the rows of a series until
then: files that hold whole series, or rows in the order of their ids, keep little at a time. Where
that would be too much, the rows are sorted once, by DuckDB in a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError, quoted
from memattn.forecast.data.file_set import Batch, FileSet, joined
from memattn.forecast.data.series_sample import Counted, hashes_of, last_hash, shortest
from memattn.forecast.data.time_zones import Ticks

BLOCKS = 12  # of series counted apart, before they are put together
MANY_ROWS = 4_000_000  # of series that may be in the sample, before those that are not are left out

# A number of 64 bits for each different id of a batch, the same in all batches of one pass.
Keys = npt.NDArray[np.int64]
Told = Callable[[int, int], object]  # rows that were read, and all


@dataclass(frozen=True, eq=False)
class Census:
    """All series of a file set, in ascending order of `keys` (N,).

    Attributes
    ----------
    keys : array (N,)
        What `keys_of` gives for their ids, in this process.
    hashes : array (N,)
        Those that choose the sample.
    rows, values : array (N,)
        How many rows and values each has.
    last : array (N,)
        The batch with its last row.
    """

    keys: Keys
    hashes: npt.NDArray[np.uint64]
    rows: Ticks
    values: Ticks
    last: Ticks

    def __len__(self) -> int:
        return len(self.keys)

    def places(self, keys: Keys) -> Ticks:
        """Where keys (m,) are, -1 for those that are not there."""
        if not len(self):
            return np.full(len(keys), -1)
        found = np.minimum(np.searchsorted(self.keys, keys), len(self) - 1)
        return np.where(self.keys[found] == keys, found, -1)

    def most_kept(self, batch_rows: Ticks) -> int:
        """The most rows that are kept at once when series are kept until their last row."""
        done = np.bincount(self.last, self.rows, minlength=len(batch_rows)).astype(np.int64)
        read = np.cumsum(batch_rows)
        return int(np.max(read - np.cumsum(done) + done, initial=0))


NOBODY = Census(*(np.zeros(0, kind) for kind in (np.int64, np.uint64, *[np.int64] * 3)))


def _together(blocks: list[Census]) -> Census:
    """One of several; what stands in some of them is added up."""
    if len(blocks) == 1:
        return blocks[0]
    keys = np.concatenate([one.keys for one in blocks])
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0)) if len(keys) else order

    def of(name: str) -> Any:
        return np.concatenate([getattr(one, name) for one in blocks])[order]

    return Census(
        keys[order][starts],
        of("hashes")[starts],
        np.add.reduceat(of("rows"), starts),
        np.add.reduceat(of("values"), starts),
        np.maximum.reduceat(of("last"), starts),
    )


class _Codes:
    """The ids of a batch: the place of each row's in `ids`, which are all different."""

    def __init__(self, files: FileSet, batch: Batch) -> None:
        column = batch.table[files.columns[0]]
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            columns = files.columns_of(batch)
            raise columns.error("missing-id", "found no id, expected one", row, files.columns[0])
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
        """The key of each different id."""
        return np.fromiter(map(hash, self.ids), np.int64, len(self.ids))


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over a file set has found.

    Attributes
    ----------
    files : FileSet
        What was read.
    census : Census
        Its series.
    batch_rows : array
        The rows of each batch.
    sample : Batch, optional
        The rows of the series that a fit trains on, if they were asked for.
    is_all : bool
        Whether these are all rows.
    """

    files: FileSet
    census: Census
    batch_rows: Ticks
    sample: Batch | None = None
    is_all: bool = False


def survey(
    files: FileSet, target: str, seed: int, *, sampled: bool, told: Told | None = None
) -> Survey:
    """Counts the series of a file set and, if wanted, keeps the rows of the sample.

    Parameters
    ----------
    files : FileSet
        Of a long table.
    target : str
        The column of values; only those that are given count.
    seed : int
        Of the sample.
    sampled : bool
        Whether the rows of the sample are kept.
    told : callable, optional
        Is told of rows that were read.
    """
    names = None if sampled else [files.columns[0], target]
    blocks, sizes, kept = [NOBODY], [], list[Batch]()
    limit, kept_rows, threshold = MANY_ROWS, 0, None
    for number, batch in enumerate(files.batches(names)):
        found = _Codes(files, batch)
        block = _counted(found, batch, target, blocks, seed, number)
        sizes.append(len(batch))
        blocks.append(block)
        if len(blocks) > BLOCKS:
            blocks = [_together(blocks)]
        if sampled:
            kept.append(batch if threshold is None else _sampled(files, batch, blocks, threshold))
            kept_rows += len(kept[-1])
            if kept_rows > limit:
                blocks = [_together(blocks)]
                threshold = _threshold(blocks[0])
                kept = [_sampled(files, one, blocks, threshold) for one in kept]
                kept_rows = sum(map(len, kept))
                limit = max(MANY_ROWS, 2 * kept_rows)
        if told is not None:
            told(sum(sizes), files.rows)
    census = _together(blocks)
    if not len(census):
        problem = "found a table without rows, expected rows"
        raise DataError("no-rows", problem, file=files.source)
    counted = Survey(files, census, np.array(sizes, dtype=np.int64))
    if not sampled:
        return counted
    threshold = _threshold(census)
    some = [one for one in (_sampled(files, one, [census], threshold) for one in kept) if len(one)]
    return replace(counted, sample=joined(some), is_all=threshold is None)


def _counted(
    found: _Codes, batch: Batch, target: str, known: list[Census], seed: int, number: int
) -> Census:
    """The series of one batch; those that are `known` have their hashes from there."""
    column = batch.table[target]
    given = column.is_valid().to_numpy()
    if "double" in str(column.type) or "float" in str(column.type):
        given &= ~np.isnan(column.to_numpy())
    keys, count = found.keys, len(found.ids)
    hashes, is_new = np.zeros(count, np.uint64), np.ones(count, dtype=bool)
    for block in known:
        place = block.places(keys)
        hashes[place >= 0] = block.hashes[place[place >= 0]]
        is_new &= place < 0
    new = np.flatnonzero(is_new)
    hashes[new] = hashes_of([found.ids[k] for k in new], seed)
    order = np.argsort(keys, kind="stable")
    rows = np.bincount(found.codes, minlength=count)
    values = np.bincount(found.codes[given], minlength=count)
    own = Census(keys[order], hashes[order], rows[order], values[order], np.full(count, number))
    return own if (np.diff(own.keys) != 0).all() else _together([own, NOBODY])


def _threshold(census: Census) -> int | None:
    """The last hash of the sample, None where it is all series."""
    return last_hash(shortest(Counted(census.hashes, census.values)))


def _sampled(files: FileSet, batch: Batch, known: list[Census], threshold: int | None) -> Batch:
    """The rows of series up to a hash."""
    if threshold is None or not len(batch):
        return batch
    found = _Codes(files, batch)
    keys, wanted = found.keys, np.zeros(len(found.ids), dtype=bool)
    for block in known:
        place = block.places(keys)
        there = place >= 0
        wanted[there] |= block.hashes[place[there]] <= np.uint64(threshold)
    return batch.select(wanted[found.codes])


def parts(counted: Survey, rows: int) -> Iterator[Batch]:
    """The rows of whole series, about so many at once, each series in one part.

    Raises
    ------
    DataError
        A series that is longer.
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
    """As `parts`, of a file set whose rows are in the order of their ids."""
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
    """DataError for a series that has more rows than memory is for."""
    longest = int(np.argmax(counted.census.rows))
    if counted.census.rows[longest] > rows:
        raise _too_long("", int(counted.census.rows[longest]), rows)


def _too_long(name: str, found: int, rows: int) -> DataError:
    which = f"series {quoted(name)}: " if name else ""
    problem = f"{which}found {found:,} rows in one series, expected at most {rows:,} in this much "
    return DataError("too-large", problem + "memory; pass more", argument="memory")
