"""Files of the layer from Python: round trips, other people's reader and writer, and bad ones."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import memattn
from memattn import FormatError, MemoryAugmentedAttention


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_round_trip(tmp_path: Path, dtype: str, use_bias: bool) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, key_dim=3, use_bias=use_bias, dtype=dtype)
    path = tmp_path / "läyer.safetensors"
    layer.save(path)
    layer.save(str(path))  # over itself
    loaded = MemoryAugmentedAttention.load(path)
    assert loaded.get_config() == layer.get_config()
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weight)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_the_safetensors_package_reads_ours(tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    layer.save(tmp_path / "layer.safetensors")
    arrays = load_file(tmp_path / "layer.safetensors")
    assert sorted(arrays) == sorted(layer.weights)
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(arrays[name], weight)


def test_we_read_what_the_safetensors_package_writes(tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    layer.save(tmp_path / "ours.safetensors")
    with safe_open(tmp_path / "ours.safetensors", "np") as file:
        save_file(dict(layer.weights), tmp_path / "theirs.safetensors", file.metadata())
    loaded = MemoryAugmentedAttention.load(tmp_path / "theirs.safetensors")
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weight)


def test_format_error_is_a_value_error(tmp_path: Path) -> None:
    assert issubclass(FormatError, ValueError)
    assert f"{FormatError.__module__}.{FormatError.__qualname__}" == "memattn.FormatError"
    (tmp_path / "bad").write_bytes(b"not a layer at all")
    with pytest.raises(FormatError, match=r"bad: no saved layer \(looks like text\)$"):
        MemoryAugmentedAttention.load(tmp_path / "bad")


def test_every_cut_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    MemoryAugmentedAttention(2, 2, 1, key_dim=1).save(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            MemoryAugmentedAttention.load(path)


def test_another_layout_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    MemoryAugmentedAttention(2, 2, 1).save(path)
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    header["memory"]["shape"] = [4, 1]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
    with pytest.raises(FormatError, match=r"memory.*\(4, 1\).*\(2, 2\)"):
        MemoryAugmentedAttention.load(path)


def test_what_the_system_refuses_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        MemoryAugmentedAttention.load(tmp_path / "missing")
    with pytest.raises(OSError, match="nowhere"):
        MemoryAugmentedAttention(2, 2, 1).save(tmp_path / "nowhere" / "layer.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises((FormatError, OSError), match="folder"):
        MemoryAugmentedAttention.load(tmp_path / "folder")
    assert memattn.__version__
