"""A weight file for the readers: opened once, with named tensors that are read on demand."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TypeAlias

import numpy as np

from memattn import FormatError
from memattn.arrays import Array
from memattn.errors import printable, quoted

ByteOrder: TypeAlias = Literal["<", ">"]

# Bytes per value of each type that weights may have.
FLOAT_SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

MAX_JSON_BYTES = 4 << 20
MAX_TENSORS = 100_000
_INFLATED_ANYWAY = 64 << 20  # bytes that compressed parts may inflate to, however small the file
_INFLATED_TIMES = 16  # or this multiple of the file size: weights hardly compress


@dataclass(frozen=True)
class SourceFile:
    """A file that is open for reading; `fail` raises its errors.

    Attributes
    ----------
    path : Path
        The path of the file, for messages.
    file : binary file
        The open file, seekable and with a descriptor.
    size : int
        Size in bytes.
    inside : str
        The name of the part, if this is a part of the file at `path`.
    """

    path: Path
    file: BinaryIO = field(repr=False)
    size: int
    inside: str = ""

    @property
    def inflated_limit(self) -> int:
        """The most bytes that compressed data in this file may inflate to."""
        return max(_INFLATED_ANYWAY, _INFLATED_TIMES * self.size)

    def read_at(self, offset: int, length: int, place: str) -> bytes:
        """Return exactly `length` bytes from `offset`, after a check against the file's size."""
        if not 0 <= offset <= offset + length <= self.size:
            found = f"bytes {offset} to {offset + length}"
            self.fail(place, found, f"a place inside the {self.size} bytes of the file")
        self.file.seek(offset)
        data = self.file.read(length)
        if len(data) != length:
            self.fail(place, "the end of the file", f"{length - len(data)} more bytes")
        return data

    def fail(self, place: str, found: str, expected: str) -> NoReturn:
        """Raise FormatError with the place, what was found and what was expected."""
        where = ": ".join(text for text in (str(self.path), self.inside, place) if text)
        raise FormatError(printable(f"{where}: found {found}, expected {expected}")) from None


@contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[SourceFile]:
    """Open a regular file; raise FormatError for a pipe or device, which might never end."""
    name = Path(path)
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        found = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        expected = "a file of weights; for a SavedModel, load it and call save_weights"
        raise FormatError(printable(f"{name}: found {found}, expected {expected}"))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - Path.open takes no descriptor
        yield SourceFile(name, file, status.st_size)


@contextmanager
def source_in_memory(outer: SourceFile, name: str, data: bytes) -> Iterator[SourceFile]:
    """Open a part of a file as a file in memory, which has a descriptor."""
    with open(os.memfd_create("memattn", os.MFD_CLOEXEC), "w+b") as file:  # noqa: PTH123
        file.write(data)
        file.flush()
        yield SourceFile(outer.path, file, len(data), name)


@dataclass(frozen=True)
class Tensor:
    """An array in a file.

    Attributes
    ----------
    name : str
        The full name in the file.
    parts : tuple of str
        The name as a path; for Keras' numbered variables the last part is ``"#0"``, ``"#1"``, ...
    shape : tuple of int
        The shape of the array.
    dtype : str
        NumPy's name of the type, or ``"bfloat16"``; any other text for a type that weights cannot
        have.
    load : callable
        Reads the values, in `dtype` (bfloat16 as float32), C-contiguous. Only for a dtype in
        `FLOAT_SIZES`.
    key : hashable
        Equal for two names of the same array.
    """

    name: str
    parts: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array] = field(repr=False, compare=False)
    key: object = field(default=None, repr=False)


@dataclass(frozen=True)
class Contents:
    """The contents of a file that conversion needs.

    Attributes
    ----------
    tensors : list of Tensor
        All arrays in the file.
    separator : str
        Separator of the parts of a layer's name.
    names : mapping
        The name of a layer in Keras, by the path of its group.
    layer_configs : mapping
        The config of a layer in the model's config, by the name of the layer.
    config : mapping, optional
        The config that memattn wrote beside the weights of one layer.
    fully_masked : str
        The option `fully_masked` of layers whose config does not have it.
    """

    tensors: list[Tensor]
    separator: str
    names: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    layer_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    fully_masked: str = "zero"


def decode(data: bytes, dtype: str, shape: tuple[int, ...], byte_order: ByteOrder = "<") -> Array:
    """Return bytes in C order as an array; bfloat16 becomes float32, which is exact."""
    if dtype == "bfloat16":
        halves = np.frombuffer(data, np.dtype(np.uint16).newbyteorder(byte_order))
        values: Array = (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)
    else:
        values = np.frombuffer(data, np.dtype(dtype).newbyteorder(byte_order)).astype(dtype)
    return values.reshape(shape)


def byte_count(shape: tuple[int, ...], dtype: str) -> int:
    """Return the size of an array in bytes, as an int, which cannot overflow."""
    count = FLOAT_SIZES[dtype]
    for size in shape:
        count *= size
    return count


def parse_json(source: SourceFile, place: str, data: bytes) -> Any:
    """Parse JSON in UTF-8 of at most `MAX_JSON_BYTES`; raise FormatError for repeated keys."""
    if len(data) > MAX_JSON_BYTES:
        source.fail(place, f"{len(data)} bytes of JSON", f"at most {MAX_JSON_BYTES}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            source.fail(place, f"the key {quoted(twice)} twice", "every key once")
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: malformed, or not UTF-8
        source.fail(place, f"invalid JSON ({printable(str(error))[:120]})", "valid JSON")


def as_shape(value: object) -> tuple[int, ...] | None:
    """Return a list or tuple of sizes as a tuple, or None if `value` is not one."""
    if not isinstance(value, list | tuple) or len(value) > 32:
        return None
    if any(type(size) is not int or not 0 <= size < 2**63 for size in value):
        return None
    return tuple(value)
