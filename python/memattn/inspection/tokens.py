"""The tokens for an inspection: from a file, from an array, or random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from memattn.arrays import Array, as_array
from memattn.csv_reader import read_csv
from memattn.errors import DataError, printable, quoted
from memattn.inspection.array_file import read_array
from memattn.layer import MemoryAugmentedAttention

REFERENCE_TOKENS = 4096  # enough for two digits of the slots' shares
MAX_REFERENCE_TOKENS = 16384
# With fewer tokens per slot, a slot that is rarely read would look dead.
TOKENS_A_SLOT = 20
REFERENCE_VALUES = 2**24  # 64 MiB; a very wide layer gets fewer tokens
REFERENCE_STEPS = 10  # as in the published example; affects only the cost of Keras' algorithm
REFERENCE_SEED = 0
CHUNK_VALUES = 2**20


@dataclass(frozen=True)
class Tokens:
    """Tokens that read a memory.

    Attributes
    ----------
    values : array (N, U)
        One token a row, finite; it may lie in a file.
    steps : int
        Tokens in a sequence; results do not depend on it.
    source : str
        A description, as text.
    is_reference : bool
        Whether these are the reference inputs, used if no data is given.
    """

    values: Array
    steps: int
    source: str
    is_reference: bool = False

    def __len__(self) -> int:
        """The number of tokens."""
        return len(self.values)

    def chunks(self, size: int) -> Iterator[Array]:
        """Yields the tokens in order as arrays (n, U), at most `size` tokens at a time."""
        for start in range(0, len(self.values), size):
            yield self.values[start : start + size]


def reference_tokens(layer: MemoryAugmentedAttention) -> Tokens:
    """Returns standard normal tokens, always the same, as after a normalisation layer.

    Their number is enough to judge every slot, unless there are very many slots.
    """
    slots, units = layer.weights["memory"].shape
    wanted = min(max(REFERENCE_TOKENS, TOKENS_A_SLOT * slots), MAX_REFERENCE_TOKENS)
    count = max(1, min(wanted, REFERENCE_VALUES // units))
    rng = np.random.default_rng(REFERENCE_SEED)
    values = rng.standard_normal((count, units), dtype=np.float32)
    source = f"{count:,} standard normal tokens (seed {REFERENCE_SEED})"
    return Tokens(values, REFERENCE_STEPS, source, is_reference=True)


def as_tokens(
    x: object, layer: MemoryAugmentedAttention, *, source: str = "", file: Path | None = None
) -> Tokens:
    """Returns the tokens in an array (N, U) or (B, T, U), checked for `layer`.

    Raises
    ------
    TypeError
        If `x` is not an array.
    DataError
        If the shape is wrong, there is no token, or a value is not finite in the layer's dtype.
    """
    return tokens_of_width(x, layer.weights["memory"].shape[1], layer.dtype, source, file)


def tokens_of_width(
    x: object, units: int, dtype: str, source: str = "", file: Path | None = None
) -> Tokens:
    """Returns the tokens in an array (N, units) or (B, T, units), for a layer of that dtype.

    Raises
    ------
    TypeError, DataError
        As `as_tokens`.
    """
    array = as_array("tokens", x)

    def error(kind: str, found: str, expected: str) -> DataError:
        return DataError(kind, f"found {found}, expected {expected}", file=file)

    if array.dtype.kind not in "fiub":
        raise error("not-a-number", f"dtype {array.dtype}", "real numbers")
    if array.ndim not in (2, 3) or array.shape[-1] != units or array.size == 0:
        expected = f"tokens of the layer's {units} units: (N, {units}) or (B, T, {units})"
        raise error("shape", f"an array of shape {array.shape}", expected)
    steps = array.shape[-2]
    tokens = Tokens(array.reshape(-1, units), steps, source)
    first = 0
    for chunk in tokens.chunks(max(1, CHUNK_VALUES // units)):
        with np.errstate(over="ignore"):
            finite = np.isfinite(chunk.astype(dtype)).all(axis=1)
        if not finite.all():
            bad = first + int(np.argmin(finite))
            expected = f"numbers that {dtype} can hold"
            raise error("not-finite", f"a NaN or an infinity in token {bad}", expected)
        first += len(chunk)
    return Tokens(tokens.values, steps, source or f"{len(tokens):,} tokens")


def read_tokens(path: Path, layer: MemoryAugmentedAttention) -> Tokens:
    """Reads tokens for `layer` from a ``.npy`` file, a ``.npz`` file with one array, or a CSV file.

    A CSV file is one sequence. Its rows are the steps, and its columns of numbers are the units, of
    which there must be exactly as many. Columns of dates and text are ignored.

    Raises
    ------
    DataError
        If the file cannot be read or does not hold such tokens.
    """
    return read_tokens_of_width(path, layer.weights["memory"].shape[1], layer.dtype)


def read_tokens_of_width(path: Path, units: int, dtype: str) -> Tokens:
    """Reads tokens in the same way, for a layer of that dtype with tokens of `units` numbers."""
    name = printable(path.name)
    if path.suffix.lower() in {".npy", ".npz"}:
        array = read_array(path)
        count = array.size // max(units, 1)
        return tokens_of_width(array, units, dtype, f"{count:,} tokens of {name}", path)
    table = read_csv(path)
    columns = [index for index in range(len(table.names)) if table.looks_numeric(index)]
    if len(columns) != units:
        names = ", ".join(quoted(table.names[index]) for index in columns[:8])
        more = ", ..." if len(columns) > 8 else ""
        found = f"{len(columns)} columns of numbers" + (f" ({names}{more})" if columns else "")
        problem = (
            f"found {found}, expected {units}, one for each unit of the layer; the layer reads the "
            "output of the model's previous layer, not a raw series: save that output as .npy"
        )
        raise DataError("units", problem, file=path, line=1)
    values = np.stack([table.numbers(index) for index in columns], axis=1)
    return tokens_of_width(values, units, dtype, f"{len(values):,} rows of {name}", path)
