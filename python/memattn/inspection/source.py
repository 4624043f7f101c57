"""The layer that a command looks at, from its file, and the one that it writes."""

from __future__ import annotations

from pathlib import Path

from memattn.convert.reading import find_and_read
from memattn.convert.recognise import FoundLayer
from memattn.convert.writing import check_target, write
from memattn.errors import DataError
from memattn.files import check_writable, errors_of_reading, write_error
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


def read_memory_layer(
    path: Path, name: str | None = None
) -> tuple[FoundLayer, MemoryAugmentedAttention]:
    """The same for a memory layer.

    Raises
    ------
    DataError
        As `read_layer`, or it is a layer of two inputs.
    """
    found, layer = read_layer(path, name)
    if not isinstance(layer, MemoryAugmentedAttention):
        problem = f"found a {found.layer}, expected a MemoryAugmentedAttention"
        raise DataError("layer", problem, file=path)
    return found, layer


def check_layer_target(path: Path) -> None:
    """What would fail in `write_layer` fails here, before the work.

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
