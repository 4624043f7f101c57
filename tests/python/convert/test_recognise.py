"""Which tensors are a memory layer: spellings, shapes, neighbours, and refused tensors."""

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
    """Returns a function that returns the names of the layers among some arrays."""

    def call(arrays: Mapping[str, np.ndarray]) -> list[str]:
        path = write("model.safetensors", safetensors_bytes(arrays))
        return [found.name for found in convert.find(path)]

    return call


Find = Callable[[Mapping[str, np.ndarray]], list[str]]


@pytest.mark.parametrize(
    "spelling",
    ["{}", "{}_dense", "_{}_dense", "attention.{}", "multi_head_attention_7.{}", "x.{}_dense"],
)
def test_all_spellings_are_found(find: Find, weights: Arrays, spelling: str) -> None:
    renamed = {
        ".".join(["model.layer", spelling.format(role), part]) if part else f"model.layer.{role}": w
        for (role, _, part), w in ((name.partition("."), w) for name, w in weights.items())
    }
    assert find(renamed) == ["model.layer"]


def test_the_output_projection_may_be_called_attention_output(find: Find, weights: Arrays) -> None:
    renamed = {name.replace("output", "attention_output"): w for name, w in weights.items()}
    assert find(renamed) == [""]


def test_an_attention_alone_is_not_a_memory_layer(find: Find, weights: Arrays) -> None:
    del weights["memory"]
    with pytest.raises(
        FormatError, match="found no layer of memattn among 8 arrays, expected query"
    ):
        find(weights)


def test_a_memory_two_groups_above_does_not_belong_to_the_layer(
    find: Find, weights: Arrays
) -> None:
    apart = {f"a.b.{name}" if name != "memory" else name: w for name, w in weights.items()}
    with pytest.raises(FormatError, match="found no layer of memattn"):
        find(apart)


@pytest.mark.parametrize("missing", ["query", "key", "value", "output"])
def test_an_attention_without_a_projection_is_not_a_layer(
    find: Find, weights: Arrays, missing: str
) -> None:
    rest = {name: w for name, w in weights.items() if not name.startswith(missing)}
    with pytest.raises(FormatError, match="found no layer of memattn"):
        find(rest)


@pytest.mark.parametrize("name", MemoryAugmentedAttention(2, 2, 1, seed=0).weights)
def test_shapes_that_do_not_fit_are_refused(find: Find, weights: Arrays, name: str) -> None:
    weights[name] = np.zeros((*weights[name].shape[:-1], 9), np.float32)
    with pytest.raises(FormatError, match=r'layer "": found .* of shape \(.*\), expected'):
        find(weights)


@pytest.mark.parametrize("name", MemoryAugmentedAttention(2, 2, 1, seed=0).weights)
def test_ranks_that_do_not_fit_are_refused(find: Find, weights: Arrays, name: str) -> None:
    weights[name] = weights[name][None]
    with pytest.raises(FormatError, match=rf'layer "": found {name} of shape'):
        find(weights)


def test_an_empty_memory_is_refused(find: Find, weights: Arrays) -> None:
    weights["memory"] = np.zeros((0, 6), np.float32)
    with pytest.raises(FormatError, match="expected 2 sizes of at least 1"):
        find(weights)


def test_some_biases_without_the_others_are_refused(find: Find, weights: Arrays) -> None:
    del weights["value.bias"]
    with pytest.raises(
        FormatError, match=r"found biases query\.bias, key\.bias, output\.bias only"
    ):
        find(weights)


def test_weights_of_mixed_types_are_read_in_the_widest(write: Write, weights: Arrays) -> None:
    weights["key.kernel"] = weights["key.kernel"].astype(np.float64)
    weights["value.kernel"] = weights["value.kernel"].astype(np.float16)
    path = write("a", safetensors_bytes(weights))
    assert convert.find(path)[0].dtype == convert.read(path).dtype == "float64"


def test_integer_kernels_are_refused_as_quantised(find: Find, weights: Arrays) -> None:
    weights["query.kernel"] = weights["query.kernel"].astype(np.int8)
    with pytest.raises(FormatError, match=r"quantised query .*: save the model before it is"):
        find(weights)


def test_lora_factors_are_refused(find: Find, weights: Arrays) -> None:
    weights["query.lora_kernel_a"] = np.zeros((6, 2, 1), np.float32)
    with pytest.raises(FormatError, match=r"LoRA factors .*lora_kernel_a.*: merge the factors"):
        find(weights)
    del weights["memory"]
    with pytest.raises(FormatError, match=r"no layer of memattn.*LoRA factors have to be merged"):
        find(weights)


def test_two_query_projections_are_refused(find: Find, weights: Arrays) -> None:
    weights["query_dense.kernel"] = weights["query.kernel"] + 1
    with pytest.raises(FormatError, match="a second query projection beside another"):
        find(weights)


def test_optimizer_copies_of_weights_are_not_layers(find: Find, weights: Arrays) -> None:
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


def test_the_memory_is_found_beside_other_variables(
    keras_file: Path, layer: MemoryAugmentedAttention
) -> None:
    with h5py.File(keras_file, "r+") as file:
        file[f"{LAYER}/vars/1"] = np.zeros((5,), np.float32)
        file[f"{LAYER}/vars/2"] = np.zeros((5, 7), np.float32)  # of another width
    np.testing.assert_array_equal(
        convert.read(keras_file).weights["memory"], layer.weights["memory"]
    )


def test_an_ambiguous_memory_is_refused(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file[f"{LAYER}/vars/1"] = np.zeros((9, 6), np.float32)
    with pytest.raises(FormatError, match=r"2 variables that may be the memory: .*vars/0.*vars/1"):
        convert.find(keras_file)


def test_a_misfitting_block_is_skipped_beside_a_layer_else_refused(keras_file: Path) -> None:
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


def test_quantised_keras_kernels_are_refused(keras_file: Path) -> None:
    # The third variable is a scale, as Keras stores it for 4 and for 8 bits.
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


def test_layers_with_equal_names_are_named_after_their_first_weight(keras_file: Path) -> None:
    with h5py.File(keras_file, "r+") as file:
        file.copy(file[LAYER], f"{LAYER}_1")  # the copy contains the same name
    names = [found.name for found in convert.find(keras_file)]
    assert names == [f"{LAYER}/vars/0", f"{LAYER}_1/vars/0"]
    assert convert.read(keras_file, names[1]).count_params() > 0
