"""A file is the old or the new one, whole."""

import os
from pathlib import Path

import pytest

from memattn import files
from memattn.errors import DataError


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_replaces_and_keeps_the_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")
    path.chmod(0o640)
    with path.open() as reader:
        files.write_atomically(path, b"new")
        assert reader.read() == "old"  # who reads the old file is not disturbed
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names_in(tmp_path) == ["out.csv"]


def test_follows_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.csv"
    path.write_text("old")
    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(DataError, match="No space left on device") as caught:
        files.write_atomically(path, b"new")
    assert caught.value.kind == "write-failed"
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["out.csv"]


def test_what_a_signal_leaves_is_removed(tmp_path: Path) -> None:
    descriptor, temporary = files._open_temporary(tmp_path / "out.csv")
    os.close(descriptor)
    assert names_in(tmp_path) == [temporary.name]
    files.remove_unfinished_files()
    assert names_in(tmp_path) == []


def test_check_writable(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "new.csv")
    assert names_in(tmp_path) == []
    os.mkfifo(tmp_path / "pipe")
    for path, said in [
        (tmp_path, "a folder"),
        (tmp_path / "no" / "a.csv", "no folder"),
        (tmp_path / "pipe", "no regular file"),
        (Path("/proc/a.csv"), "cannot be written"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ]:
        with pytest.raises(DataError, match=said) as caught:
            files.check_writable(path)
        assert caught.value.kind == "unwritable"
