"""Parses the header of NumPy's ``.npy`` format, without eval."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

# The longest header that is read: at most 12 bytes, then the text.
MAX_HEADER_BYTES = 12 + 4096

# The text that numpy.save writes. NumPy parses it by ast.literal_eval, which deep nesting crashes.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?)([a-zA-Z])(\d{1,6})', 'fortran_order': (True|False), "
    rb"'shape': \(([0-9, ]{0,400})\), ?\} *\n"
)
_OBJECTS = re.compile(rb"\{'descr': '\|O")
_MAX_DIMENSIONS = 32


class NpyHeaderError(ValueError):
    """The error for a malformed or unsupported header: what was found, what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(f"found {found}, expected {expected}")


@dataclass(frozen=True)
class NpyHeader:
    """The type and shape of an array, and the offset of its values.

    Attributes
    ----------
    byte_order : str
        ``"<"``, ``">"``, ``"|"``, ``"="`` or empty.
    kind : str
        The letter of the type: ``"f"``, ``"i"``, ``"U"``, ...
    width : int
        Bytes per value, or characters per value of text.
    fortran_order : bool
        Whether the first index varies fastest.
    shape : tuple of int
        Sizes, each from 0 to below 2**63.
    begin : int
        The offset of the values in bytes.
    """

    byte_order: str
    kind: str
    width: int
    fortran_order: bool
    shape: tuple[int, ...]
    begin: int


def parse_npy_header(data: bytes) -> NpyHeader:
    """Return the header at the start of `data`; the first MAX_HEADER_BYTES bytes are enough.

    Raises
    ------
    NpyHeaderError
        If there is no header, or it describes objects or records.
    """
    head = {b"\x01\x00": "<H", b"\x02\x00": "<I", b"\x03\x00": "<I"}.get(data[6:8])
    if data[:6] != b"\x93NUMPY" or head is None or len(data) < 12:
        raise NpyHeaderError("no NumPy array", "one that numpy.save wrote")
    start = 8 + struct.calcsize(head)
    (length,) = struct.unpack(head, data[8:start])
    text = data[start : start + length]
    match = _HEADER.fullmatch(text)
    if match is None:
        objects = _OBJECTS.match(text) is not None
        found = "an array of objects, which is a pickle" if objects else "an odd header"
        raise NpyHeaderError(found, "an array of numbers")
    order, kind, width, fortran, sizes = (group.decode() for group in match.groups())
    shape = tuple(int(size) for size in sizes.replace(",", " ").split())
    if len(shape) > _MAX_DIMENSIONS or any(size >= 2**63 for size in shape):
        raise NpyHeaderError("an impossible shape", "at most 32 sizes below 2**63")
    return NpyHeader(order, kind, int(width), fortran == "True", shape, start + length)
