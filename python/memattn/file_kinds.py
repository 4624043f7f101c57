"""Recognises kinds of files by their first bytes, for error messages of readers."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from memattn._memattn import FormatError
from memattn.errors import DataError, printable

HEAD = 4096  # bytes that are enough to recognise a kind
# gzip shrinks text to a fifth or a twentieth. A file that grows more may be an attack on memory.
GZIP = b"\x1f\x8b"
UNPACKED_ANYWAY = 64 << 20
UNPACKED_A_BYTE = 100

EMPTY, UNKNOWN = "an empty file", "no kind that is known here"
_EXPORT = "save its table as CSV"
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b", "a gzip archive", "unpack it"),
    (
        rb"PK(\x03\x04|\x05\x06)",
        "a zip archive, such as .xlsx",
        "save the sheet as CSV, or unpack it",
    ),
    (rb"\xd0\xcf\x11\xe0", "an old Office file, such as .xls", "save the sheet as CSV"),
    (rb"PAR1", "Parquet", "give it a name that ends in .parquet"),
    (rb"ARROW1|FEA1", "Feather (Arrow)", "save it as Parquet or CSV"),
    (rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf", "a compressed archive", "unpack it"),
    (rb"%PDF", "PDF", _EXPORT),
    (rb"\x89HDF", "HDF5", _EXPORT),
    (rb"\x93NUMPY", "a NumPy array", _EXPORT),
    (rb"SQLite format 3", "an SQLite database", _EXPORT),
    (rb"\x89PNG|GIF8|\xff\xd8\xff", "a picture", "give the table that it shows"),
    (rb'(?s).{8}\{.*"memattn\.Forecaster"', "a saved Forecaster", "open it with Forecaster.load"),
    (rb"(?s).{2,6}\0{2,6}\{", "a safetensors file", "give the table of the series"),
    # After safetensors, whose first bytes are a length: one of 640 looks like a pickle.
    (rb"\x80[\x02-\x05]", "a Python pickle", _EXPORT),
    (rb"(?i)\s*<(!doctype|html|\?xml|table|head|body)", "HTML or XML", _EXPORT),
    (rb'\s*[\[{]\s*(["\[{\]}]|\Z)', "JSON", _EXPORT),
)
_PATTERNS = [(re.compile(pattern), name, advice) for pattern, name, advice in _KINDS]


def kind_of(head: bytes) -> str:
    """Returns the kind of a file by its first `HEAD` bytes, such as ``"Parquet"``."""
    found = _found(head)
    if found is not None:
        return found[0]
    if not head:
        return EMPTY
    try:
        text = head.decode("utf-8", "replace" if len(head) >= HEAD else "strict")
    except UnicodeDecodeError:
        return UNKNOWN
    return UNKNOWN if "\0" in text or "\ufffd" in text[:-4] else "text"


def check_is_saved(path: Path, what: str, head: bytes | None = None) -> None:
    """Raises FormatError for a file of a known kind other than a saved `what`.

    Safetensors files pass: their reader has better messages. `head` is the start of the file, by
    default read from it; for a pipe, which can be read only once, pass it.
    """
    if head is None and not path.is_file():
        return
    kind = kind_of(head_of(path) if head is None else head)
    if kind not in (UNKNOWN, EMPTY, "a safetensors file", f"a saved {what}"):
        raise FormatError(printable(f"{path}: found {kind}, expected a saved {what}"))


def check_is_text(data: bytes, path: Path, was_packed: bool = False) -> None:
    """Raises DataError for a file of a known kind other than CSV.

    `was_packed` says whether the data was unpacked from a gzip file.
    """
    found = _found(data[:HEAD])
    if found is not None:
        name, advice = found
        if was_packed:
            twice = advice == "unpack it"
            name = f"gzip of {name}"
            advice = "unpack it twice" if twice else f"unpack it and {advice}"
        problem = f"looks like {name}, expected CSV; {advice}"
        raise DataError("another-kind", problem, file=path)


def _found(head: bytes) -> tuple[str, str] | None:
    head = head.removeprefix(b"\xef\xbb\xbf")
    for pattern, name, advice in _PATTERNS:
        if pattern.match(head):
            return name, advice
    return None


def head_of(path: Path) -> bytes:
    """Returns the first `HEAD` bytes of a file, or no bytes if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def unpacked(data: bytes, path: Path) -> bytes:
    """Returns the content of a gzip file; other data is returned unchanged.

    Raises
    ------
    DataError
        If the file is cut off or damaged, or grows to more than `UNPACKED_A_BYTE` times its size.
    """
    if not data.startswith(GZIP):
        return data
    return b"".join(unpacked_blocks(iter([data]), len(data), path))


def unpacked_blocks(
    pieces: Iterator[bytes], size: int, path: Path, block: int = 0
) -> Iterator[bytes]:
    """Yields the content of a gzip file that is read in pieces.

    Parameters
    ----------
    pieces : iterator of bytes
        The packed file.
    size : int
        Size of the packed file in bytes.
    path : Path
        The file, for messages.
    block : int
        Most bytes to yield at once; 0 for no limit.
    """
    room = max(UNPACKED_ANYWAY, UNPACKED_A_BYTE * size)
    piece = next(pieces, b"")
    while piece.startswith(GZIP):
        one = zlib.decompressobj(31)  # with gzip's header and its checksum
        while not one.eof:
            if not piece:
                problem = "is a gzip file that is cut off; copy it again"
                raise DataError("damaged-gzip", problem, file=path)
            try:
                found = one.decompress(piece, min(block or room + 1, room + 1))
            except zlib.error as error:
                problem = f"is a damaged gzip file ({error}); copy it again"
                raise DataError("damaged-gzip", problem, file=path) from None
            room -= len(found)
            if room < 0:
                problem = f"found far more text than the file's {size:,} bytes should hold"
                raise DataError("too-large", f"{problem}; unpack it", file=path)
            yield found
            piece = one.unconsumed_tail or (b"" if one.eof else next(pieces, b""))
        piece = one.unused_data
        if len(piece) < len(GZIP):
            piece += next(pieces, b"")
