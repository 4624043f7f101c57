"""Malicious zip archives: repeated names, bombs, false sizes, data before and after."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert.source import open_source
from memattn.convert.zip_archive import open_archive

from .support import zip_bytes

Write = Callable[[str, bytes], Path]


def arrays(layer: MemoryAugmentedAttention) -> dict[str, bytes]:
    """Returns the members of an .npz file of a layer."""
    members = {}
    for name, weight in layer.weights.items():
        buffer = io.BytesIO()
        np.save(buffer, weight)
        members[f"{name}.npy"] = buffer.getvalue()
    return members


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        convert.read(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_deflated_members_are_read(write: Write, layer: MemoryAugmentedAttention) -> None:
    path = write("a.npz", zip_bytes(arrays(layer), zipfile.ZIP_DEFLATED))
    for name, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, layer.weights[name])


def test_a_repeated_name_is_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    buffer = io.BytesIO(zip_bytes(arrays(layer)))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("memory.npy", b"another")
    path = write("a.npz", buffer.getvalue())
    assert 'found two members named "memory.npy", expected different names' in refusal(path)


def test_a_zip_bomb_is_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    members = arrays(layer) | {"other.npy": bytes(128 << 20)}
    path = write("a.npz", zip_bytes(members, zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < 1 << 18
    assert "in all, expected at most 67108864 in a file of this size" in refusal(path)


@pytest.mark.parametrize("claimed", [0, 10, 200, 1 << 20])
def test_a_false_size_is_refused(
    write: Write, layer: MemoryAugmentedAttention, claimed: int
) -> None:
    content = bytearray(zip_bytes(arrays(layer), zipfile.ZIP_DEFLATED))
    entry = content.find(b"PK\x01\x02")  # the directory entry of the first member
    content[entry + 24 : entry + 28] = struct.pack("<I", claimed)
    refusal(write("a.npz", bytes(content)))


def test_an_encrypted_member_is_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    content = bytearray(zip_bytes(arrays(layer)))
    entry = content.find(b"PK\x01\x02")
    content[entry + 8] |= 1
    assert "an encrypted member or an unknown compression" in refusal(
        write("a.npz", bytes(content))
    )


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_methods_are_refused(
    write: Write, layer: MemoryAugmentedAttention, compression: int
) -> None:
    path = write("a.npz", zip_bytes(arrays(layer), compression))
    assert "an encrypted member or an unknown compression" in refusal(path)


def test_a_flipped_bit_is_detected(write: Write, layer: MemoryAugmentedAttention) -> None:
    content = bytearray(zip_bytes(arrays(layer)))
    at = content.find(layer.weights["value.kernel"].tobytes())
    content[at] ^= 1
    assert "value.kernel.npy: found a damaged member (Bad CRC-32" in refusal(
        write("a.npz", bytes(content))
    )


def test_data_around_the_archive_is_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    content = zip_bytes(arrays(layer))
    assert "damaged or unfinished" in refusal(write("after.npz", content + b"more"))
    before = b"PK\x03\x04" + bytes(40) + content
    assert "a misplaced directory" in refusal(write("before.npz", before))
    commented = content[:-2] + b"\x04\x00note"
    assert "damaged or unfinished" in refusal(write("comment.npz", commented))


def test_too_large_a_directory_is_refused(write: Write) -> None:
    # zipfile would take ten times as much memory for each entry as the entry has bytes.
    entry = b"PK\x01\x02" + bytes(42)
    size = 100_000 * len(entry)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, size, 4, 0)
    path = write("a.npz", b"PK\x03\x04" + entry * 100_000 + end)
    assert "found a directory of 4600000 bytes, expected at most 4194304" in refusal(path)


def test_a_misplaced_zip64_directory_is_refused(
    write: Write, layer: MemoryAugmentedAttention
) -> None:
    content = zip_bytes(arrays(layer))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    path = write("a.npz", content[:-22] + locator + content[-22:])
    assert "zip64" in refusal(path)


def test_member_names_are_not_used_as_paths(
    write: Write, layer: MemoryAugmentedAttention, tmp_path: Path
) -> None:
    members = {f"../../../{name}": data for name, data in arrays(layer).items()}
    path = write("a.npz", zip_bytes(members))
    assert convert.read(path).count_params() == layer.count_params()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_reading_a_member_checks_its_name_and_size(
    write: Write, layer: MemoryAugmentedAttention
) -> None:
    path = write("a.zip", zip_bytes({"a.npy": b"123456"}))
    with open_source(path) as source, open_archive(source) as archive:
        with pytest.raises(FormatError, match="found 6 bytes, expected at most 5"):
            archive.read("a.npy", 5)
        with pytest.raises(FormatError, match=r"found an archive without b\.npy"):
            archive.read("b.npy")
        archive.members["a.npy"].file_size = 7  # a false size
        with pytest.raises(FormatError):
            archive.read("a.npy")
