"""Samples whole series to train on if there are very many, by a hash of seed and id alone.

Series are ordered by a keyed hash of their ids, and the sample is the shortest beginning of that
order with enough values and enough series. A series in the sample of a whole table is also in the
sample of each part of the table with rows of it. So parts can be counted separately, in any number
and any order, and merged: `shortest` of the results of several calls equals `shortest` of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from memattn.errors import DataError
from memattn.forecast.data.columns import Array
from memattn.forecast.data.covariates import UNKNOWN, Covariates
from memattn.forecast.data.flat_rows import rows_from
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import panel_with_season
from memattn.forecast.data.series import Flags, Panel
from memattn.forecast.data.time_zones import Ticks

Hashes = npt.NDArray[np.uint64]


class Budget(NamedTuple):
    """The least number of values and of series in a sample."""

    values: int
    series: int


# Measured by `python -m bench.sample_size`; docs/scale.md has the results.
BUDGET = Budget(values=1_000_000, series=1_000)


class Counted(NamedTuple):
    """The first series by hash: their hashes (m,), ascending, and their numbers of values."""

    hashes: Hashes
    values: Ticks


@dataclass(frozen=True, eq=False)
class Sample:
    """A panel of which only some series are trained on.

    Attributes
    ----------
    whole : Panel
        All series, with the season and the categories of the sample.
    panel : Panel
        The series of the sample, as if only their rows had been read; without notes.
    places : array (M,)
        Indices of the sampled series among all, ascending.
    """

    whole: Panel
    panel: Panel
    places: Ticks

    @property
    def note(self) -> Note:
        """The note on the size of the sample."""
        more = "" if len(self.panel) == len(self.whole) else f" of {len(self.whole):,}"
        text = f"{said(self.panel)}{more}, {HOW}"
        return Note("sample", f"trained on {text}", len(self.panel))


HOW = "chosen by a hash of the seed and their ids"


def said(panel: Panel) -> str:
    """Returns the size of a sample as text."""
    values = int(np.count_nonzero(~np.isnan(panel.values)))
    return f"{values:,} values of {plural(len(panel), 'series', 'series')}"


def hashes_of(ids: Sequence[Any] | npt.NDArray[Any], seed: int) -> Hashes:
    """Returns a 64-bit hash of each id (N,), which depends only on its text and the seed."""
    keyed = blake2b(digest_size=8, key=seed.to_bytes(8, "little"))
    found = bytearray()
    for one in ids:
        state = keyed.copy()
        state.update(str(one).encode())
        found += state.digest()
    return np.frombuffer(bytes(found), dtype="<u8").astype(np.uint64)


def shortest(counted: Counted, budget: Budget | None = None) -> Counted:
    """Returns the series of the sample, and the next one after them if there is any.

    Parameters
    ----------
    counted : Counted
        Series in any order; the values of one that occurs several times are added up.
    budget : Budget, optional
        The least size of the sample. Default: `BUDGET`.
    """
    hashes, place = np.unique(counted.hashes, return_inverse=True)
    values = np.zeros(len(hashes), np.int64)
    np.add.at(values, place, counted.values)
    keep = _length(values, budget) + 1
    return Counted(hashes[:keep], values[:keep])


def last_hash(counted: Counted, budget: Budget | None = None) -> int | None:
    """Returns the last hash of the sample in a result of `shortest`; None if all are in it."""
    length = _length(counted.values, budget)
    return int(counted.hashes[length - 1]) if length < len(counted.hashes) else None


def _length(values: Ticks, budget: Budget | None) -> int:
    budget = budget or BUDGET
    enough = int(np.searchsorted(np.cumsum(values), budget.values)) + 1
    return min(max(enough, budget.series), len(values))


def sample_of(
    panel: Panel, seed: int, budget: Budget | None = None, *, as_in_fit: bool = False
) -> Sample | None:
    """Returns the sample of a panel; None if it is all series.

    Season and categories are found in the sample, or with `as_in_fit` are those of the panel.

    Series that were left out as bad count as well, as they do when rows are counted before whole
    series are read.
    """
    budget, given = budget or BUDGET, panel.given
    ids, values = (panel.ids, _values_of(panel)) if given is None else given
    if len(ids) <= budget.series or int(values.sum()) < budget.values:
        return None
    hashes = hashes_of(ids, seed)
    last = last_hash(shortest(Counted(hashes, values), budget), budget)
    if last is None:
        return None
    if given is not None and len(ids) != len(panel):
        hashes = hashes_of(panel.ids, seed)
    places = np.flatnonzero(hashes <= np.uint64(last))
    if not len(places):
        problem = f"none of the {budget.series:,} series sampled for training can be used"
        raise DataError("bad-sample", f"{problem}; pass another {{seed}}")
    if as_in_fit:
        return Sample(panel, replace(panel.of_series(places), notes=()), places)
    return _cut(panel, places)


def sample_read(panel: Panel, *, as_in_fit: bool = False) -> Sample:
    """Returns the sample that is a whole panel, which was read from the rows of a sample."""
    if as_in_fit:
        return Sample(panel, replace(panel, notes=(), given=None), np.arange(len(panel)))
    return _cut(panel, np.arange(len(panel)))


def _cut(panel: Panel, places: Ticks) -> Sample:
    whole = panel
    if panel.covariates is not None:
        rows = rows_from(
            panel.covariates.starts(panel.offsets)[places],
            panel.lengths[places] + panel.covariates.ahead,
        )
        whole = replace(panel, covariates=_with_categories_of(panel.covariates, rows))
    sample = replace(whole.of_series(places), notes=())
    if panel.season_found:
        sample, why = panel_with_season(sample, None)
        text = f"season: {sample.season} ({why})"
        notes = (replace(one, text=text) if one.kind == "season" else one for one in panel.notes)
        whole = replace(whole, season=sample.season, notes=tuple(notes))
    return Sample(whole, sample, places)


def _values_of(panel: Panel) -> Ticks:
    known = ~np.isnan(panel.values)
    return np.add.reduceat(known.astype(np.int64), panel.offsets[:-1])


def _with_categories_of(found: Covariates, rows: Ticks) -> Covariates:
    """Returns the covariates with only the categories that occur in `rows`."""
    columns, values = list(found.columns), found.values
    for k, column in enumerate(columns):
        if not column.categories:
            continue
        there: Flags = np.zeros(len(column.categories), dtype=bool)
        seen = values[rows, k]
        there[seen[seen >= 0].astype(np.int64)] = True
        if there.all():
            continue
        if values is found.values:
            values = values.copy()
        kept = tuple(
            text for text, is_there in zip(column.categories, there, strict=True) if is_there
        )
        columns[k] = replace(column, categories=kept)
        values[:, k] = _moved(values[:, k], there)
    return replace(found, columns=tuple(columns), values=values)


def _moved(codes: Array, kept: Flags) -> Array:
    """Converts codes of categories to indices among the kept ones; NaN if none is kept."""
    if not kept.any():
        return np.full(len(codes), np.nan)
    place = np.where(kept, np.cumsum(kept) - 1.0, UNKNOWN)
    moved: Array = codes.copy()
    known = codes >= 0
    moved[known] = place[codes[known].astype(np.int64)]
    return moved
