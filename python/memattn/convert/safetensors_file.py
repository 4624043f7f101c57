"""Reads safetensors files of any model, in which some of the tensors are a layer.

The compiled library reads memattn's own files; this module reads files of other programs. The
layout is that of docs/format.md, with a header of up to 4 MiB. Tensors of other types are skipped.
"""

from __future__ import annotations

import struct
from typing import Any

from memattn.convert.source import (
    FLOAT_SIZES,
    MAX_JSON_BYTES,
    MAX_TENSORS,
    Contents,
    SourceFile,
    Tensor,
    as_shape,
    byte_count,
    decode,
    parse_json,
)
from memattn.convert.weights import KIND_OF
from memattn.errors import quoted

_LAYERS = {f"memattn.{name}" for name in KIND_OF}  # the format names of layer files
_FORECASTERS = {  # (what was found, what was expected) by format name
    "memattn.Forecaster": ("a saved forecaster", "a layer; memattn predict reads forecasters"),
    "memattn.ForecasterCheckpoint": ("the checkpoint of a forecaster", "a layer"),
}

_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_DTYPES |= {"I8": "int8", "U8": "uint8", "I64": "int64"}


def is_safetensors(source: SourceFile) -> bool:
    """Whether the file begins with a header length that fits in it, and a brace."""
    if source.size < 9:
        return False
    start = source.read_at(0, 9, "")
    return 2 <= struct.unpack("<Q", start[:8])[0] <= source.size - 8 and start[8:] == b"{"


def read_safetensors(source: SourceFile) -> tuple[Contents, bool]:
    """Return the tensors, and whether the metadata names the format of a memattn layer."""
    tensors, metadata = read_header(source)
    other = _FORECASTERS.get(str(metadata.get("format")))
    if other is not None:
        source.fail("", *other)
    return Contents(tensors, "."), str(metadata.get("format")) in _LAYERS


def read_header(source: SourceFile) -> tuple[list[Tensor], dict[str, Any]]:
    """Return the tensors, after a check that they fill the file, and the metadata."""
    (length,) = struct.unpack("<Q", source.read_at(0, 8, "header"))
    if length > MAX_JSON_BYTES:
        source.fail("header", f"{length} bytes", f"at most {MAX_JSON_BYTES}")
    header = parse_json(source, "header", source.read_at(8, length, "header"))
    if not isinstance(header, dict):
        source.fail("header", "no object", "an object of tensors")
    if len(header) > MAX_TENSORS:
        source.fail("header", f"{len(header)} tensors", f"at most {MAX_TENSORS}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        source.fail("header", "metadata that is not an object", "an object of strings")
    start = 8 + length
    spans: list[tuple[int, int, str]] = []
    tensors = []
    for name, entry in header.items():
        tensor, begin, end = _tensor(source, start, name, entry)
        tensors.append(tensor)
        spans.append((begin, end, name))
    _check_spans(source, sorted(spans), source.size - start)
    return tensors, metadata


def _tensor(source: SourceFile, start: int, name: str, entry: Any) -> tuple[Tensor, int, int]:
    keys = {"dtype", "shape", "data_offsets"}
    shape = as_shape(entry.get("shape")) if isinstance(entry, dict) else None
    offsets = as_shape(entry.get("data_offsets")) if isinstance(entry, dict) else None
    if shape is None or offsets is None or len(offsets) != 2 or set(entry) != keys:
        source.fail(f"tensor {quoted(name)}", "a malformed entry", "dtype, shape and data_offsets")
    begin, end = offsets
    dtype = _DTYPES.get(entry["dtype"], "") if isinstance(entry["dtype"], str) else ""
    if dtype in FLOAT_SIZES and end - begin != byte_count(shape, dtype):
        expected = f"{byte_count(shape, dtype)} for shape {shape} of {dtype}"
        source.fail(f"tensor {quoted(name)}", f"{end - begin} bytes", expected)
    tensor = Tensor(
        name,
        tuple(name.replace("/", ".").split(".")),
        shape,
        dtype or str(entry["dtype"])[:40],
        load=lambda: decode(
            source.read_at(start + begin, end - begin, f"tensor {quoted(name)}"), dtype, shape
        ),
        key=(begin, end, shape),
    )
    return tensor, begin, end


def _check_spans(source: SourceFile, spans: list[tuple[int, int, str]], size: int) -> None:
    """Raise FormatError unless the tensors fill the file without overlaps or gaps."""
    at = 0
    for begin, end, name in spans:
        if begin != at or end < begin or end > size:
            expected = f"bytes from {at} on, inside of {size}"
            source.fail(f"tensor {quoted(name)}", f"bytes {begin} to {end}", expected)
        at = end
    if at != size:
        source.fail("", f"{size - at} bytes after the last tensor", "none")
