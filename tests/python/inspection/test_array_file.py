"""Reading NumPy's files; malicious files are refused before memory is allocated."""

import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.inspection import array_file
from memattn.inspection.array_file import read_array

VALUES = np.arange(12.0).reshape(3, 4)


def npy(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """Returns a .npy file with any header."""
    padded = header + b" " * (-len(header) % 64 + 53) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(padded)) + padded + data


def header(shape: str, descr: str = "<f8", order: str = "False") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    return text.encode()


def saved(values: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, values, allow_pickle=True)
    return data.getvalue()


@pytest.mark.parametrize(
    "values", [VALUES, np.asfortranarray(VALUES), VALUES.astype(">f4"), np.int8(3), VALUES[:, ::2]]
)
def test_files_that_numpy_wrote_are_read(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", values)
    np.savez_compressed(tmp_path / "c.npz", name=values)
    for name in ("a.npy", "b.npz", "c.npz"):
        np.testing.assert_array_equal(read_array(tmp_path / name), values)


def test_a_npy_file_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    assert isinstance(read_array(tmp_path / "a.npy"), np.memmap)


HUGE = "(1000000000000, 4)"
BAD = {
    "nothing": b"",
    "text": b"a,b\n1,2\n",
    "no header": b"\x93NUMPY\x01\x00",
    "version": npy(header("(1,)"), bytes(8), b"\x09\x00"),
    "too short": npy(header("(3, 4)"), bytes(95)),
    "huge": npy(header(HUGE), bytes(64)),
    "overflow": npy(header("(4611686018427387904, 4)"), bytes(64)),
    "negative": npy(header("(-1, 4)"), bytes(64)),
    "objects": saved(np.array([{}, {}], dtype=object)),
    "pickle": npy(header("(1,)", "|O"), b"cos\nsystem\n(S'true'\ntR."),
    "brackets": npy(b"{'descr': '<f8', 'shape': " + b"(" * 100 + b"1,), }"),
    "code": npy(b"__import__('os').abort()"),
    "no dict": npy(b"[1, 2]"),
    "deep": npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': " + b"-" * 3000 + b"1, }"),
    "text values": saved(np.array(["a", "b"])),
    "complex": saved(np.zeros(3, complex)),
    "records": saved(np.zeros(3, [("a", "f4"), ("b", "f8")])),
    "dtype": npy(header("(1,)", "<f3"), bytes(8)),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_invalid_files_are_refused_with_little_memory(
    tmp_path: Path, name: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(BAD[name])
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", BAD[name])
    tracemalloc.start()
    with pytest.raises(DataError, match=r"found .*, expected ") as caught:
        read_array(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (caught.value.kind, caught.value.file) == ("malformed-array", path)
    assert "\n" not in str(caught.value)
    assert peak < 2**20


def test_data_beyond_the_shape_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy(header("(3, 4)"), bytes(97)))
    with pytest.raises(DataError, match=r"found 225 bytes, expected 224 for shape \(3, 4\)"):
        read_array(tmp_path / "a.npz")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_file, "MAX_UNPACKED_BYTES", 10_000)
    np.savez_compressed(tmp_path / "a.npz", np.zeros(10_000))
    with pytest.raises(DataError, match=r"found 80,128 bytes, expected at most 10,000"):
        read_array(tmp_path / "a.npz")


def test_a_npz_file_must_hold_one_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=VALUES, y=VALUES)
    with pytest.raises(DataError, match=r'2 arrays \("x.npy", "y.npy"\), expected one'):
        read_array(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    with pytest.raises(DataError, match="0 arrays, expected one"):
        read_array(tmp_path / "b.npz")


def test_a_damaged_zip_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", VALUES)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.npz").write_bytes(whole.replace(VALUES.tobytes()[8:16], b"\0" * 8))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError) as caught:
            read_array(tmp_path / name)
        assert caught.value.kind == "malformed-array"


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    (tmp_path / "folder.npy").mkdir()
    for path, kind in [("no.npy", "not-found"), ("no.npz", "not-found")]:
        with pytest.raises(DataError, match="no such file") as caught:
            read_array(tmp_path / path)
        assert caught.value.kind == kind
    with pytest.raises(DataError, match="found a folder"):
        read_array(tmp_path / "folder.npy")


def test_an_empty_array_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 4)))
    assert read_array(tmp_path / "a.npy").shape == (0, 4)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DataError, match="found no regular file"):
        read_array(tmp_path / "a.npy")
