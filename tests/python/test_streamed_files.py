"""A file written piece by piece is also either the old or the new one."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memattn import files
from memattn.errors import DataError

from .full_disk import full_disk


@pytest.fixture(params=["without a name", "with a name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return whether the temporary file has a name; not every system has files without one."""
    if request.param == "with a name":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    return str(request.param)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_it_is_complete(way: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    for content in (b"first", b"second"):
        before = path.read_bytes() if path.exists() else None
        with files.written_atomically(path) as stream:
            stream.write(content)
            stream.flush()
            assert (path.read_bytes() if path.exists() else None) == before
            assert len(names_in(tmp_path)) == (before is not None) + (way == "with a name")
        assert path.read_bytes() == content
        assert names_in(tmp_path) == ["out"]


def test_permissions_are_kept(way: str, tmp_path: Path) -> None:
    path, umask = tmp_path / "out", os.umask(0o022)
    try:
        for mode in (0o644, 0o640):
            with files.written_atomically(path) as stream:
                stream.write(b"new")
            assert path.stat().st_mode & 0o777 == mode
            path.chmod(0o640)
    finally:
        os.umask(umask)


def test_links_are_followed(way: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/out")
    with files.written_atomically(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "out").read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_leaves_the_old_file(
    way: str, error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def fail() -> None:
        with files.written_atomically(path) as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_full_disk_leaves_the_old_file(way: str, size: int, tmp_path: Path) -> None:
    """The failure comes from a write, or only when the remaining data is written at the end."""
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with (
        full_disk(50),
        pytest.raises(DataError, match=r"cannot write .*out: File too large"),
        files.written_atomically(path) as stream,
    ):
        stream.write(bytes(size))
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out"]


def test_paths_that_cannot_be_files_are_refused(way: str, tmp_path: Path) -> None:
    for path, says in (
        (tmp_path, "it is a folder"),
        (tmp_path / "no" / "out", "there is no folder"),
        (Path("/dev/stdout"), "it is an open stream"),
    ):
        with pytest.raises(DataError, match=says), files.written_atomically(path):
            pass
    assert names_in(tmp_path) == []


def test_a_handler_removes_files_and_folders(way: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    # A temporary file with a name is gone at the end.
    with files.temporary_folder() as folder, contextlib.suppress(DataError):
        (folder / "sorted").write_bytes(b"rows")
        with files.written_atomically(path) as stream:
            stream.write(b"half")
            files.remove_unfinished_files()
            assert names_in(tmp_path) == []
            assert not folder.exists()
    assert names_in(tmp_path) == (["out"] if way == "without a name" else [])


def test_the_next_write_removes_temporaries_of_killed_processes(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib, sys\ndel os.O_TMPFILE\nfrom memattn import files\n"
        "with files.written_atomically(pathlib.Path('out')) as stream:\n"
        "    print('.', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == b"."
        files.write_atomically(tmp_path / "other", b"")
        assert len(names_in(tmp_path)) == 2  # temporaries of running processes stay
        process.kill()
    files.write_atomically(tmp_path / "other", b"")
    assert names_in(tmp_path) == ["other"]
