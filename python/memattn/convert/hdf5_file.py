"""HDF5 files, read at arm's length.

libhdf5 lists a file in a process of its own, `hdf5_child`, which says why. The values are read
here, from places that have been checked.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.source import (
    FLOAT_SIZES,
    ByteOrder,
    SourceFile,
    Tensor,
    as_shape,
    byte_count,
    decode,
)

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_ANSWER_BYTES = 32 << 20

# Isolated (-I), so that neither the environment nor the folder that the user stands in adds code;
# then with the search path of this process, where h5py is. Not as a part of memattn, which would
# take longer to load.
_CHILD = (
    "import runpy, sys; sys.path[:] = sys.argv[3:];runpy.run_path(sys.argv[1], run_name='__main__')"
)
_CHILD_FILE = Path(__file__).with_name("hdf5_child.py")


@dataclass(frozen=True)
class Hdf5Object:
    """A group or a dataset: its path, what the child tells of its attributes, and its values."""

    path: tuple[str, ...]
    attributes: Mapping[str, str]
    tensor: Tensor | None


def list_hdf5(source: SourceFile) -> list[Hdf5Object]:
    """Everything in an HDF5 file, the root first.

    Raises
    ------
    memattn.FormatError
        It is damaged, or holds what could reach outside of it: links, external storage, virtual
        datasets.
    ModuleNotFoundError
        h5py is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise ModuleNotFoundError("HDF5 files need: pip install 'memattn[convert]'", name="h5py")
    answer = _ask_child(source)
    objects = answer.get("objects")
    if not isinstance(objects, list):
        place, found, expected = (str(answer.get(k))[:300] for k in ("place", "found", "expected"))
        source.fail(place, found, expected)
    try:
        return [_object(source, described) for described in objects]
    except (AttributeError, KeyError, TypeError) as error:
        source.fail("", f"HDF5 that its library lists oddly ({error!r})", "a whole HDF5 file")


def _ask_child(source: SourceFile) -> dict[str, Any]:
    descriptor = source.file.fileno()
    os.lseek(descriptor, 0, os.SEEK_SET)
    # Plugins are code that a file's filters would name.
    environment = os.environ | {"HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _CHILD, _CHILD_FILE, str(descriptor), *sys.path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        env=environment,
    ) as child:
        assert child.stdout is not None
        data = child.stdout.read(_MAX_ANSWER_BYTES + 1)
        child.stdout.close()  # one that goes on gets a signal
    if child.returncode > 0 and not data:
        # It catches whatever comes of the file, so this is none of it.
        code = child.returncode
        raise OSError(f"{source.path}: the process that reads HDF5 did not start (status {code})")
    try:
        answer = json.loads(data[:_MAX_ANSWER_BYTES])
    except (ValueError, RecursionError):
        answer = None
    if child.returncode != 0 or not isinstance(answer, dict):
        found = f"HDF5 that breaks its library (ended with {child.returncode})"
        source.fail("", found, "a whole HDF5 file")
    return answer


def _object(source: SourceFile, described: Mapping[str, Any]) -> Hdf5Object:
    """What the child said, checked as if the file had said it."""
    path = tuple(str(part) for part in described["path"])
    attributes = described["attributes"]
    if "dtype" not in described:
        return Hdf5Object(path, attributes, None)
    place = "/".join(path)
    shape = as_shape(described["shape"]) or ()
    dtype, order = _dtype(described["dtype"], attributes)
    size = byte_count(shape, dtype) if dtype in FLOAT_SIZES else 0
    stored, offset = described.get("stored"), described.get("offset")
    begin = offset if isinstance(offset, int) else 0  # nothing is stored of an empty array
    if size > 0 and (offset is None or stored != size):
        found = f"{stored} bytes stored for shape {shape} of {dtype}"
        source.fail(place, found, f"{size}, written and in one piece")
    if not 0 <= begin <= begin + size <= source.size:
        source.fail(place, f"values at {begin} to {begin + size}", f"below {source.size}")

    def load() -> Array:
        return decode(source.read_at(begin, size, place), dtype, shape, order)

    tensor = Tensor(place, _parts(path), shape, dtype, load, key=(begin, shape))
    return Hdf5Object(path, attributes, tensor)


def _dtype(text: str, attributes: Mapping[str, str]) -> tuple[str, ByteOrder]:
    """The name of a type and the order of its bytes."""
    if text == "|V2" and attributes.get("dtype") == "bfloat16":  # as Keras stores it
        return "bfloat16", "<"
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError):
        return text, "<"
    return dtype.name, ">" if dtype.byteorder == ">" else "<"


def _parts(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a variable: vars/0 of Keras 3 as #0, kernel:0 of Keras 2 as kernel."""
    if len(path) >= 2 and path[-2] == "vars" and path[-1].isdigit():
        return (*path[:-2], f"#{path[-1]}")
    return (*path[:-1], path[-1].partition(":")[0])
