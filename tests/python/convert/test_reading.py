"""Golden files of Keras: every layer is found, with equal weights and the same output."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert import FoundLayer
from memattn.errors import DataError

from .support import GOLDEN, KERAS_FILES, safetensors_bytes

LAYERS = {"keras2": ["memory_augmented_attention"], "keras3": ["first", "second"]}


def expected_of(file: str, layer: str) -> dict[str, np.ndarray]:
    """Returns the expected arrays that were saved with the files: x, y and the weights by name."""
    keras = file[: len("keras2")]
    arrays = load_file(GOLDEN / f"{keras}_expected.safetensors")
    if keras == "keras2":
        return arrays
    return {"x": arrays["x"]} | {
        name.removeprefix(f"{layer}."): array
        for name, array in arrays.items()
        if name.startswith(f"{layer}.")
    }


def test_there_are_seven_golden_files() -> None:
    assert len(KERAS_FILES) == 7


@pytest.mark.parametrize("file", KERAS_FILES)
def test_keras_files_are_found_and_read(golden: Path, file: str) -> None:
    found = convert.find(golden / file)
    names = LAYERS[file[: len("keras2")]]
    assert [layer.name for layer in found] == names
    for layer in found:
        expected = expected_of(file, layer.name)
        read = convert.read(golden / file, layer.name)
        assert set(read.weights) == set(expected) - {"x", "y"}
        for name, weight in read.weights.items():
            np.testing.assert_array_equal(weight, expected[name])
        difference = np.abs(read(expected["x"]) - expected["y"]).max()
        assert difference <= 1e-6 * np.abs(expected["y"]).max()
        assert read.get_config()["fully_masked"] == "uniform"


def test_find_describes_a_layer(golden: Path) -> None:
    assert convert.find(golden / "keras3.keras")[1] == FoundLayer(
        name="second",
        units=10,
        memory_size=12,
        num_heads=2,
        key_dim=10,
        value_dim=10,
        use_bias=True,
        dtype="float32",
        class_name="MemoryAugmentedAttention",
    )
    assert convert.find(golden / "keras3.weights.h5")[1].class_name is None


def test_reading_one_of_several_layers_needs_its_name(golden: Path) -> None:
    with pytest.raises(DataError, match=r'found 2 layers; .*"first" \(9 .*"second" \(12'):
        convert.read(golden / "keras3.keras")
    with pytest.raises(DataError, match=r'found no layers named "third"') as caught:
        convert.read(golden / "keras3.keras", "third")
    assert caught.value.kind == "layer"
    assert isinstance(caught.value, ValueError)


def test_the_only_layer_without_a_name_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    MemoryAugmentedAttention(2, 3, 1, seed=0).save(path)
    with pytest.raises(DataError, match=r"only layer of the file has no name; leave out layer="):
        convert.read(path, "memory")


def test_the_last_part_of_a_name_selects_a_layer_if_unambiguous(tmp_path: Path) -> None:
    weights = MemoryAugmentedAttention(2, 3, 1, seed=0).weights
    named = {
        f"{prefix}.{name}": weight
        for prefix in ("encoder.memory", "decoder.memory", "decoder.other")
        for name, weight in weights.items()
    }
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(named))
    names = [layer.name for layer in convert.find(path)]
    assert names == ["encoder.memory", "decoder.memory", "decoder.other"]
    assert convert.read(path, "other").count_params() == 30
    assert convert.read(path, "encoder.memory").count_params() == 30
    with pytest.raises(DataError, match='2 layers named "memory"'):
        convert.read(path, "memory")


def test_the_content_decides_the_format_not_the_name(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes((golden / "keras2.keras").read_bytes())
    assert convert.find(path)[0].units == 12


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "unknown kind"),
        (b"PK", "unknown kind"),
        (b"\x80\x02}q\x00.", "a pickle, which is never run, expected a file that torch.save"),
        (b'{"weight_map": {}}', "the index of weights in shards, expected the weights: convert"),
        (b"\x93NUMPY\x01\x00", "one array, expected all weights"),
        (b"\x89HDF\r\n\x1a\n", "damaged HDF5"),
        (b"PK\x03\x04" + bytes(100), "a damaged or unfinished zip archive"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "weights\n.h5"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=said) as caught:
        convert.find(path)
    assert str(caught.value).startswith(f"{tmp_path}/weights\\x0a.h5: found ")


def test_folders_pipes_and_missing_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="found a folder, expected a file of weights; for"):
        convert.find(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="found no regular file"):
        convert.find(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        convert.find(tmp_path / "missing")


def test_reading_hdf5_without_h5py_names_the_extra(
    golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'memattn\[convert\]'"):
        convert.find(golden / "keras2.weights.h5")


def test_no_file_descriptor_leaks(golden: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    path.write_bytes((golden / "keras2.weights.h5").read_bytes()[:5000])

    def use() -> None:
        convert.read(golden / "keras2.keras")
        for bad in (path, tmp_path):
            with pytest.raises(FormatError):
                convert.find(bad)

    use()
    before = len(list(Path("/proc/self/fd").iterdir()))
    use()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
