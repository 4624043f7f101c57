"""The layer that a command looks at, from its file, and the one that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memattn.convert.reading import find_and_read, find_and_read_all
from memattn.convert.recognise import FoundLayer
from memattn.convert.writing import check_target, write
from memattn.errors import DataError
from memattn.files import check_writable, errors_of_reading, write_error
from memattn.inspection.pair_tokens import PairTokens, read_pair_tokens
from memattn.inspection.tokens import Tokens, read_tokens
from memattn.layer import MemoryAugmentedAttention
from memattn.layer_file import Layer


def read_layer(path: Path, name: str | None = None) -> tuple[FoundLayer, Layer]:
    """One layer of a file, of any format that `memattn.convert` reads, and what it is there.

    Raises
    ------
    DataError
        The file cannot be read or holds no layer, or several and `name` is that of none.
    """
    with errors_of_reading(path, "a file of weights"):
        return find_and_read(path, name)


def read_layers(path: Path) -> Iterator[tuple[FoundLayer, Layer]]:
    """Every layer of a file, one after the other.

    Raises
    ------
    DataError
        The file cannot be read or holds no layer.
    """
    with errors_of_reading(path, "a file of weights"):
        yield from find_and_read_all(path)


def read_inputs(
    layer: Layer, first: Path | None, second: Path | None
) -> Tokens | PairTokens | None:
    """Reads typical inputs of a layer from one or two files; returns None without files.

    Raises
    ------
    DataError
        If the layer has another number of inputs, or the files do not fit it.
    """
    if isinstance(layer, MemoryAugmentedAttention):
        if second is not None:
            problem = "{second} cannot be used: a MemoryAugmentedAttention has one input"
            raise DataError("option", problem, argument="second")
        return None if first is None else read_tokens(first, layer)
    if first is None and second is None:
        return None
    if first is None or second is None:
        given, name = ("second", "first") if first is None else ("first", "second")
        kind = type(layer).__name__
        problem = f"there is only the {given} input; pass {{{name}}} too: a {kind} has two inputs"
        raise DataError("option", problem, argument=name)
    return read_pair_tokens(first, second, layer)


def check_layer_target(path: Path) -> None:
    """Raises the errors of `write_layer` that can be known before the work.

    Raises
    ------
    DataError
        The name's ending is of no format, or the place cannot be written.
    """
    check_target(path)
    check_writable(path)


def write_layer(layer: Layer, path: Path) -> None:
    """Writes a layer in the format that the name's ending says, whole or not at all.

    Raises
    ------
    DataError
        The place cannot be written.
    """
    try:
        write(layer, path)
    except OSError as error:
        raise write_error(path, error) from None
