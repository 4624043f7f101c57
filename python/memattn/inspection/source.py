"""Reads the layer that a command inspects, and its inputs, and writes a repaired layer."""

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
    """Reads one layer of a file in any format of `memattn.convert`; also returns its description.

    Raises
    ------
    DataError
        If the file cannot be read or holds no layer, or holds several and none is called `name`.
    """
    with errors_of_reading(path, "a file of weights"):
        return find_and_read(path, name)


def read_layers(path: Path) -> Iterator[tuple[FoundLayer, Layer]]:
    """Yields every layer of a file, with its description.

    Raises
    ------
    DataError
        If the file cannot be read or holds no layer.
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
    """Raises the errors of `write_layer` that can be found before the layer is computed.

    Raises
    ------
    DataError
        If the suffix is not one of a format, or the file cannot be written.
    """
    check_target(path)
    check_writable(path)


def write_layer(layer: Layer, path: Path) -> None:
    """Writes a layer atomically, in the format of the path's suffix.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    try:
        write(layer, path)
    except OSError as error:
        raise write_error(path, error) from None
