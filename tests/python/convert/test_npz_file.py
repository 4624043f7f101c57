"""NumPy's archives: names, memory orders and types of arrays, and false headers."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert

from .support import zip_bytes

Write = Callable[[str, bytes], Path]


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def test_names_with_a_prefix_are_read(tmp_path: Path, layer: MemoryAugmentedAttention) -> None:
    for prefix in ("encoder.", "encoder/block_1."):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, **{prefix + name: w for name, w in layer.weights.items()})
        assert [found.name for found in convert.find(path)] == [prefix[:-1]]
        for name, weight in convert.read(path).weights.items():
            np.testing.assert_array_equal(weight, layer.weights[name])


@pytest.mark.parametrize("use_bias", [True, False])
def test_numbered_arrays_of_get_weights_are_read(tmp_path: Path, use_bias: bool) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, key_dim=3, value_dim=4, use_bias=use_bias)
    np.savez(tmp_path / "a.npz", *layer.get_weights())
    read = convert.read(tmp_path / "a.npz")
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(read.weights[name], weight)
    np.savez(tmp_path / "a.npz", *layer.get_weights()[:-1])
    with pytest.raises(FormatError, match="found no layer of memattn among"):
        convert.read(tmp_path / "a.npz")


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", "<f2"])
def test_all_float_types_and_memory_orders_are_read(
    tmp_path: Path, layer: MemoryAugmentedAttention, dtype: str
) -> None:
    arrays = {name: np.asfortranarray(w.astype(dtype)) for name, w in layer.weights.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    read = convert.read(tmp_path / "a.npz")
    assert read.dtype == ("float64" if dtype.endswith("8") else "float32")
    assert convert.find(tmp_path / "a.npz")[0].dtype == f"float{8 * int(dtype[-1])}"
    for name, weight in read.weights.items():
        np.testing.assert_array_equal(weight, arrays[name].astype(read.dtype))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_all_npy_versions_are_read(
    write: Write, layer: MemoryAugmentedAttention, version: tuple[int, int]
) -> None:
    members = {f"{name}.npy": saved(w, version) for name, w in layer.weights.items()}
    assert convert.read(write("a.npz", zip_bytes(members))).count_params() == layer.count_params()


def test_arrays_of_objects_are_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    members = {f"{name}.npy": saved(w) for name, w in layer.weights.items()}
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    path = write("a.npz", zip_bytes(members | {"other.npy": buffer.getvalue()}))
    with pytest.raises(
        FormatError, match=r"other\.npy: found an array of objects, which is a pick"
    ):
        convert.read(path)


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 6), }"


@pytest.mark.parametrize(
    "header",
    [
        GOOD.replace("(5, 6)", "(5, 6000000000000)"),
        GOOD.replace("(5, 6)", "(99999999999999999999, 6)"),
        GOOD.replace("(5, 6)", "(-5, -6)"),
        GOOD.replace("(5, 6)", "(5, 6" + ", 1" * 40 + ")"),
        GOOD.replace("(5, 6)", "(" * 1000 + ")" * 1000),
        GOOD.replace("'<f4'", "[('a', '<f4')]"),
        GOOD.replace("'<f4'", "'|V4'"),
        GOOD.replace("'<f4'", "'<m8[s]'"),
        GOOD.replace("'<f4'", "__import__('os').abort()"),
        GOOD.replace(" }", " 'more': 1, }"),
        "{}",
        "",
        "{" * 4000,
        GOOD + " " * 5000,
    ],
)
def test_false_npy_headers_are_refused(
    write: Write, layer: MemoryAugmentedAttention, header: str
) -> None:
    text = header.encode() + b"\n"
    memory = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    members = {f"{name}.npy": saved(w) for name, w in layer.weights.items()}
    members["memory.npy"] = memory + layer.weights["memory"].tobytes()
    with pytest.raises(FormatError):
        convert.read(write("a.npz", zip_bytes(members)))


@pytest.mark.parametrize("change", [-4, 4])
def test_a_wrong_number_of_values_is_refused(
    write: Write, layer: MemoryAugmentedAttention, change: int
) -> None:
    members = {f"{name}.npy": saved(w) for name, w in layer.weights.items()}
    members["memory.npy"] = (members["memory.npy"] + bytes(4))[
        : len(members["memory.npy"]) + change
    ]
    said = rf"memory\.npy: found {120 + change} bytes of values, expected 120 for shape \(5, 6\)"
    with pytest.raises(FormatError, match=said):
        convert.find(write("a.npz", zip_bytes(members)))


@pytest.mark.parametrize(
    "config", [b"[]", b"{", b'{"units": 7}', b'{"dropout": "x"}', b'{"dropout": 2.0}', b"\xff"]
)
def test_a_config_that_contradicts_the_weights_is_refused(
    write: Write, layer: MemoryAugmentedAttention, config: bytes
) -> None:
    members = {f"{name}.npy": saved(w) for name, w in layer.weights.items()}
    members["config.npy"] = saved(np.array(config.decode("latin-1")))
    with pytest.raises(FormatError, match=r"config|invalid weights"):
        convert.read(write("a.npz", zip_bytes(members)))


def test_a_config_that_is_not_text_is_refused(
    write: Write, layer: MemoryAugmentedAttention
) -> None:
    members = {f"{name}.npy": saved(w) for name, w in layer.weights.items()}
    members["config.npy"] = saved(np.array(3.0))
    with pytest.raises(FormatError, match="an array that is not text"):
        convert.read(write("a.npz", zip_bytes(members)))
