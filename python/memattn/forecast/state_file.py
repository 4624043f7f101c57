"""Files of the forecaster's state: safetensors with a checksum over every byte.

docs/format.md describes the layout. The checksum detects accidents, such as a bad disk or an edit
by hand. It does not detect attacks: whoever can write the file can write a matching checksum.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from memattn import __version__
from memattn.convert.safetensors_file import read_header
from memattn.convert.source import SourceFile, Tensor, parse_json
from memattn.errors import quoted
from memattn.file_kinds import HEAD, check_is_saved

VERSION, WITHOUT_SERIES = "1", "2"  # the second is for files without series or in bfloat16
ALIGNMENT = 8
SAFETENSORS = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}
SAFETENSORS["uint16"] = "BF16"  # NumPy has no bfloat16: arrays hold its bits
SIZES = {"bfloat16": 2}  # bytes of types that NumPy lacks
PIECE = 1 << 20  # bytes read at once

Kinds = Mapping[str, tuple[str, int]]  # type and number of dimensions of each tensor


def state_bytes(
    kind: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    config: Mapping[str, Any],
    version: str = VERSION,
) -> bytes:
    """Returns the content of a file of the format `kind`, such as ``"memattn.Forecaster"``.

    `arrays` are of float32, float64, int64 or uint8, or of uint16 with the bits of bfloat16.
    `config` holds everything else, as a JSON object.
    """
    unsigned = "0" * 64
    metadata = {"format": kind, "format_version": version, "memattn": __version__}
    metadata["config"] = json.dumps(config)
    header: dict[str, Any] = {"__metadata__": metadata | {"checksum": unsigned}}
    parts, at = [], 0
    for name, array in arrays.items():
        little = array.dtype.newbyteorder("<")
        data = np.ascontiguousarray(array, dtype=little).tobytes()
        dtype, span = SAFETENSORS[array.dtype.name], [at, at + len(data)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": span}
        parts.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    length = struct.pack("<Q", len(text))
    digest = hashlib.sha256(length + text)
    for part in parts:
        digest.update(part)
    signed = text.replace(_entry(unsigned), _entry(digest.hexdigest()), 1)
    return b"".join([length, signed, *parts])


def read_state(
    source: SourceFile, kind: str, what: str, versions: tuple[str, ...] = (VERSION,)
) -> tuple[list[Tensor], dict[str, Any], str]:
    """Checks the checksum of a file, and reads its tensors, its config and its version.

    The file must have the format `kind`; `what` is its name for messages, such as "a checkpoint".
    """
    head = source.read_at(0, min(source.size, HEAD), "")
    check_is_saved(source.path, what.removeprefix("a saved ").removeprefix("a "), head)
    tensors, metadata = read_header(source)
    for key, possible in (("format", (kind,)), ("format_version", versions)):
        if metadata.get(key) not in possible:
            expected = possible[0]
            found = quoted(str(metadata.get(key)))
            if key == "format" and found.startswith('"memattn.'):
                source.fail("", f"a file of a {found[9:-1]}", what)
            if "memattn" in metadata:
                found += f" in a file of memattn {quoted(metadata['memattn'])}"
            source.fail(f"__metadata__: {key}", found, f"{quoted(expected)}, {what}")
    _check_sum(source, metadata.get("checksum"))
    text = metadata.get("config")
    if not isinstance(text, str):
        source.fail("__metadata__: config", "no text", "its choices as JSON")
    config = parse_json(source, "config", text.encode("utf-8", "replace"))
    if not isinstance(config, dict):
        source.fail("config", "no object", "an object")
    check_unicode(source, "config", config)
    return tensors, config, str(metadata["format_version"])


def check_unicode(source: SourceFile, place: str, found: object) -> None:
    """Refuses lone surrogates, halves of a character that JSON can express but UTF-8 cannot."""
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        source.fail(place, "half of a surrogate pair in a text", "Unicode")


def _check_sum(source: SourceFile, found: object) -> None:
    (length,) = struct.unpack("<Q", source.read_at(0, 8, "header"))
    text = source.read_at(0, 8 + length, "header")
    told = str(found)
    if len(told) != 64 or text.count(_entry(told)) != 1:
        source.fail("__metadata__: checksum", quoted(told), "a checksum of 64 digits, as written")
    digest = hashlib.sha256(text.replace(_entry(told), _entry("0" * 64)))
    for at in range(8 + length, source.size, PIECE):
        digest.update(source.read_at(at, min(PIECE, source.size - at), "data"))
    if digest.hexdigest() != told:
        expected = f"{told} as stored in it: the file is damaged or has been edited"
        source.fail("", f"content with the checksum {digest.hexdigest()}", expected)


def _entry(checksum: str) -> bytes:
    return f'"checksum": {json.dumps(checksum)}'.encode()


def bfloat16_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Returns the bits of finite values rounded to bfloat16, to even between two nearest values."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class Arrays:
    """The tensors of a file, checked to be exactly those of `kinds`."""

    def __init__(self, source: SourceFile, tensors: list[Tensor], kinds: Kinds) -> None:
        self.source = source
        self.tensors = {tensor.name: tensor for tensor in tensors}
        for name, (dtype, dimensions) in kinds.items():
            tensor = self.tensors.get(name)
            if tensor is None:
                source.fail("header", f"no tensor {quoted(name)}", "one")
            if tensor.dtype != dtype or len(tensor.shape) != dimensions:
                expected = f"{dtype} of {dimensions} dimensions"
                source.fail(name, f"{tensor.dtype} of shape {tensor.shape}", expected)
            assert isinstance(tensor.key, tuple)
            begin, end, _ = tensor.key
            size = (SIZES.get(dtype) or np.dtype(dtype).itemsize) * math.prod(tensor.shape)
            if end - begin != size:
                source.fail(name, f"{end - begin} bytes", f"{size} for its shape")
        for name in self.tensors:
            if name not in kinds:
                expected = f"only {quoted(', '.join(kinds), 200)}"
                source.fail("header", f"a tensor {quoted(name)}", expected)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a tensor."""
        return self.tensors[name].shape

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises FormatError unless a tensor has this shape."""
        if self.shape(name) != shape:
            self.source.fail(name, f"shape {self.shape(name)}", f"{shape}")

    def read(self, name: str) -> npt.NDArray[Any]:
        """Reads the values of a tensor."""
        return np.asarray(self.tensors[name].load())
