"""Reading the pickle of a PyTorch file runs no code, and bounds time and memory."""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import pytest

from memattn.convert.pickled import PickleError, StoredTensor, Table, read_pickle

STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ"
)


def tensor(offset: bytes, shape: bytes, strides: bytes) -> bytes:
    """Returns a pickle of a view into a storage of 12 values."""
    head = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
    return head + STORAGE + offset + shape + strides + b"\x89ccollections\nOrderedDict\n)RtR."


def found_in(data: bytes) -> str:
    with pytest.raises(PickleError) as caught:
        read_pickle(data)
    return f"{caught.value.found} | {caught.value.expected}"


def test_plain_values_are_read() -> None:
    value = {"a": [1, -2, 2**40, 1.5, None, True, False, "ä"], "b": (1, (2,), {}), "c": {3: "x"}}
    for protocol in (2, 4):
        assert read_pickle(pickle.dumps(value, protocol)) == value
    many = list(range(3000))
    assert read_pickle(pickle.dumps([many, many], 2)) == [many, many]
    ordered = read_pickle(pickle.dumps(OrderedDict(b=1, a=2), 2))
    assert type(ordered) is Table
    assert list(ordered.items()) == [("b", 1), ("a", 2)]


def test_a_view_into_a_storage_is_read() -> None:
    data = tensor(b"K\x04", b"K\x02K\x03\x86", b"K\x01K\x02\x86")
    assert isinstance(read_pickle(data), StoredTensor)
    assert read_pickle(data).shape == (2, 3)
    assert read_pickle(data).strides == (1, 2)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (b"K\x05", b"K\x02K\x03\x86", b"K\x03K\x03\x86"),  # beyond the end
        (b"J\xff\xff\xff\xff", b"K\x01\x85", b"K\x01\x85"),  # before the beginning
        (b"K\x00", b"J\xff\xff\xff\x7f\x85", b"K\x00\x85"),  # one value, repeated 2^31 - 1 times
        (b"K\x00", b"K\x02K\x03\x86", b"K\x03\x85"),  # fewer strides than sizes
        (b"K\x00", b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),  # a negative size
        (b"K\x0b", b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),  # backwards
        (b"G\x00\x00\x00\x00\x00\x00\x00\x00", b"K\x02\x85", b"K\x01\x85"),  # an offset of 0.0
        (b"\x89", b"K\x02\x85", b"K\x01\x85"),  # an offset of False
        (b"K\x00", b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85", b"K\x01\x85"),  # 2^64 - 1 values
    ],
)
def test_views_outside_of_a_storage_are_refused(
    offset: bytes, shape: bytes, strides: bytes
) -> None:
    assert "a tensor that is not a view into its storage" in found_in(
        tensor(offset, shape, strides)
    )


class Evil:
    """An object whose pickle runs code when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (Path("/nonexistent/evil"),)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil(), 2),
        pickle.dumps([Evil()], 4),
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02cbuiltins\neval\n0N.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81.",
        b"\x80\x02ccollections\nCounter\n)R.",
        pickle.dumps(print, 4),
    ],
)
def test_nothing_is_imported_or_called(data: bytes) -> None:
    said = found_in(data)
    assert ", which is never run | tensors and plain containers only" in said


def test_quantised_tensors_are_refused() -> None:
    said = found_in(b"\x80\x02ctorch._utils\n_rebuild_qtensor\n.")
    assert "float tensors: save the layer before it is quantised" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "damaged"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x02.", "damaged|without exactly one value"),
        (b"\x80\x02NN.", "without exactly one value"),
        (b"\x80\x02(N.", "without exactly one value"),
        (b"\x80\x02N.N", "without exactly one value"),
        (b"\x80\x02h\x07.", "damaged"),
        (b"\x80\x02t.", "damaged"),
        (b"\x80\x02N(\x85.", "damaged"),
        (b"\x80\x02)R.", "damaged"),
        (b"\x80\x02NNR.", "a call of something other than a function"),
        (b"\x80\x02ccollections\nOrderedDict\nN\x85R.", "with arguments"),
        (b"\x80\x02NQ.", "a reference to something other than a storage"),
        (b"\x80\x02NNa.", "an append to something other than a list"),
        (b"\x80\x02}(Nu.", "items for something other than a dict"),
        (b"\x80\x02}NNs.", "a key of the type NoneType"),
        (b"\x80\x02})Ns.", "a key of the type tuple"),
        (b"\x80\x02}G?\xf0\x00\x00\x00\x00\x00\x00Ns.", "a key of the type float"),
        (b"\x80\x02}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00aNu.", 'the key "a" twice'),
        (b"\x80\x02}Nb.", "attributes for something other than an OrderedDict"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\n(N\x89NtR.", "a parameter without a tensor"),
        (b"\x80\x02I7\n.", "the instruction INT"),
        (b"\x80\x02\x8b\x01\x00\x00\x00\x07.", "the instruction LONG4"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f", "damaged"),
        (b"\x80\x02X\xff\xff\xff\xffa", "damaged"),
        (b"\x80\x022.", "the instruction DUP"),
        (b"\x80\x02K\x07\x82\x01.", "the instruction"),
    ],
)
def test_damaged_and_unusual_pickles_are_refused(data: bytes, said: str) -> None:
    assert any(part in found_in(data) for part in said.split("|"))


def test_keys_with_colliding_hashes_are_refused() -> None:
    # Building a dict with these keys would take hours.
    prime = 2**61 - 1
    keys = b"".join(
        b"\x8a\x0b" + (prime * k).to_bytes(11, "little") + b"N" for k in range(1, 50_000)
    )
    assert "a key of the type int" in found_in(b"\x80\x02}(" + keys + b"u.")


def test_very_long_pickles_are_refused() -> None:
    assert "a longer pickle" in found_in(b"\x80\x02(" + b"}" * 4_000_000 + b"t.")
    assert "bytes | at most" in found_in(b"\x80\x02(" + b"}" * 9_000_000 + b"t.")


def test_a_list_that_contains_itself_is_read() -> None:
    value: list[object] = []
    value.append(value)
    read = read_pickle(pickle.dumps(value, 2))
    assert read[0] is read


def test_text_must_be_utf8() -> None:
    assert "damaged" in found_in(b"\x80\x02X\x02\x00\x00\x00\xff\xfe.")
    assert read_pickle(b"\x80\x02X" + struct.pack("<I", 2) + "ä".encode() + b".") == "ä"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x02NN\x85R.", "a call of something other than a function"),
        (b"\x80\x02ccollections\nOrderedDict\nNR.", "a call of something other than a function"),
        (b"\x80\x02ccollections\nOrderedDict\nN\x85R.", "an OrderedDict with arguments"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN\x85R.", "not a view into its storage"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\nN\x85R.", "a parameter without a tensor"),
    ],
)
def test_calls_that_torch_does_not_write_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(PickleError) as caught:
        read_pickle(data)
    assert said in caught.value.found


def test_reading_below_a_mark_is_refused() -> None:
    with pytest.raises(PickleError):
        read_pickle(b"\x80\x02(h\x00q\x00.")
    with pytest.raises(PickleError):
        read_pickle(b"\x80\x02N(q\x00.")
