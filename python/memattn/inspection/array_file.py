"""Reads arrays from untrusted NumPy files: sizes are checked before memory is allocated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from memattn.arrays import Array
from memattn.convert.source import SourceFile, open_source
from memattn.convert.zip_archive import open_archive
from memattn.errors import quoted
from memattn.files import errors_of_reading
from memattn.npy_header import MAX_HEADER_BYTES, NpyHeader, NpyHeaderError, parse_npy_header

MAX_UNPACKED_BYTES = 2**31  # for .npz files; a .npy file is mapped, not read, and may be larger


def read_array(path: Path) -> Array:
    """Returns the array of a ``.npy`` file, mapped into memory, or the only one of a ``.npz`` file.

    Nothing is unpickled.

    Raises
    ------
    DataError
        If the file cannot be read, or does not hold an array of numbers.
    """
    with errors_of_reading(path, "an array file", "malformed-array"), open_source(path) as source:
        return _read_npz(source) if path.suffix.lower() == ".npz" else _map_npy(source)


def _map_npy(source: SourceFile) -> Array:
    header = _header(source, source.read_at(0, min(source.size, MAX_HEADER_BYTES), ""), "")
    dtype = _dtype(source, header, source.size, "")
    if 0 in header.shape:
        return np.empty(header.shape, dtype)
    order: Literal["C", "F"] = "F" if header.fortran_order else "C"
    file: Any = source.file
    values: Array = np.memmap(file, dtype, "r", header.begin, header.shape, order)
    return values


def _read_npz(source: SourceFile) -> Array:
    with open_archive(source) as archive:
        if len(archive.members) != 1:
            names = ", ".join(quoted(name) for name in list(archive.members)[:8])
            found = f"{len(archive.members)} arrays" + (f" ({names})" if names else "")
            source.fail("", found, "one")
        ((name, member),) = archive.members.items()
        header = _header(source, archive.read_start(name, MAX_HEADER_BYTES), name)
        dtype = _dtype(source, header, member.file_size, name)
        if member.file_size > MAX_UNPACKED_BYTES:
            expected = f"at most {MAX_UNPACKED_BYTES:,}; save it as .npy"
            source.fail(name, f"{member.file_size:,} bytes", expected)
        values: Array = np.frombuffer(archive.read(name), dtype, offset=header.begin)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def _header(source: SourceFile, data: bytes, place: str) -> NpyHeader:
    try:
        return parse_npy_header(data)
    except NpyHeaderError as error:
        source.fail(place, error.found, error.expected)


def _dtype(source: SourceFile, header: NpyHeader, size: int, place: str) -> np.dtype[np.generic]:
    """Returns the type of the values, after a check that they fill the file or member."""
    text = f"{header.byte_order}{header.kind}{header.width}"
    try:
        dtype = np.dtype(text)
    except TypeError:
        source.fail(place, f"values of type {text}", "real numbers")
    if dtype.kind not in "fiub":
        source.fail(place, f"values of type {dtype}", "real numbers")
    wanted = header.begin + math.prod(header.shape) * dtype.itemsize
    if size != wanted:
        source.fail(place, f"{size:,} bytes", f"{wanted:,} for shape {header.shape} of {dtype}")
    return dtype
