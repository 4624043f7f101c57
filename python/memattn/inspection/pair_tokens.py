"""The two inputs for an inspection: from files, from arrays, or random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memattn.arrays import Array
from memattn.errors import DataError, printable
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.pair_fold import input_widths
from memattn.inspection.tokens import (
    REFERENCE_SEED,
    REFERENCE_VALUES,
    Tokens,
    read_tokens_of_width,
    tokens_of_width,
)
from memattn.pair_layer import PairLayer

REFERENCE_SEQUENCES = 64
REFERENCE_STEPS = 16


@dataclass(frozen=True)
class PairTokens:
    """B sequences of both inputs.

    Attributes
    ----------
    first : array (B, T1, F1)
        Source 1 (queries), or the short input; finite.
    second : array (B, T2, F2)
        Source 2 (keys and values), or the long input.
    source : str
        A description, as text.
    is_reference : bool
        Whether these are the reference inputs, used if no data is given.
    """

    first: Array
    second: Array
    source: str
    is_reference: bool = False

    def __len__(self) -> int:
        """The number of sequences."""
        return len(self.first)

    @property
    def steps(self) -> tuple[int, int]:
        """T1 and T2."""
        return self.first.shape[1], self.second.shape[1]

    def chunks(self, size: int) -> Iterator[tuple[Array, Array]]:
        """Yields the sequences in order, at most `size` of them at a time."""
        for start in range(0, len(self), size):
            yield self.first[start : start + size], self.second[start : start + size]


def reference_pair_tokens(layer: PairLayer) -> PairTokens:
    """Returns standard normal steps of both inputs, always the same."""
    widths = input_widths(layer.weights)
    scores = layer.get_config()["num_heads"] * REFERENCE_STEPS  # per step
    fit = REFERENCE_VALUES // (REFERENCE_STEPS * max(*widths, scores))
    count = max(1, min(REFERENCE_SEQUENCES, fit))
    rng = np.random.default_rng(REFERENCE_SEED)
    first, second = (
        rng.standard_normal((count, REFERENCE_STEPS, width), dtype=np.float32) for width in widths
    )
    source = f"{count} sequences of {REFERENCE_STEPS} standard normal steps (seed {REFERENCE_SEED})"
    return PairTokens(first, second, source, is_reference=True)


def as_pair_tokens(tokens: object, layer: PairLayer) -> PairTokens:
    """Returns the inputs in a tuple or list of two arrays (B, T, F) or (T, F), checked for `layer`.

    Raises
    ------
    TypeError
        If they are not arrays.
    DataError
        If there are not two of them, they do not fit the layer or each other, or are not finite.
    """
    if not isinstance(tokens, tuple | list) or len(tokens) != 2:
        kind = type(tokens).__name__
        found = f"a {kind}" + (f" of {len(tokens)}" if isinstance(tokens, tuple | list) else "")
        raise DataError("shape", f"found {found}, expected a tuple of the two inputs")
    first, second = (
        tokens_of_width(x, width, layer.dtype)
        for x, width in zip(tokens, input_widths(layer.weights), strict=True)
    )
    return _paired(first, second, layer, "", None)


def read_pair_tokens(first: Path, second: Path, layer: PairLayer) -> PairTokens:
    """Reads two inputs from two files that `read_tokens` accepts; an array (N, F) is one sequence.

    Raises
    ------
    DataError
        If a file cannot be read, or the two do not fit the layer or each other.
    """
    widths = input_widths(layer.weights)
    one = read_tokens_of_width(first, widths[0], layer.dtype)
    other = read_tokens_of_width(second, widths[1], layer.dtype)
    names = f" of {printable(first.name)} and {printable(second.name)}"
    return _paired(one, other, layer, names, second)


def _paired(
    first: Tokens, second: Tokens, layer: PairLayer, names: str, file: Path | None
) -> PairTokens:
    arrays = [np.reshape(x.values, (-1, x.steps, x.values.shape[1])) for x in (first, second)]
    shapes = tuple(array.shape[:2] for array in arrays)
    same = isinstance(layer, HierarchicalAttention)
    if shapes[0][0] != shapes[1][0] or (same and shapes[0] != shapes[1]):
        steps = shapes[0][1] if same else "steps"
        expected = (
            f"a second input ({shapes[0][0]}, {steps}, {arrays[1].shape[2]}) beside the first"
        )
        raise DataError("shape", f"found {arrays[1].shape}, expected {expected}", file=file)
    (count, steps1), (_, steps2) = shapes
    said = f"{count:,} sequence{'s' if count > 1 else ''} of {steps1:,} and {steps2:,} steps"
    return PairTokens(arrays[0], arrays[1], said + names)
