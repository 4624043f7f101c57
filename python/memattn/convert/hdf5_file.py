"""Reads HDF5 files without running libhdf5 in this process.

libhdf5 lists the objects of a file in a child process, for the reasons in `hdf5_child`. This module
reads the values, from offsets that it has checked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

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
from memattn.extras import need

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAX_ANSWER_BYTES = 32 << 20

# Isolated (-I), so that neither the environment nor the current folder adds code; then with the
# search path of this process, which finds h5py. Run as a script, since importing memattn takes
# longer.
_CHILD = (
    "import runpy, sys; sys.path[:] = sys.argv[3:];runpy.run_path(sys.argv[1], run_name='__main__')"
)
_GROUP_KEYS = {"path", "attributes"}
_DATASET_KEYS = _GROUP_KEYS | {"shape", "dtype", "offset", "stored"}
NOT_CONTIGUOUS = "chunked or compressed values"  # the child's answer instead of a type
# NumPy's names for types of numbers and opaque bytes. Other texts do not reach its parser, which
# evaluates them.
_SIMPLE_TYPE = re.compile(r"[<>|=]?[a-zA-Z?]\d{0,9}", re.ASCII)
_CHILD_FILE = Path(__file__).with_name("hdf5_child.py")


@dataclass(frozen=True)
class Hdf5Object:
    """A group or dataset: its path, its attributes as listed by the child, and its values."""

    path: tuple[str, ...]
    attributes: Mapping[str, str]
    tensor: Tensor | None


def list_hdf5(source: SourceFile) -> list[Hdf5Object]:
    """Return all objects in an HDF5 file, the root first.

    Raises
    ------
    memattn.FormatError
        If the file is damaged, or refers to data elsewhere: by links, external storage or virtual
        datasets.
    ModuleNotFoundError
        If h5py is not installed.
    """
    need("reading HDF5 files", "convert", "h5py")
    answer = _ask_child(source)
    described = answer.get("objects")
    if not isinstance(described, list):
        place, found, expected = (str(answer.get(k))[:300] for k in ("place", "found", "expected"))
        source.fail(place, found, expected)
    objects = [_object(source, one) for one in described]
    paths = {one.path for one in objects}
    if not objects or objects[0].path:
        _fail_listing(source, "", "a list that does not begin with the root")
    if len(paths) != len(objects):
        _fail_listing(source, "", "two objects with the same path")
    return objects


def _ask_child(source: SourceFile) -> dict[str, Any]:
    descriptor = source.file.fileno()
    os.lseek(descriptor, 0, os.SEEK_SET)
    # No plugins: a file names its filters, and HDF5 would load their code.
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
        child.stdout.close()  # a child that goes on writing gets SIGPIPE
    if child.returncode > 0 and not data:
        # The child catches all errors that the file causes, so this one has another cause.
        code = child.returncode
        raise OSError(f"{source.path}: the process that reads HDF5 did not start (status {code})")
    try:
        answer = json.loads(data[:_MAX_ANSWER_BYTES])
    except (ValueError, RecursionError):
        answer = None
    if child.returncode != 0 or not isinstance(answer, dict):
        found = f"HDF5 that makes its library fail (exit status {child.returncode})"
        source.fail("", found, "an intact HDF5 file")
    return answer


def _object(source: SourceFile, described: object) -> Hdf5Object:
    """Return one object that the child described, after checks as for untrusted input.

    A file that takes over libhdf5 in the child controls this description.
    """
    if not isinstance(described, dict) or set(described) not in (_GROUP_KEYS, _DATASET_KEYS):
        _fail_listing(source, "", "an object with unexpected keys")
    names, attributes = described["path"], described["attributes"]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        _fail_listing(source, "", "a path that is not a list of names")
    path, place = tuple(names), "/".join(names)
    if not isinstance(attributes, dict) or {type(text) for text in attributes.values()} - {str}:
        _fail_listing(source, place, "an attribute that is not text")
    if len(described) == len(_GROUP_KEYS):
        return Hdf5Object(path, attributes, None)
    if not path:
        _fail_listing(source, place, "values without a name")
    return Hdf5Object(path, attributes, _tensor(source, path, described))


def _tensor(source: SourceFile, path: tuple[str, ...], described: Mapping[str, Any]) -> Tensor:
    place = "/".join(path)
    stored, offset = described["stored"], described["offset"]
    shape = () if described["shape"] is None else as_shape(described["shape"])
    if shape is None:
        _fail_listing(source, place, "a shape that is not a list of sizes")
    if not _is_size(stored) or not (offset is None or _is_size(offset)):
        _fail_listing(source, place, "an offset that is not a whole number")
    dtype, order = _dtype(source, place, described)
    size = byte_count(shape, dtype) if dtype in FLOAT_SIZES else 0
    begin = 0 if offset is None else offset  # an empty array has no storage
    if size > 0 and (offset is None or stored != size):
        found = f"{stored} bytes stored for shape {shape} of {dtype}"
        source.fail(place, found, f"{size}, written and contiguous")
    if begin + size > source.size:
        source.fail(place, f"values at {begin} to {begin + size}", f"below {source.size}")

    def load() -> Array:
        return decode(source.read_at(begin, size, place), dtype, shape, order)

    return Tensor(place, _parts(path), shape, dtype, load, key=(begin, shape))


def _dtype(source: SourceFile, place: str, described: Mapping[str, Any]) -> tuple[str, ByteOrder]:
    """Return the name of a type and its byte order."""
    text = described["dtype"]
    if text == "|V2" and described["attributes"].get("dtype") == "bfloat16":  # Keras' form of it
        return "bfloat16", "<"
    if text == NOT_CONTIGUOUS:
        return NOT_CONTIGUOUS, "<"
    if not isinstance(text, str) or _SIMPLE_TYPE.fullmatch(text) is None:
        _fail_listing(source, place, "an unsupported type")
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError):
        return text, "<"
    return dtype.name, ">" if dtype.byteorder == ">" else "<"


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _fail_listing(source: SourceFile, place: str, found: str) -> NoReturn:
    source.fail(place, f"HDF5 whose library lists {found}", "an intact HDF5 file")


def _parts(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path of a variable: vars/0 of Keras 3 becomes #0, kernel:0 of Keras 2 kernel."""
    if len(path) >= 2 and path[-2] == "vars" and path[-1].isdigit():
        return (*path[:-2], f"#{path[-1]}")
    return (*path[:-1], path[-1].partition(":")[0])
