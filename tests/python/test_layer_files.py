"""Files of every layer from Python: round trips, the safetensors package, and bad files."""

import copy
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import memattn
from memattn import CrossAttention, FormatError, HierarchicalAttention, MemoryAugmentedAttention

from .sampling import LONG, some

Layer = MemoryAugmentedAttention | CrossAttention | HierarchicalAttention
Make = Callable[..., Layer]


def memory(**options: Any) -> Layer:
    return MemoryAugmentedAttention(4, 3, 2, key_dim=3, **options)


def cross(**options: Any) -> Layer:
    return CrossAttention(4, 2, source1_units=3, source2_units=5, key_dim=2, **options)


def hierarchical(**options: Any) -> Layer:
    return HierarchicalAttention(4, 2, short_units=3, long_units=2, value_dim=3, **options)


MAKERS = (memory, cross, hierarchical)
every_layer = pytest.mark.parametrize("make", MAKERS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "läyer.safetensors"


def expect_equal(found: Layer, expected: Layer) -> None:
    assert type(found) is type(expected)
    assert found.get_config() == expected.get_config()
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], weight, strict=True)


def with_header(whole: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the bytes of a file after editing its header."""
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    edit(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


@every_layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_saved_layer_loads_with_equal_weights(
    make: Make, path: Path, dtype: str, use_bias: bool
) -> None:
    options = {"dropout": 0.25, "fully_masked": "uniform", "seed": 2**64 - 1}
    layer = make(dtype=dtype, use_bias=use_bias, **options)
    layer.save(path)
    layer.save(str(path))  # over itself
    expect_equal(type(layer).load(path), layer)
    expect_equal(memattn.load(path), layer)
    expect_equal(memattn.load(str(path)), layer)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@every_layer
def test_a_loaded_layer_computes_the_same_and_can_be_copied(make: Make, path: Path) -> None:
    layer = make(seed=3)
    layer.save(path)
    widths = {memory: (4,), cross: (3, 5), hierarchical: (3, 2)}[make]  # type: ignore[index]
    inputs = [np.random.default_rng(0).standard_normal((2, 6, width)) for width in widths]
    expected = layer(*inputs)
    loaded = memattn.load(path)
    for one in (loaded, copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        np.testing.assert_array_equal(one(*inputs), expected)
        one.save(path)
        expect_equal(memattn.load(path), layer)


@every_layer
def test_the_safetensors_package_reads_saved_layers(make: Make, path: Path) -> None:
    layer = make()
    layer.save(path)
    arrays = load_file(path)
    assert sorted(arrays) == sorted(layer.weights)
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(arrays[name], weight)


@every_layer
def test_files_of_the_safetensors_package_load(make: Make, path: Path) -> None:
    layer = make()
    layer.save(path)
    with safe_open(path, "np") as file:
        save_file(dict(layer.weights), path.with_name("theirs"), file.metadata())
    expect_equal(memattn.load(path.with_name("theirs")), layer)


def test_a_file_whose_length_looks_like_a_pickle_loads(path: Path) -> None:
    layer = cross(seed=1)
    layer.save(path)
    whole = path.read_bytes()
    length = struct.unpack("<Q", whole[:8])[0]
    padded = 0x0580  # protocol 5 of pickle begins with these two bytes
    assert length <= padded
    path.write_bytes(
        struct.pack("<Q", padded) + whole[8 : 8 + length].ljust(padded) + whole[8 + length :]
    )
    expect_equal(memattn.load(path), layer)


@every_layer
def test_weights_that_are_not_finite_are_kept(make: Make, path: Path) -> None:
    layer = make()
    name = next(iter(layer.weights))
    layer.set_weights({name: np.full_like(layer.weights[name], np.nan)})
    layer.save(path)
    expect_equal(memattn.load(path), layer)


@every_layer
def test_load_of_a_subclass_returns_the_subclass(make: Make, path: Path) -> None:
    layer = make()
    layer.save(path)
    named = type("Named", (type(layer),), {})
    assert type(named.load(path)) is named


@pytest.mark.parametrize("made", MAKERS)
@pytest.mark.parametrize("other", MAKERS)
def test_loading_another_class_names_both_classes(made: Make, other: Make, path: Path) -> None:
    layer, reader = made(), type(other())
    layer.save(path)
    if made is other:
        return
    expected = f": found a {type(layer).__name__}, expected a {reader.__name__}; memattn.load opens"
    with pytest.raises(FormatError, match=expected):
        reader.load(path)


def test_format_error_is_a_value_error(path: Path) -> None:
    assert issubclass(FormatError, ValueError)
    assert f"{FormatError.__module__}.{FormatError.__qualname__}" == "memattn.FormatError"
    path.write_bytes(b"not a layer at all")
    for load in (memattn.load, CrossAttention.load, MemoryAugmentedAttention.load):
        with pytest.raises(FormatError, match=r"found text, expected a saved layer$"):
            load(path)


@every_layer
def test_every_truncation_is_a_format_error(make: Make, path: Path) -> None:
    layer = make()
    layer.save(path)
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    for length in (*range(header), *some(range(header, len(whole)), 8)):  # 8: within weights
        path.write_bytes(whole[:length])
        for load in (type(layer).load, memattn.load):
            with pytest.raises(FormatError):
                load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(FormatError):
        memattn.load(path)


@every_layer
def test_flipped_bits_of_the_header_are_refused_or_change_no_weight(make: Make, path: Path) -> None:
    layer = make(seed=1)
    layer.save(path)
    whole = path.read_bytes()
    values = list(layer.weights.values())
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    refused = 0
    flips = range(0, header * 8, 3 if LONG else 7)  # 7: at least one bit of each byte
    for bit in flips:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = memattn.load(path)
        except FormatError:
            refused += 1
            continue
        # An option such as the seed, or a metadata key that is not read.
        for weight, expected in zip(found.weights.values(), values, strict=True):
            np.testing.assert_array_equal(weight, expected)
    assert refused > len(flips) * 0.9


@every_layer
def test_weights_of_another_shape_are_a_format_error(make: Make, path: Path) -> None:
    layer = make()
    layer.save(path)
    whole = path.read_bytes()
    for name, weight in layer.weights.items():

        def flat(header: dict[str, Any], name: str = name, size: int = weight.size) -> None:
            header[name]["shape"] = [1, size, 1, 1]

        path.write_bytes(with_header(whole, flat))
        with pytest.raises(FormatError, match=rf"{name}.*\(1, {weight.size}, 1, 1\)"):
            memattn.load(path)
        path.write_bytes(with_header(whole, lambda header, name=name: header.pop(name)))
        with pytest.raises(FormatError):
            memattn.load(path)


@every_layer
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "memattn.Other", "memattn.Other"),
        ("format", "", 'format: found ""'),
        ("format_version", "3", "needs a newer memattn"),
        ("config", "", "json: byte 1"),
        ("config", '{"units":4}', "found no key"),
        ("config", '{"units":4,"num_heads":2,"memory_size":3,"depth":1}', 'found key "depth"'),
        ("config", "[" * 5000, "found nesting deeper than 4"),
        ("config", '{"units":"4","num_heads":2}', 'units: found the string "4"|found no key'),
        ("config", '{"units":2147483648,"num_heads":2}', "at most 2|found no key"),
    ],
)
def test_invalid_metadata_is_refused(
    make: Make, path: Path, key: str, value: str, message: str
) -> None:
    layer = make()
    layer.save(path)
    whole = path.read_bytes()

    def edit(header: dict[str, Any]) -> None:
        header["__metadata__"][key] = value

    path.write_bytes(with_header(whole, edit))
    with pytest.raises(FormatError, match=message) as raised:
        memattn.load(path)
    assert str(path) in str(raised.value)
    if key == "config":
        assert f"config: {type(layer).__name__}: " in str(raised.value)
    path.write_bytes(with_header(whole, lambda header: header["__metadata__"].pop(key)))
    with pytest.raises(FormatError, match=f"found no key {key}"):
        memattn.load(path)


@every_layer
def test_errors_of_the_system_are_os_errors(make: Make, tmp_path: Path) -> None:
    layer = make()
    for load in (type(layer).load, memattn.load):
        with pytest.raises(FileNotFoundError, match="missing"):
            load(tmp_path / "missing")
        with pytest.raises((FormatError, OSError), match=str(tmp_path)):
            load(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        layer.save(tmp_path / "nowhere" / "layer.safetensors")
    with pytest.raises(OSError, match=str(tmp_path)):
        layer.save(tmp_path)


def test_load_refuses_files_without_a_layer(path: Path) -> None:
    optimizer = memattn.Adam()
    optimizer.save(path)
    with pytest.raises(FormatError, match=r"format: found \"memattn.Optimizer\", expected one of"):
        memattn.load(path)
    save_file(dict(cross().weights), path)
    with pytest.raises(FormatError, match="found no key format"):
        memattn.load(path)
