"""NumPy's ``.npz``: arrays by name in a zip archive, read without pickle and without eval."""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.source import (
    FLOAT_SIZES,
    MAX_JSON_BYTES,
    ByteOrder,
    Contents,
    Tensor,
    as_shape,
    byte_count,
    decode,
    parse_json,
)
from memattn.convert.weights import WEIGHT_NAMES, without_biases
from memattn.convert.zip_archive import Archive

_CONFIG = "config"
_MAX_HEADER_BYTES = 4096
# What numpy.save writes. Parsed so and not by ast.literal_eval, as NumPy does, which a deep
# expression can bring down.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?)([a-zA-Z])(\d{1,6})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,400})\), ?\} *\n"
)
_OBJECTS = re.compile(rb"\{'descr': '\|O")


def is_npz(archive: Archive) -> bool:
    """Whether every member of an archive is named as an array of an .npz is."""
    return bool(archive.members) and all(name.endswith(".npy") for name in archive.members)


def read_npz(archive: Archive) -> Contents:
    """All arrays of an .npz file."""
    tensors = [_tensor(archive, member) for member in archive.members if member != f"{_CONFIG}.npy"]
    config = None
    if f"{_CONFIG}.npy" in archive.members:
        config = _read_config(archive, f"{_CONFIG}.npy")
    return Contents(_in_keras_order(tensors), ".", config=config)


@dataclass(frozen=True)
class _Header:
    """What stands before the values of an array, and where they begin."""

    byte_order: str
    kind: str  # "f", "i", "U", ...
    width: int
    fortran_order: bool
    shape: tuple[int, ...]
    begin: int


def _header(archive: Archive, member: str) -> _Header:
    source = archive.source
    data = archive.read_start(member, 12 + _MAX_HEADER_BYTES)
    head = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}.get(data[6:8])
    if data[:6] != b"\x93NUMPY" or head is None or len(data) < 12:
        source.fail(member, "no array of NumPy", "one that numpy.save wrote")
    start = 8 + struct.calcsize(head)
    (length,) = struct.unpack(head, data[8:start])
    text = data[start : start + length]
    match = _HEADER.fullmatch(text)
    if match is None:
        objects = _OBJECTS.match(text) is not None
        found = "an array of objects, which is a pickle" if objects else "an odd header"
        source.fail(member, found, "an array of numbers")
    order, kind, width, fortran, sizes = (group.decode() for group in match.groups())
    shape = as_shape([int(size) for size in sizes.replace(",", " ").split()])
    if shape is None:
        source.fail(member, "an impossible shape", "at most 32 sizes below 2**63")
    return _Header(order, kind, int(width), fortran == "True", shape, start + length)


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
        archive.source.fail(member, "an array that is no text", "the config as JSON")
    data = archive.read(member, 4 * MAX_JSON_BYTES)[header.begin :]
    text = data.decode("utf-32-be" if header.byte_order == ">" else "utf-32-le", "replace")
    return parse_json(archive.source, member, text.encode())


def _in_keras_order(tensors: list[Tensor]) -> list[Tensor]:
    """``np.savez(FILE, *layer.get_weights())`` names arrays by number, in Keras' order."""
    numbered = [f"arr_{index}" for index in range(len(tensors))]
    by_name = {tensor.name: tensor for tensor in tensors}
    for names in (WEIGHT_NAMES, without_biases(WEIGHT_NAMES)):
        if len(names) == len(tensors) and set(by_name) == set(numbered):
            pairs = zip(numbered, names, strict=True)
            return [_renamed(by_name[number], name) for number, name in pairs]
    return tensors


def _renamed(tensor: Tensor, name: str) -> Tensor:
    return Tensor(name, tuple(name.split(".")), tensor.shape, tensor.dtype, tensor.load)


def npz_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """An .npz file of the weights, with the config as an array of one string."""
    buffer = io.BytesIO()
    arrays = {**weights, _CONFIG: np.array(json.dumps(config))}
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # its last parameter is no array
    return buffer.getvalue()
