"""Atomic writes: a file is the old or the new one, complete, and no other file is left."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from memattn import _memattn, files
from memattn.errors import DataError

from .full_disk import full_disk

NOBODY = 65534


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def abandoned(folder: Path) -> Path:
    """Write a temporary file such as a killed process leaves, and return its path."""
    path = folder / ".memattn-1-2-3.tmp"
    path.write_bytes(b"half")
    return path


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o640)
    with path.open() as reader:
        files.write_atomically(path, b"new")
        assert reader.read() == "old"  # an open reader keeps the old file
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names_in(tmp_path) == ["out.csv"]


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_a_circular_link_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "circle"
    path.symlink_to(path)
    for call in (lambda: files.check_writable(path), lambda: files.write_atomically(path, b"new")):
        with pytest.raises(DataError, match=r"cannot write .*circle: Too many levels"):
            call()


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    with full_disk(100), pytest.raises(DataError) as caught:
        files.write_atomically(path, b"new" * 1000)
    assert str(caught.value) == f"cannot write {path}: File too large"
    assert (caught.value.kind, caught.value.file) == ("write-failed", path)
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


def test_the_error_after_a_replacement_says_so(tmp_path: Path) -> None:
    error = _memattn.FileReplacedError(errno.EIO, "out.csv: cannot sync its folder: why")
    assert isinstance(error, OSError)
    said = files.write_error(Path("out.csv"), error)
    assert said.kind == "write-failed"
    assert str(said) == (
        "out.csv: replaced, but a power cut may undo it: cannot sync its folder: Input/output error"
    )


def test_check_writable_refuses_unwritable_paths(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "new.csv")
    assert names_in(tmp_path) == []
    os.mkfifo(tmp_path / "pipe")
    for path, said in [
        (tmp_path, "it is a folder"),
        (tmp_path / "no" / "a.csv", "there is no folder"),
        (tmp_path / "pipe", "it is not a regular file"),
        (Path("/proc/a.csv"), "cannot write /proc/a.csv: "),
        (tmp_path / ("x" * 300), "cannot write .*: File name too long"),
    ]:
        with pytest.raises(DataError, match=said) as caught:
            files.check_writable(path)
        assert caught.value.kind == "unwritable"


def test_the_next_write_removes_temporaries_of_killed_processes(tmp_path: Path) -> None:
    abandoned(tmp_path)
    (tmp_path / ".memattn-other").write_text("not a temporary file")
    (tmp_path / "memattn-1.tmp").write_text("not a temporary file either")
    files.write_atomically(tmp_path / "file", b"new")
    assert names_in(tmp_path) == [".memattn-other", "file", "memattn-1.tmp"]


def test_temporaries_of_running_processes_stay(tmp_path: Path) -> None:
    with abandoned(tmp_path).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        files.write_atomically(tmp_path / "file", b"new")
        assert names_in(tmp_path) == [".memattn-1-2-3.tmp", "file"]
    files.write_atomically(tmp_path / "file", b"new")
    assert names_in(tmp_path) == ["file"]


def test_only_temporaries_of_the_same_user_are_removed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(abandoned(tmp_path), NOBODY, NOBODY)
    (tmp_path / ".memattn-link.tmp").symlink_to("file")
    os.mkfifo(tmp_path / ".memattn-pipe.tmp")
    files.write_atomically(tmp_path / "file", b"new")
    assert names_in(tmp_path) == [
        ".memattn-1-2-3.tmp", ".memattn-link.tmp", ".memattn-pipe.tmp", "file",
    ]  # fmt: skip


WRITER = """
import sys
from pathlib import Path
from memattn import files
path, letter = Path(sys.argv[1]), sys.argv[2].encode()
for _ in range(40):
    files.write_atomically(path, letter * 200_000)
"""


def test_two_processes_and_two_threads_may_write_at_once(tmp_path: Path) -> None:
    """No writer removes another's temporary file, and the file always has one content, complete."""
    path = tmp_path / "file"
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), letter]) for letter in "ab"
    ]
    errors: list[Exception] = []

    def write(letter: bytes) -> None:
        try:
            for _ in range(40):
                files.write_atomically(path, letter * 200_000)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"c", b"d")]
    for thread in threads:
        thread.start()
    while any(process.poll() is None for process in processes):
        if path.exists():
            data = path.read_bytes()
            assert data == data[:1] * 200_000
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert errors == []
    assert [process.returncode for process in processes] == [0, 0]
    assert names_in(tmp_path) == ["file"]


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Removed from another thread, like in the command line's handler; the write then fails."""
    path = tmp_path / "file"
    path.write_text("old")
    done = threading.Event()
    errors: list[DataError] = []

    def write() -> None:
        try:
            while not done.is_set():
                files.write_atomically(path, b"new" * 10_000_000)
        except DataError as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    end = time.monotonic() + 20
    while not errors and time.monotonic() < end:
        files.remove_unfinished_files()
    done.set()
    thread.join()
    assert [str(error) for error in errors] == [f"cannot write {path}: No such file or directory"]
    assert names_in(tmp_path) == ["file"]
    assert path.read_bytes() in (b"old", b"new" * 10_000_000)


def test_a_private_file_stays_private_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o600)
    seen: set[int] = set()
    thread = threading.Thread(
        target=lambda: [files.write_atomically(path, b"new" * 3_000_000) for _ in range(5)]
    )
    thread.start()
    while thread.is_alive():
        for one in tmp_path.glob(".memattn-*.tmp"):
            try:
                seen.add(one.stat().st_mode & 0o777)
            except FileNotFoundError:
                continue
    thread.join()
    assert seen == {0o600}


def test_the_group_is_kept_or_loses_its_permissions(tmp_path: Path) -> None:
    """Otherwise the writer's own group could read a file meant for the file's group."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, NOBODY, 4242)
    path.chmod(0o640)
    files.write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, 4242)
    assert path.stat().st_mode & 0o777 == 0o640
    # An ordinary user who owns the file but is not in its group.
    tmp_path.chmod(0o777)
    as_nobody(tmp_path, "files.write_atomically(Path('file'), b'newer')")
    assert path.read_bytes() == b"newer"
    assert (path.stat().st_uid, path.stat().st_gid) == (NOBODY, NOBODY)
    assert path.stat().st_mode & 0o777 == 0o600


def as_nobody(folder: Path, code: str) -> str:
    """Return the output of `code` run by an ordinary user in `folder`."""
    program = "from pathlib import Path\nfrom memattn import files\nimport os\n"
    program += f"os.chdir({str(folder)!r}); os.setgroups([]); os.setgid({NOBODY})\n"
    program += f"os.setuid({NOBODY})\ntry:\n    {code}\nexcept Exception as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_a_folder_that_cannot_be_synced_is_refused_before_the_replacement(tmp_path: Path) -> None:
    """A writable but unreadable folder: an ordinary user cannot open it, and so cannot sync it."""
    if os.geteuid() != 0:
        pytest.skip("needs to become another user")
    folder = tmp_path / "write-only"
    folder.mkdir()
    path = folder / "file"
    path.write_text("old")
    os.chown(path, NOBODY, NOBODY)
    os.chown(folder, NOBODY, NOBODY)
    folder.chmod(0o333)
    for call in ("check_writable(Path('file'))", "write_atomically(Path('file'), b'new')"):
        assert as_nobody(folder, f"files.{call}") == "cannot write file: Permission denied\n"
    assert path.read_text() == "old"
    assert names_in(folder) == ["file"]


def test_open_streams_are_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/dev/stdout")
    for path in (Path("/dev/stdout"), Path("/dev/fd/1"), link):
        for call in (files.check_writable, lambda path: files.write_atomically(path, b"new")):
            with pytest.raises(DataError) as caught:
                call(path)
            assert str(caught.value) == f"cannot write {path}: it is an open stream, not a file"
            assert caught.value.kind == "unwritable"
    assert link.readlink() == Path("/dev/stdout")
    assert not files.is_stream(tmp_path / "new.csv")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (_memattn.FormatError("a.bin: found 3, expected 4"), "shape", "found 3, expected 4"),
        (FileNotFoundError(2, "a.bin"), "not-found", "no such file; expected a file of weights"),
        (OSError(errno.EACCES, "a.bin: why"), "unreadable", "cannot be read: Permission denied"),
        (OSError("no number"), "unreadable", "cannot be read: no number"),
    ],
)
def test_read_errors_become_data_errors(error: Exception, kind: str, said: str) -> None:
    path = Path("a.bin")
    with (
        pytest.raises(DataError) as caught,
        files.errors_of_reading(path, "a file of weights", "shape"),
    ):
        raise error
    assert (caught.value.kind, str(caught.value)) == (kind, f"a.bin: {said}")
    with pytest.raises(KeyError), files.errors_of_reading(path, "a file of weights"):
        raise KeyError


@pytest.mark.parametrize(
    ("number", "name", "kind", "said"),
    [
        (errno.EISDIR, ".", "unwritable", "it is a folder"),
        (errno.EINVAL, "/dev/null", "unwritable", "it is not a regular file"),
        (errno.EINVAL, "no", "write-failed", "Invalid argument"),
        (errno.ENOENT, "no/a", "unwritable", "there is no folder no"),
        (errno.ENOENT, "no", "write-failed", "No such file or directory"),
        (errno.ENOSPC, "no", "write-failed", "No space left on device"),
        (0, "no", "write-failed", "no number"),
    ],
)
def test_write_errors_become_data_errors(number: int, name: str, kind: str, said: str) -> None:
    error = OSError(number, "why") if number else OSError("no number")
    found = files.write_error(Path(name), error)
    assert (found.kind, str(found)) == (kind, f"cannot write {name}: {said}")
