"""The samples of cases that tests try by default. With MEMATTN_LONG_TESTS=1 they try all cases."""

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

LONG = os.environ.get("MEMATTN_LONG_TESTS") == "1"


def some(cases: Iterable[T], step: int) -> list[T]:
    """Return every `step`-th case, or all of them in the long form."""
    return list(cases)[:: 1 if LONG else step]


def pairwise(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return combinations of one value an axis: all of them in the long form, otherwise a few.

    The few have every pair of values of two axes, since most faults need no more than two options
    together. Each next combination is the one with the most pairs that are still missing.
    """
    combinations = list(itertools.product(*(range(len(axis)) for axis in axes)))

    def pairs(combination: tuple[int, ...]) -> set[Any]:
        return set(itertools.combinations(enumerate(combination), 2)) or {combination}

    chosen = combinations if LONG else []
    missing = set() if LONG else set().union(*map(pairs, combinations))
    while missing:
        chosen.append(max(combinations, key=lambda combination: len(pairs(combination) & missing)))
        missing -= pairs(chosen[-1])
    return [tuple(axis[k] for axis, k in zip(axes, row, strict=True)) for row in chosen]
