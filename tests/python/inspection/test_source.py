"""Reading and writing the layer of a command, and errors for files without a layer."""

from pathlib import Path

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.inspection.source import read_layer, write_layer

from ..layers import make_layer


def test_a_written_layer_is_read_back(tmp_path: Path) -> None:
    layer = make_layer((5, 3, 2, 4, 3), dtype="float64", memory_initializer="zeros")
    write_layer(layer, tmp_path / "a.safetensors")
    found, copy = read_layer(tmp_path / "a.safetensors")
    assert found.name == ""
    assert copy.get_config() == layer.get_config()
    for one, two in zip(copy.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_file_without_a_layer_is_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "bad\x1b.safetensors"
    bad.write_bytes(b"no header here")
    for path, kind, said in [
        (tmp_path / "no.safetensors", "not-found", "no such file"),
        (tmp_path, "format", "found a folder"),
        (bad, "format", "expected"),
        (bad / "below", "unreadable", "cannot be read: Not a directory"),
    ]:
        with pytest.raises(DataError, match=said) as caught:
            read_layer(path)
        assert caught.value.kind == kind
        assert caught.value.file == path
        assert str(caught.value).count("bad") <= 1
        assert "\x1b" not in str(caught.value)


def test_writing_into_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder") as caught:
        write_layer(make_layer((5, 3, 2, None, None)), tmp_path / "no" / "a.safetensors")
    assert caught.value.kind == "unwritable"
