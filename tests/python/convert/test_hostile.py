"""Reads hundreds of damaged files: each is refused or read, without a crash or a long wait.

MEMATTN_LONG_TESTS=1 reads about a hundred times as many.
"""

import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.errors import DataError

from ..sampling import LONG
from .support import GOLDEN, KERAS_FILES, safetensors_bytes

OURS = ("layer.npz", "layer.pt", "layer.safetensors", "model.safetensors", "layer.weights.h5")


def whole_file(name: str, folder: Path) -> bytes:
    """Returns the content of a valid file."""
    if name in KERAS_FILES:
        return (GOLDEN / name).read_bytes()
    layer = MemoryAugmentedAttention(4, 3, 2, seed=1)
    path = folder / name
    if name == "model.safetensors":
        weights = {f"encoder.{part}": weight for part, weight in layer.weights.items()}
        path.write_bytes(safetensors_bytes(weights))
    else:
        convert.write(layer, path)
    return path.read_bytes()


def damaged(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yields copies with flipped bits, extreme bytes, and parts that are cut, doubled or moved."""
    rng = random.Random(seed)
    for _ in range(count):
        copy = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 5))):
            at = rng.randrange(len(copy))
            kind = rng.randrange(5)
            if kind == 0:
                copy[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                copy[at : at + 8] = rng.choice((b"\xff", b"\0", b"\x7f")) * rng.choice((1, 4, 8))
            elif kind == 2:
                del copy[at : at + rng.randrange(1, 64)]
            elif kind == 3:
                copy[at:at] = copy[at : at + rng.randrange(1, 64)]
            else:
                to = rng.randrange(len(copy))
                copy[to : to + 16] = copy[at : at + 16]
        yield bytes(copy)


def try_to_read(path: Path) -> bool:
    """Whether the file was refused; any other error fails the test."""
    try:
        assert convert.read(path).count_params() > 0
    except DataError:  # it has two layers
        assert len(convert.find(path)) > 1
    except (FormatError, OSError):
        return True
    return False


@pytest.mark.parametrize("name", [*KERAS_FILES, *OURS])
def test_damaged_files_are_refused_or_read(name: str, tmp_path: Path) -> None:
    data = whole_file(name, tmp_path)
    path = tmp_path / "damaged"
    # Fewer HDF5 files, which are slow, since a child process reads each.
    short, long = {".h5": (5, 600), ".keras": (50, 2500)}.get(Path(name).suffix, (100, 15_000))
    count, refused = long if LONG else short, 0
    for content in damaged(data, count, seed=len(data)):
        path.write_bytes(content)
        refused += try_to_read(path)
    assert refused >= max(1, count // 8)


@pytest.mark.parametrize("name", [*KERAS_FILES, *OURS])
def test_truncated_files_are_refused(name: str, tmp_path: Path) -> None:
    data = whole_file(name, tmp_path)
    path = tmp_path / "cut"
    step = len(data) // (400 if LONG else 4) if name.endswith(".h5") else len(data) // 200 + 1
    for length in range(0, len(data), step):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            convert.find(path)


def header_only(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'


@pytest.mark.parametrize(
    "text",
    [
        '{"' + "a." * 1_000_000 + f'memory":{EMPTY}}}',
        "{" + ",".join(f'"{"a." * 3000}{n}":{EMPTY}' for n in range(500)) + "}",
        "{" + ",".join(f'"{n}":{EMPTY}' for n in range(20_000)) + f',"0":{EMPTY}}}',
        "{" + ",".join(f'"{n}.memory":{EMPTY}' for n in range(20_000)) + "}",
        '{"a":' + "[" * 2_000_000,
        '{"a":[' + "{}," * 1_000_000 + "{}]}",
    ],
    ids=["deep", "deep and many", "a name twice", "many", "open brackets", "empty objects"],
)
def test_malicious_headers_take_little_time_and_memory(text: str, tmp_path: Path) -> None:
    # A naive reader takes minutes or gigabytes for each of these.
    path = tmp_path / "model.safetensors"
    path.write_bytes(header_only(text))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            convert.find(path)
        assert tracemalloc.get_traced_memory()[1] < 512 << 20
    finally:
        tracemalloc.stop()
