"""Every format returns the written layer to the last bit, and invalid targets are errors."""

import os
from pathlib import Path

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention, convert
from memattn.errors import DataError

FORMATS = ["safetensors", "weights.h5", "npz", "pt", "pth"]


def layers() -> list[MemoryAugmentedAttention]:
    special = MemoryAugmentedAttention(3, 2, 1, seed=3)
    weights = special.get_weights()
    weights[0][0] = [np.nan, np.inf, -0.0]
    weights[1][0, 0, 0] = 1e-45
    special.set_weights(weights)
    return [
        MemoryAugmentedAttention(4, 3, 2, seed=1),
        MemoryAugmentedAttention(
            *(5, 7, 3),
            key_dim=2,
            value_dim=6,
            use_bias=False,
            residual=False,
            dropout=0.125,
            memory_initializer={"kind": "normal", "stddev": 0.5},
            fully_masked="uniform",
            dtype="float64",
            seed=2**63 + 5,
        ),
        special,
    ]


def assert_same(read: MemoryAugmentedAttention, written: MemoryAugmentedAttention) -> None:
    assert read.get_config() == written.get_config()
    assert list(read.weights) == list(written.weights)
    for name, weight in written.weights.items():
        assert read.weights[name].dtype == weight.dtype
        assert read.weights[name].tobytes() == weight.tobytes()


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", FORMATS[:4])
def test_round_trips_between_formats_keep_every_bit(
    tmp_path: Path, first: str, second: str, index: int
) -> None:
    layer = layers()[index]
    convert.write(layer, tmp_path / f"a.{first}")
    convert.write(convert.read(tmp_path / f"a.{first}"), tmp_path / f"b.{second}")
    assert_same(convert.read(tmp_path / f"b.{second}"), layer)


@pytest.mark.parametrize("format", [*FORMATS, "onnx"])
def test_writing_a_layer_twice_gives_the_same_bytes(tmp_path: Path, format: str) -> None:
    for name in ("a", "b"):
        convert.write(layers()[0], tmp_path / f"{name}.{format}")
    assert (tmp_path / f"a.{format}").read_bytes() == (tmp_path / f"b.{format}").read_bytes()


def test_converting_a_memory_of_zeros_does_not_warn(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="zeros"):
        layer = MemoryAugmentedAttention(4, 3, 2, memory_initializer="zeros", seed=1)
    convert.write(layer, tmp_path / "a.npz")
    assert_same(convert.read(tmp_path / "a.npz"), layer)


@pytest.mark.parametrize("name", ["a", "a.h5", "a.keras", "a.bin", ".npz.gz", "weights.h5"])
def test_unknown_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"the name must end in one of \.safetensors, "):
        convert.write(layers()[0], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_in_capitals_is_accepted(tmp_path: Path) -> None:
    convert.write(layers()[0], str(tmp_path / "A.NPZ"))
    assert_same(convert.read(tmp_path / "A.NPZ"), layers()[0])


@pytest.mark.parametrize("format", [*FORMATS, "onnx"])
def test_a_path_that_cannot_be_written_is_an_os_error(tmp_path: Path, format: str) -> None:
    with pytest.raises(OSError, match="nowhere"):
        convert.write(layers()[0], tmp_path / "nowhere" / f"a.{format}")
    (tmp_path / f"folder.{format}").mkdir()
    with pytest.raises(OSError, match="folder"):
        convert.write(layers()[0], tmp_path / f"folder.{format}")


def test_an_existing_file_stays_if_the_argument_is_not_a_layer(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"old")
    with pytest.raises(TypeError, match="found str, expected a MemoryAugmentedAttention"):
        convert.write("layer", path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize(("format", "module"), [("weights.h5", "h5py"), ("onnx", "onnx")])
def test_a_missing_module_is_an_error_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, module: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    extra = "onnx" if format == "onnx" else "convert"
    with pytest.raises(ModuleNotFoundError, match=f"memattn\\[{extra}\\]") as caught:
        convert.write(layers()[0], tmp_path / f"a.{format}")
    assert caught.value.name == module
    convert.write(layers()[0], tmp_path / "a.pt")
    assert os.listdir(tmp_path) == ["a.pt"]  # noqa: PTH208 - names


class KerasLike:
    """A layer with the methods of a Keras layer."""

    def __init__(self, layer: MemoryAugmentedAttention) -> None:
        self.layer = layer

    def get_weights(self) -> list[np.ndarray]:
        return self.layer.get_weights()

    def get_config(self) -> dict[str, object]:
        options = ("residual", "dropout", "fully_masked")
        config = {name: self.layer.get_config()[name] for name in options}
        return {"name": "x", "trainable": True, **config, "memory_initializer": {"module": "keras"}}


def test_a_keras_like_layer_is_written(tmp_path: Path) -> None:
    layer = layers()[1]
    convert.write(KerasLike(layer), tmp_path / "a.npz")
    config = convert.read(tmp_path / "a.npz").get_config()
    assert config == layer.get_config() | {"memory_initializer": "normal", "seed": 0}


def test_a_layer_with_to_numpy_is_written(tmp_path: Path) -> None:
    class TorchLike:
        def to_numpy(self) -> MemoryAugmentedAttention:
            return layers()[1]

    convert.write(TorchLike(), tmp_path / "a.npz")
    assert_same(convert.read(tmp_path / "a.npz"), layers()[1])


def test_a_keras_layer_of_another_class_is_refused(tmp_path: Path) -> None:
    class Dense:
        def get_weights(self) -> list[np.ndarray]:
            return [np.zeros((3, 4)), np.zeros(4)]

    with pytest.raises(
        ValueError, match=r"found 2 weights, expected 9 of a Mem.*Attention \(5 without"
    ):
        convert.write(Dense(), tmp_path / "a.npz")

    class Nine:
        def get_weights(self) -> list[np.ndarray]:
            return [np.zeros((3, 4))] * 9

    with pytest.raises(ValueError, match=r"layer: found query\.kernel of shape \(3, 4\), exp"):
        convert.write(Nine(), tmp_path / "a.npz")
