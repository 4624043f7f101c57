"""Reading and writing PyTorch's files without PyTorch: views, containers, and false records.

tests/python/hosts/test_torch_convert.py tests the same code against PyTorch itself.
"""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert.pickled import Table, read_pickle
from memattn.convert.torch_file import torch_file_bytes

from .support import zip_bytes

Write = Callable[[str, bytes], Path]


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(
    key: str, array: np.ndarray, strides: tuple[int, ...] | None = None, kind: str = "FloatStorage"
) -> bytes:
    """Returns the pickle instructions for a tensor in a storage of its own."""
    steps = strides or tuple(step // array.itemsize for step in array.strides)
    numbers = [b"(" + b"".join(b"J" + struct.pack("<i", n) for n in row) + b"t"
               for row in (array.shape, steps)]  # fmt: skip
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key)
    storage += text("cpu") + b"J" + struct.pack("<i", array.size) + b"tQ"
    head = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00"
    return head + numbers[0] + numbers[1] + b"\x89ccollections\nOrderedDict\n)RtR"


def file_of(
    arrays: Mapping[str, np.ndarray],
    prefix: str = "",
    kinds: Mapping[str, str] | None = None,
    views: Mapping[str, bytes] | None = None,
    **members: bytes,
) -> bytes:
    """Returns a file as of torch.save, of a dict of tensors; `views` replaces instructions."""
    kinds = kinds or {}
    instructions = {
        name: tensor(str(index), array, kind=kinds.get(name, "FloatStorage"))
        for index, (name, array) in enumerate(arrays.items())
    } | dict(views or {})
    body = b"".join(text(prefix + name) + code for name, code in instructions.items())
    records = {"a/data.pkl": b"\x80\x02}(" + body + b"u."}
    records |= {f"a/data/{i}": array.tobytes() for i, array in enumerate(arrays.values())}
    return zip_bytes(records | {f"a/{name}": data for name, data in members.items()})


def test_names_with_a_prefix_are_read(write: Write, layer: MemoryAugmentedAttention) -> None:
    path = write("a.pt", file_of(layer.weights, "encoder.layers.3."))
    assert [found.name for found in convert.find(path)] == ["encoder.layers.3"]
    for name, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, layer.weights[name])


def test_a_view_with_strides_is_read(write: Write, layer: MemoryAugmentedAttention) -> None:
    stored = np.ascontiguousarray(layer.weights["memory"].T)
    view = tensor("0", stored.T, strides=(1, 5))
    data = file_of({**layer.weights, "memory": stored}, views={"memory": view})
    read = convert.read(write("a.pt", data))
    np.testing.assert_array_equal(read.weights["memory"], layer.weights["memory"])


def test_a_big_endian_file_is_read(write: Write, layer: MemoryAugmentedAttention) -> None:
    swapped = {name: weight.astype(">f4") for name, weight in layer.weights.items()}
    path = write("a.pt", file_of(swapped, byteorder=b"big"))
    np.testing.assert_array_equal(convert.read(path).weights["memory"], layer.weights["memory"])


def test_a_written_pickle_is_readable_and_storages_are_aligned(
    layer: MemoryAugmentedAttention,
) -> None:
    data = torch_file_bytes(layer.weights, {"units": 6})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = archive.read("archive/data.pkl")
        offsets = [info.header_offset for info in archive.infolist()]
    assert len(offsets) == 3 + 9
    value = read_pickle(content)
    assert isinstance(value, Table)
    assert value.attributes["_metadata"][""]["memattn_config"] == '{"units": 6}'
    at = data.find(layer.weights["query.kernel"].tobytes())
    assert at % 64 == 0


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a/data/0": b"1234"}, "found 4 bytes, expected 120, as the pickle says"),
        ({"a/data/0": None}, "found an archive without a/data/0"),
        ({"b/data.pkl": b"\x80\x02N."}, "found 2 pickles, expected one"),
        ({"a/constants.pkl": b""}, "found a TorchScript program, expected a state_dict"),
        ({"a/data.pkl": b"\x80\x02N."}, "found no layer of memattn among 0 arrays"),
        ({"a/data.pkl": b"\x80\x02cos\nsystem\n."}, 'a/data.pkl: found a pickled "os.system"'),
        ({"a/data.pkl": b"junk"}, "a/data.pkl: found a damaged pickle"),
    ],
)
def test_inconsistent_archives_are_refused(
    write: Write, layer: MemoryAugmentedAttention, members: dict[str, bytes | None], said: str
) -> None:
    with zipfile.ZipFile(io.BytesIO(file_of(layer.weights))) as archive:
        good: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    records = {name: data for name, data in (good | members).items() if data is not None}
    with pytest.raises(FormatError, match=said):
        convert.read(write("a.pt", zip_bytes(records)))


def test_integer_tensors_are_refused_as_quantised(
    write: Write, layer: MemoryAugmentedAttention
) -> None:
    data = file_of(layer.weights, kinds={"key.kernel": "CharStorage"})
    with pytest.raises(FormatError, match=r"a quantised key projection \(int8"):
        convert.read(write("a.pt", data))


def test_cyclic_deep_and_long_containers_are_refused(write: Write) -> None:
    circle = b"\x80\x02}q\x00" + text("a") + b"h\x00s."
    with pytest.raises(FormatError, match="no layer of memattn among 0 arrays"):
        convert.read(write("a.pt", zip_bytes({"a/data.pkl": circle})))
    deep = b"\x80\x02" + b"]" * 50 + b"a" * 49 + b"."
    with pytest.raises(FormatError, match="containers nested too deep, expected at most 32"):
        convert.read(write("a.pt", zip_bytes({"a/data.pkl": deep})))
    long = b"\x80\x02](" + b"N" * 200_000 + b"e."
    with pytest.raises(FormatError, match="more than 100000 values"):
        convert.read(write("a.pt", zip_bytes({"a/data.pkl": long})))
    # Each of 25 lists holds the one before it ten times, which makes 10^25 paths.
    shared = b"\x80\x02]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1])
        for i in range(25)
    )
    with pytest.raises(FormatError, match=r"without exactly one value|no layer of memattn"):
        convert.read(write("a.pt", zip_bytes({"a/data.pkl": shared + b"."})))
