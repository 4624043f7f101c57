"""Which tensors are a memory layer: spellings, shapes, what stands beside it, what is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert

from .support import safetensors_bytes

Write = Callable[[str, bytes], Path]
Arrays = dict[str, np.ndarray]


@pytest.fixture
def weights(layer: MemoryAugmentedAttention) -> Arrays:
    return dict(layer.weights)


@pytest.fixture
def find(write: Write) -> Callable[[Mapping[str, np.ndarray]], list[str]]:
    """The names of the layers among some arrays."""

    def call(arrays: Mapping[str, np.ndarray]) -> list[str]:
        path = write("model.safetensors", safetensors_bytes(arrays))
        return [found.name for found in convert.find(path)]

    return call


Find = Callable[[Mapping[str, np.ndarray]], list[str]]


@pytest.mark.parametrize(
    "spelling",
    ["{}", "{}_dense", "_{}_dense", "attention.{}", "multi_head_attention_7.{}", "x.{}_dense"],
)
def test_spellings(find: Find, weights: Arrays, spelling: str) -> None:
    renamed = {
        ".".join(["model.layer", spelling.format(role), part]) if part else f"model.layer.{role}": w
        for (role, _, part), w in ((name.partition("."), w) for name, w in weights.items())
    }
    assert find(renamed) == ["model.layer"]


def test_attention_output_as_keras_says(find: Find, weights: Arrays) -> None:
    renamed = {name.replace("output", "attention_output"): w for name, w in weights.items()}
    assert find(renamed) == [""]


def test_an_attention_alone_is_no_memory_layer(find: Find, weights: Arrays) -> None:
    del weights["memory"]
    with pytest.raises(
        FormatError, match="found no layer of memattn among 8 arrays, expected query"
    ):
        find(weights)


def test_a_memory_two_groups_above_is_another(find: Find, weights: Arrays) -> None:
    apart = {f"a.b.{name}" if name != "memory" else name: w for name, w in weights.items()}
    with pytest.raises(FormatError, match="found no layer of memattn"):
        find(apart)


@pytest.mark.parametrize("missing", ["query", "key", "value", "output"])
def test_a_projection_missing(find: Find, weights: Arrays, missing: str) -> None:
    rest = {name: w for name, w in weights.items() if not name.startswith(missing)}
    with pytest.raises(FormatError, match="found no layer of memattn"):
        find(rest)


@pytest.mark.parametrize("name", MemoryAugmentedAttention(2, 2, 1, seed=0).weights)
def test_shapes_that_do_not_fit(find: Find, weights: Arrays, name: str) -> None:
    weights[name] = np.zeros((*weights[name].shape[:-1], 9), np.float32)
    with pytest.raises(FormatError, match=r'layer "": found .* of shape \(.*\), expected'):
        find(weights)


@pytest.mark.parametrize("name", MemoryAugmentedAttention(2, 2, 1, seed=0).weights)
def test_ranks_that_do_not_fit(find: Find, weights: Arrays, name: str) -> None:
    weights[name] = weights[name][None]
    with pytest.raises(FormatError, match=rf'layer "": found {name} of shape'):
        find(weights)


def test_empty_arrays(find: Find, weights: Arrays) -> None:
    weights["memory"] = np.zeros((0, 6), np.float32)
    with pytest.raises(FormatError, match="expected 2 sizes of at least 1"):
        find(weights)


def test_some_biases(find: Find, weights: Arrays) -> None:
    del weights["value.bias"]
    with pytest.raises(
        FormatError, match=r"found biases query\.bias, key\.bias, output\.bias only"
    ):
        find(weights)


def test_mixed_types_become_the_widest(write: Write, weights: Arrays) -> None:
    weights["key.kernel"] = weights["key.kernel"].astype(np.float64)
    weights["value.kernel"] = weights["value.kernel"].astype(np.float16)
    path = write("a", safetensors_bytes(weights))
    assert convert.find(path)[0].dtype == convert.read(path).dtype == "float64"


def test_integers_are_quantised(find: Find, weights: Arrays) -> None:
    weights["query.kernel"] = weights["query.kernel"].astype(np.int8)
    with pytest.raises(FormatError, match=r"quantised query .*: save the model before it is"):
        find(weights)


def test_lora(find: Find, weights: Arrays) -> None:
    weights["query.lora_kernel_a"] = np.zeros((6, 2, 1), np.float32)
    with pytest.raises(FormatError, match=r"LoRA factors .*lora_kernel_a.*: merge the factors"):
        find(weights)
    del weights["memory"]
    with pytest.raises(FormatError, match=r"no layer of memattn.*LoRA factors have to be merged"):
        find(weights)


def test_two_of_one_role(find: Find, weights: Arrays) -> None:
    weights["query_dense.kernel"] = weights["query.kernel"] + 1
    with pytest.raises(FormatError, match="a second query projection beside another"):
        find(weights)


def test_copies_of_an_optimizer_are_no_layers(find: Find, weights: Arrays) -> None:
    copies = {
        f"{prefix}{name}": w
        for prefix in ("model.", "optimizer.exp_avg.", "optimizer_weights.m.")
        for name, w in weights.items()
    }
    assert find(copies) == ["model"]


# --- numbered variables, as Keras 3 writes them -------------------------------------------------


@pytest.fixture
def keras_file(tmp_path: Path, layer: MemoryAugmentedAttention) -> Path:
    path = tmp_path / "layer.weights.h5"
    convert.write(layer, path)
    with h5py.File(path, "r+") as file:
        del file.attrs["memattn_config"]
    return path


LAYER = "layers/memory_augmented_attention"


def test_a_block_with_other_variables(keras_file: Path, layer: MemoryAugmentedAttention) -> None:
    with h5py.File(keras_file, "r+") as file:
        file[f"{LAYER}/vars/1"] = np.zeros((5,), np.float32)
        file[f"{LAYER}/vars/2"] = np.zeros((5, 7), np.float32)  # of another width
    np.testing.assert_array_equal(
        convert.read(keras_file).weights["memory"], layer.weights["memory"]
    )


def test_two_variables_that_may_be_the_memory(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file[f"{LAYER}/vars/1"] = np.zeros((9, 6), np.float32)
    with pytest.raises(FormatError, match=r"2 variables that may be the memory: .*vars/0.*vars/1"):
        convert.find(keras_file)


def test_a_block_of_another_structure_is_passed_over(keras_file: Path) -> None:
    kernel = "attention/query_dense/vars/0"
    with h5py.File(keras_file, "r+") as file:
        file.copy(file[LAYER], "layers/block")
        del file[f"layers/block/{kernel}"]
        file[f"layers/block/{kernel}"] = np.zeros((8, 2, 3), np.float32)
    assert [found.name for found in convert.find(keras_file)] == ["memory_augmented_attention"]
    with h5py.File(keras_file, "r+") as file:
        del file[LAYER]
    with pytest.raises(FormatError, match=r"found query\.kernel of shape \(8, 2, 3\), expected"):
        convert.find(keras_file)


def test_quantised_kernels(keras_file: Path) -> None:
    # As Keras packs them for 4 bits, or with a scale for 8.
    with h5py.File(keras_file, "r+") as file:
        name = f"{LAYER}/attention/query_dense/vars"
        file[f"{name}/2"] = np.zeros((1, 6), np.float32)
    with pytest.raises(FormatError, match=r"a quantised query projection \(float32, 3 variables"):
        convert.find(keras_file)
    with h5py.File(keras_file, "r+") as file:
        del file[f"{name}/0"]
        file[f"{name}/0"] = np.zeros((6, 3), np.int8)
    with pytest.raises(FormatError, match=r"a quantised query projection \(int8, 3 variables"):
        convert.find(keras_file)


def test_layers_of_one_name(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file.copy(file[LAYER], f"{LAYER}_1")  # the name is noted inside
    names = [found.name for found in convert.find(keras_file)]
    assert names == [f"{LAYER}/vars/0", f"{LAYER}_1/vars/0"]
    assert convert.read(keras_file, names[1]).count_params() > 0
