"""Files that are either the old or the new one, whole, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from memattn.errors import DataError

# Temporary files that exist now. A signal handler that ends the process removes them.
_unfinished: set[Path] = set()


def remove_unfinished_files() -> None:
    """Removes what an interrupted `write_atomically` has left."""
    for name in list(_unfinished):
        with contextlib.suppress(OSError):
            name.unlink()


def check_writable(path: Path) -> None:
    """Raises DataError when `path` cannot be written, by trying: before the work, not after it."""
    _call("unwritable", path, lambda: _probe(path))


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`: temporary file beside it, fsync, rename, fsync."""
    _call("write-failed", path, lambda: _write(path, data))


def _call(kind: str, path: Path, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        problem = f"found a place that cannot be written ({error.strerror}), expected one that can"
        raise DataError(kind, problem, file=path) from None


def _probe(path: Path) -> None:
    descriptor, temporary = _open_temporary(_real_file(path))
    os.close(descriptor)
    _discard(temporary)


def _write(path: Path, data: bytes) -> None:
    path = _real_file(path)
    descriptor, temporary = _open_temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.exists():
                os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        _discard(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _real_file(path: Path) -> Path:
    """Where a link leads; renaming over another thing, such as /dev/null, would destroy it."""
    try:
        path = path.resolve()
    except RuntimeError:  # of a link in a circle, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if path.is_dir():
        raise DataError("unwritable", "found a folder, expected a file path", file=path)
    if path.exists() and not path.is_file():
        raise DataError("unwritable", "found no regular file, expected a file path", file=path)
    if not path.parent.is_dir():
        problem = f"found no folder {path.parent}, expected it to exist"
        raise DataError("unwritable", problem, file=path)
    return path


def _open_temporary(path: Path) -> tuple[int, Path]:
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")
    _unfinished.add(temporary)  # before it exists, for a signal may come in between
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(temporary, flags, 0o666), temporary


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()
    _unfinished.discard(temporary)
