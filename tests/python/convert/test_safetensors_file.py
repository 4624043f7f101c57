"""safetensors files of other models, and memattn files with false metadata."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert.safetensors_file import read_header
from memattn.convert.source import MAX_JSON_BYTES, open_source, parse_json

from .support import safetensors_bytes

Write = Callable[[str, bytes], Path]


def test_memattn_files_are_read(tmp_path: Path, layer: MemoryAugmentedAttention) -> None:
    path = tmp_path / "a.safetensors"
    layer.save(path)
    assert convert.read(path).get_config() == layer.get_config()
    found = convert.find(path)[0]
    assert (found.name, found.key_dim, found.value_dim) == ("", 3, 4)


def test_memattn_files_of_another_version_are_refused(
    tmp_path: Path, layer: MemoryAugmentedAttention
) -> None:
    path = tmp_path / "a.safetensors"
    layer.save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"format_version":"1"', b'"format_version":"9"'))
    for use in (convert.find, convert.read):
        with pytest.raises(FormatError, match="format_version"):
            use(path)


@pytest.mark.parametrize("name", ["encoder.memory_attention.{}", "a/b.{}", "model/{}"])
def test_a_layer_inside_a_model_is_read(
    write: Write, layer: MemoryAugmentedAttention, name: str
) -> None:
    arrays = {name.format(part): weight for part, weight in layer.weights.items()}
    arrays["head.weight"] = np.zeros((3, 3), np.int8)
    path = write("model.safetensors", safetensors_bytes(arrays, {"format": "pt"}))
    assert [found.name for found in convert.find(path)] == [name[:-3]]
    for part, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, layer.weights[part])


def test_bfloat16_is_read_as_float32(write: Write, layer: MemoryAugmentedAttention) -> None:
    wide = {name: w.view(np.uint32) & np.uint32(0xFFFF0000) for name, w in layer.weights.items()}
    halves = {name: (w >> np.uint32(16)).astype(np.uint16) for name, w in wide.items()}
    path = write("a.safetensors", safetensors_bytes(halves))
    assert convert.find(path)[0].dtype == "bfloat16"
    for name, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, wide[name].view(np.float32))


def with_entry(layer: MemoryAugmentedAttention, **change: object) -> bytes:
    """Returns a file with changes in the header entry of the memory."""
    data = safetensors_bytes(layer.weights)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["memory"] |= change
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [5]},
        {"shape": [5, 6.0]},
        {"shape": [5, True]},
        {"shape": [-5, -6]},
        {"shape": [1] * 40},
        {"shape": [2**62, 2**62]},
        {"shape": None},
        {"dtype": "F64"},
        {"dtype": "F31"},
        {"dtype": ["F32"]},
        {"data_offsets": [0, 0]},
        {"data_offsets": [4, 124]},
        {"data_offsets": [0, 2**60]},
        {"data_offsets": [120, 0]},
        {"data_offsets": [0, 120, 240]},
        {"data_offsets": "0"},
        {"more": 1},
    ],
)
def test_false_tensor_entries_are_refused(
    write: Write, layer: MemoryAugmentedAttention, change: dict
) -> None:
    path = write("a.safetensors", with_entry(layer, **change))
    with pytest.raises(FormatError):
        convert.read(path)


def test_false_headers_are_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    data = safetensors_bytes(layer.weights)
    texts = [
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b"{" * 2000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"__metadata__": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"\xff": 1}',
        b"{}" + b"x",
    ]
    for text in texts:
        with pytest.raises(FormatError):
            convert.read(write("a", struct.pack("<Q", len(text)) + text))
    for content in (data + b"x", data[:-1], b"\0" * 7 + b"\x7f" + data[8:]):
        with pytest.raises(FormatError):
            convert.read(write("a", content))


def test_a_repeated_tensor_name_is_refused(write: Write, layer: MemoryAugmentedAttention) -> None:
    data = safetensors_bytes({**layer.weights, "memorx": layer.weights["memory"]})
    with pytest.raises(FormatError, match='header: found the key "memory" twice, expected every'):
        convert.read(write("a", data.replace(b'"memorx"', b'"memory"')))


def test_a_long_header_is_refused(write: Write) -> None:
    text = b'{"a": "' + b"x" * (5 << 20) + b'"}'
    with pytest.raises(FormatError, match=r"header: found .* bytes, expected at most 4194304"):
        convert.read(write("a", struct.pack("<Q", len(text)) + text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "header: found no object, expected an object of tensors"),
        ("{" + ",".join(f'"{k}":0' for k in range(100_001)) + "}", "found 100001 tensors"),
        ('{"__metadata__":[]}', "metadata that is not an object"),
    ],
    ids=["list", "many", "metadata"],
)
def test_headers_of_another_form_are_refused(write: Write, text: str, said: str) -> None:
    path = write("a.safetensors", struct.pack("<Q", len(text)) + text.encode())
    with open_source(path) as source, pytest.raises(FormatError, match=said):
        read_header(source)


def test_a_file_that_shrinks_while_open_is_refused(write: Write) -> None:
    path = write("a", bytes(100))
    with open_source(path) as source:
        os.truncate(path, 50)
        with pytest.raises(FormatError, match="found the end of the file, expected 50 more bytes"):
            source.read_at(0, 100, "values")


def test_json_has_a_size_limit(write: Write) -> None:
    path = write("a", b"{}")
    with open_source(path) as source, pytest.raises(FormatError, match="bytes of JSON"):
        parse_json(source, "config", bytes(MAX_JSON_BYTES + 1))
