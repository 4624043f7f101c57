"""Atomic writing of files: after any failure, a file is either the old or the new one.

The library writes the files (`src/io/atomic_file.h`), as in `layer.save`; this module converts its
errors.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from memattn import _memattn
from memattn.errors import DataError, printable


class UnwritableError(DataError):
    """The error for a file that cannot be written; `problem` contains its name."""

    def message(self, name_of: Callable[[str], str] | None = None) -> str:
        """Returns the problem alone, since it names the file already."""
        return self.problem


@contextmanager
def errors_of_reading(path: Path, expected: str, kind: str = "format") -> Iterator[None]:
    """Turns errors in the block about the file `path` into DataErrors that name it.

    Parameters
    ----------
    path : Path
    expected : str
        The expected kind of file for messages, such as ``"a file of weights"``.
    kind : str
        Kind of the DataError for a FormatError.
    """
    try:
        yield
    except _memattn.FormatError as error:
        problem = str(error).removeprefix(f"{printable(str(path))}: ")
        raise DataError(kind, problem, file=path) from None
    except FileNotFoundError:
        raise DataError("not-found", f"no such file; expected {expected}", file=path) from None
    except OSError as error:
        # The message of an error from C++ contains the path.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise DataError("unreadable", f"cannot be read: {reason}", file=path) from None


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces the file `path` by `data`, atomically and durably.

    Raises
    ------
    DataError
        If it cannot be written. The old file is unchanged, unless the message says that it was
        replaced.
    """
    _refuse_stream(path)
    try:
        _memattn.write_file_atomically(path, data)
    except OSError as error:
        raise write_error(path, error) from None


@contextmanager
def written_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yields a stream that replaces the file `path` when the block ends without an error.

    For content that is too large for one `bytes`. If the system supports it, the file has no name
    until it is complete, so that even a killed process leaves nothing behind.

    Raises
    ------
    DataError
        As `write_atomically`.
    """
    _refuse_stream(path)
    try:
        number, name = _nameless(path)
    except OSError as error:
        raise write_error(path, error) from None
    stream = os.fdopen(number, "wb")
    try:
        yield stream
        stream.flush()
        _take_access_of(Path(os.path.realpath(path)), number)
        os.fsync(number)
        if name is None:
            name = _new_name(Path(os.path.realpath(path)))
            # Python follows the link only if src_dir_fd is given. Any will do: the path is
            # absolute.
            os.link(f"/proc/self/fd/{number}", name, src_dir_fd=number)
        Path(name).replace(os.path.realpath(path))
        _sync_folder(path)
    except OSError as error:
        raise write_error(path, error) from None
    finally:
        # The buffer is empty, or the block failed and its content is not wanted.
        with suppress(OSError):
            stream.close()
        if name is not None:
            with suppress(OSError):
                Path(name).unlink()
            _unfinished.discard(name)


_unfinished: set[str] = set()  # temporary files and folders of this process


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yields a folder for temporary files, which is removed after the block or by a signal handler.

    It lies in the system's folder for temporary files, see TMPDIR.
    """
    with tempfile.TemporaryDirectory(prefix="memattn-", ignore_cleanup_errors=True) as name:
        _unfinished.add(name)
        try:
            yield Path(name)
        finally:
            _unfinished.discard(name)


def _nameless(path: Path) -> tuple[int, str | None]:
    """Opens a new file in the folder of `path`; also returns its name if it needs one.

    As in the library, an unfinished file is locked, so that the next write to the folder can remove
    files that a killed process left. If it replaces a file, only its owner has access until then.
    """
    real = Path(os.path.realpath(path))
    if real.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    mode = 0o600 if real.exists() else 0o666
    flag = getattr(os, "O_TMPFILE", None)
    if flag is not None:
        try:
            return os.open(real.parent, flag | os.O_WRONLY, mode), None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
    name = _new_name(real)
    number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return number, name


def _new_name(path: Path) -> str:
    """Returns the name of a new hidden file beside `path`, which signal handlers remove."""
    name = str(path.with_name(f".memattn-{os.getpid()}-{secrets.token_hex(8)}.tmp"))
    _unfinished.add(name)
    return name


def _take_access_of(path: Path, number: int) -> None:
    """Gives an open file the group and permissions of the file `path` that it replaces."""
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(old.st_mode)
    try:
        os.fchown(number, -1, old.st_gid)
    except OSError:
        mode &= ~stat.S_IRWXG  # the group cannot be kept, so its permissions must not be either
    os.fchmod(number, mode)


def _sync_folder(path: Path) -> None:
    """Makes the new name durable; does nothing if the system cannot sync folders."""
    with suppress(OSError):
        number = os.open(Path(os.path.realpath(path)).parent, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def check_writable(path: Path) -> None:
    """Tries to write to `path` before any work is done; raises DataError if that fails."""
    _refuse_stream(path)
    try:
        _memattn.check_file_writable(path)
    except OSError as error:
        raise write_error(path, error, "unwritable") from None


def remove_unfinished_files() -> None:
    """Removes the temporary files and folders of this process; for signal handlers."""
    _memattn.remove_unfinished_files()
    for name in list(_unfinished):
        with suppress(OSError):
            shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()


def write_error(path: Path, error: OSError, kind: str = "write-failed") -> DataError:
    """Returns the DataError for a file `path` that cannot be written."""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    if isinstance(error, _memattn.FileReplacedError):
        problem = f"replaced, but a power cut may undo it: cannot sync its folder: {reason}"
        return DataError(kind, problem, file=path)
    if number == errno.EISDIR:
        return unwritable(path, "it is a folder")
    if number == errno.EINVAL and path.exists() and not path.is_file():
        return unwritable(path, "it is not a regular file")
    if number in (errno.ENOENT, errno.ENOTDIR) and not path.parent.is_dir():
        return unwritable(path, f"there is no folder {printable(str(path.parent))}")
    return unwritable(path, reason, kind)


def unwritable(path: Path, reason: str, kind: str = "unwritable") -> DataError:
    """Returns the error for a file that cannot be written, with the system's reason."""
    return UnwritableError(kind, f"cannot write {printable(str(path))}: {reason}", file=path)


def is_stream(path: Path) -> bool:
    """Whether a path links through /proc to an open stream, as /dev/stdout and /dev/fd/3 do.

    Linux resolves such a link to the file behind the stream. A rename would replace that file and
    lose the output of other processes in it.
    """
    for _ in range(40):  # Linux follows at most 40 links
        if os.path.realpath(path.parent).startswith("/proc/"):
            return True
        try:
            path = path.parent / path.readlink()
        except OSError:  # not a link
            return False
    return False


def _refuse_stream(path: Path) -> None:
    if is_stream(path):
        raise unwritable(path, "it is an open stream, not a file")
