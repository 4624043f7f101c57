"""Reads and writes NumPy's ``.npz``, named arrays in a zip archive, without pickle or eval."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.source import (
    FLOAT_SIZES,
    MAX_JSON_BYTES,
    ByteOrder,
    Contents,
    Tensor,
    byte_count,
    decode,
    parse_json,
)
from memattn.convert.weights import names_of_count
from memattn.convert.zip_archive import Archive
from memattn.npy_header import MAX_HEADER_BYTES, NpyHeader, NpyHeaderError, parse_npy_header

_CONFIG = "config"


def is_npz(archive: Archive) -> bool:
    """Whether every member of an archive has the name of an array in an .npz file."""
    return bool(archive.members) and all(name.endswith(".npy") for name in archive.members)


def read_npz(archive: Archive) -> Contents:
    """Return all arrays of an .npz file."""
    tensors = [_tensor(archive, member) for member in archive.members if member != f"{_CONFIG}.npy"]
    config = None
    if f"{_CONFIG}.npy" in archive.members:
        config = _read_config(archive, f"{_CONFIG}.npy")
    return Contents(_in_keras_order(tensors), ".", config=config)


def _header(archive: Archive, member: str) -> NpyHeader:
    try:
        return parse_npy_header(archive.read_start(member, MAX_HEADER_BYTES))
    except NpyHeaderError as error:
        archive.source.fail(member, error.found, error.expected)


def _tensor(archive: Archive, member: str) -> Tensor:
    header = _header(archive, member)
    kinds = {"f": "float", "i": "int", "u": "uint"}
    kind = kinds.get(header.kind)
    dtype = f"{kind}{8 * header.width}" if kind else f"{header.kind}{header.width}"
    shape = header.shape
    size = archive.members[member].file_size - header.begin
    if dtype in FLOAT_SIZES and size != byte_count(shape, dtype):
        expected = f"{byte_count(shape, dtype)} for shape {shape} of {dtype}"
        archive.source.fail(member, f"{size} bytes of values", expected)

    order: ByteOrder = ">" if header.byte_order == ">" else "<"

    def load() -> Array:
        values = archive.read(member)[header.begin :]
        if header.fortran_order:
            return np.ascontiguousarray(decode(values, dtype, shape[::-1], order).T).reshape(shape)
        return decode(values, dtype, shape, order)

    name = member.removesuffix(".npy")
    return Tensor(name, tuple(name.replace("/", ".").split(".")), shape, dtype, load, key=member)


def _read_config(archive: Archive, member: str) -> Any:
    header = _header(archive, member)
    if (header.kind, header.shape) != ("U", ()):
        archive.source.fail(member, "an array that is not text", "the config as JSON")
    data = archive.read(member, 4 * MAX_JSON_BYTES)[header.begin :]
    text = data.decode("utf-32-be" if header.byte_order == ">" else "utf-32-le", "replace")
    return parse_json(archive.source, member, text.encode())


def _in_keras_order(tensors: list[Tensor]) -> list[Tensor]:
    """Rename the numbered arrays of ``np.savez(FILE, *layer.get_weights())`` to weights."""
    numbered = [f"arr_{index}" for index in range(len(tensors))]
    by_name = {tensor.name: tensor for tensor in tensors}
    named = names_of_count(len(tensors))
    if named is None or set(by_name) != set(numbered):
        return tensors
    pairs = zip(numbered, named[1], strict=True)
    return [_renamed(by_name[number], name) for number, name in pairs]


def _renamed(tensor: Tensor, name: str) -> Tensor:
    return Tensor(name, tuple(name.split(".")), tensor.shape, tensor.dtype, tensor.load)


def npz_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return an .npz file of the weights, with the config as an array of one string."""
    buffer = io.BytesIO()
    arrays = {**weights, _CONFIG: np.array(json.dumps(config))}
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its last parameter is not an array
    return buffer.getvalue()
