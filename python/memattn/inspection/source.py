"""The layer that a command looks at, from its file."""

from __future__ import annotations

import os
from pathlib import Path

from memattn._memattn import FormatError
from memattn.errors import DataError, printable
from memattn.layer import MemoryAugmentedAttention


def read_layer(path: Path) -> MemoryAugmentedAttention:
    """The layer of a file.

    Raises
    ------
    DataError
        There is no such file, or it holds no layer.
    """
    try:
        if path.is_dir():
            raise DataError("not-a-file", "found a folder, expected a layer's file", file=path)
        return MemoryAugmentedAttention.load(path)
    except FileNotFoundError:
        problem = "found no such file, expected a layer's file"
        raise DataError("not-found", problem, file=path) from None
    except FormatError as error:
        problem = str(error).removeprefix(f"{printable(str(path))}: ")
        raise DataError("layer-format", problem, file=path) from None
    except OSError as error:
        problem = f"found a file that cannot be read ({_reason(error)}), expected a layer's file"
        raise DataError("unreadable", problem, file=path) from None


def write_layer(layer: MemoryAugmentedAttention, path: Path) -> None:
    """Writes a layer's file, whole or not at all.

    Raises
    ------
    DataError
        The place cannot be written.
    """
    try:
        layer.save(path)
    except OSError as error:
        problem = f"found a place that cannot be written ({_reason(error)}), expected one that can"
        raise DataError("write-failed", problem, file=path) from None


def _reason(error: OSError) -> str:
    # The text of an error that C++ raised has the path in it.
    return os.strerror(error.errno) if error.errno else str(error)
