"""Reads untrusted zip archives member by member, by exact name, without unpacking them to disk.

Before memory is allocated, it checks the size of the directory, that all names differ, and the
inflated sizes of the members.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from memattn.convert.source import SourceFile
from memattn.errors import quoted

_MAX_DIRECTORY_BYTES = 4 << 20  # some 50,000 members
_END = struct.Struct("<4s4H2LH")  # the end record of the central directory
_LOCATOR = struct.Struct("<4sLQL")  # the locator of the zip64 end record, before the end record
_END64 = struct.Struct("<4sQ2H2L4Q")
_STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
# The errors that zipfile raises for a damaged archive.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, OverflowError),
)


@dataclass(frozen=True)
class Archive:
    """An open archive whose directory has been checked."""

    source: SourceFile
    zip: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def read(self, name: str, limit: int | None = None) -> bytes:
        """Return the content of a member; fail if it is missing or larger than `limit` bytes."""
        member = self._member(name)
        if limit is not None and member.file_size > limit:
            self.source.fail(name, f"{member.file_size} bytes", f"at most {limit}")
        data = self._read(member, member.file_size + 1)
        if len(data) != member.file_size:
            self.source.fail(name, f"{len(data)} bytes", f"{member.file_size} as in the directory")
        return data

    def read_start(self, name: str, length: int) -> bytes:
        """Return the first `length` bytes of a member, or all if it has fewer."""
        return self._read(self._member(name), length)

    def _member(self, name: str) -> zipfile.ZipInfo:
        member = self.members.get(name)
        if member is None:
            self.source.fail("", f"an archive without {name}", f"an archive with {name}")
        if member.compress_type not in _STORED_OR_DEFLATED or member.flag_bits & _ENCRYPTED:
            found = "an encrypted member or an unknown compression"
            self.source.fail(name, found, "a stored or deflated member")
        return member

    def _read(self, member: zipfile.ZipInfo, length: int) -> bytes:
        try:
            with self.zip.open(member) as file:
                return file.read(length)
        except _DAMAGE as error:
            self.source.fail(member.filename, f"a damaged member ({error})", "an intact member")


@contextmanager
def open_archive(source: SourceFile) -> Iterator[Archive]:
    """Open a zip archive and check its directory."""
    _check_directory_size(source)
    try:
        archive = zipfile.ZipFile(source.file)
    except _DAMAGE as error:
        source.fail("", f"a damaged zip archive ({error})", "an intact archive")
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            if member.filename in members:
                name = quoted(member.filename)
                source.fail("", f"two members named {name}", "different names")
            members[member.filename] = member
        total = sum(member.file_size for member in members.values())
        if total > source.inflated_limit:
            found = f"members of {total} bytes in all"
            source.fail("", found, f"at most {source.inflated_limit} in a file of this size")
        yield Archive(source, archive, members)


def _check_directory_size(source: SourceFile) -> None:
    """Check the size of the directory, since zipfile would read any size into memory."""
    if source.size < _END.size:
        source.fail("", f"{source.size} bytes", "a zip archive")
    tail_size = min(source.size, _END.size + _LOCATOR.size)
    tail = source.read_at(source.size - tail_size, tail_size, "")
    signature, *_, size, offset, comment = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment != 0:
        expected = "a zip archive that ends with its directory and has no comment"
        source.fail("", "a damaged or unfinished zip archive", expected)
    end = source.size - _END.size
    if len(tail) == _END.size + _LOCATOR.size:
        signature, _, offset64, _ = _LOCATOR.unpack(tail[: _LOCATOR.size])
        if signature == b"PK\x06\x07":
            end = offset64
            record = source.read_at(offset64, _END64.size, "zip64 end of the directory")
            signature, *_, size, offset = _END64.unpack(record)
            if signature != b"PK\x06\x06" or end + _END64.size + len(tail) != source.size:
                source.fail("", "a misplaced zip64 end of the directory", "it at the end")
    if size > _MAX_DIRECTORY_BYTES:
        source.fail("", f"a directory of {size} bytes", f"at most {_MAX_DIRECTORY_BYTES}")
    if offset + size != end:
        source.fail("", "a misplaced directory", "it at the end, and nothing before the archive")
