"""Files of layers of two inputs: from Keras, from memattn in every format, and invalid ones."""

import contextlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

import memattn
from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.convert import FoundLayer
from memattn.errors import DataError

from ..pairs import CLASSES, FOLDER, KINDS, PairLayer, both, small, with_biases
from .support import safetensors_bytes, zip_bytes

Write = Callable[[str, bytes], Path]

SIBLINGS = FOLDER / "siblings"
ENDINGS = (".keras", ".weights.h5", "_legacy.h5")
FORMATS = ("safetensors", "weights.h5", "npz", "pt", "pth")
NAMES = {"cross": "cross_attention", "hierarchical": "hierarchical_attention"}


def odd(kind: str, **options: Any) -> PairLayer:
    """Returns a layer whose sizes all differ, so that a transposed array has the wrong shape."""
    return with_biases(
        small(kind, key_dim=4, value_dim=7, dropout=0.25, fully_masked="uniform", **options)
    )


def assert_same(found: object, expected: PairLayer) -> None:
    assert type(found) is type(expected)
    assert found.get_config() == expected.get_config()
    for name, weight in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], weight, strict=True)


@pytest.mark.parametrize("ending", ENDINGS)
@both
def test_keras_files_are_found_and_read(kind: str, ending: str) -> None:
    path = SIBLINGS / f"keras2_{kind}{ending}"
    expected = load_file(SIBLINGS / f"keras2_{kind}_expected.safetensors")
    class_name = CLASSES[kind].__name__
    assert convert.find(path) == [
        FoundLayer(
            name=NAMES[kind],
            units=6,
            memory_size=None,
            num_heads=2,
            key_dim=6,
            value_dim=6,
            use_bias=True,
            dtype="float32",
            class_name=None if ending == ".weights.h5" else class_name,
            layer=class_name,
            source_units=(5, 3),
        )
    ]
    layer = convert.read(path)
    assert isinstance(layer, CLASSES[kind])
    assert set(layer.weights) == set(expected) - {"x1", "x2", "y"}
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(weight, expected[name])
    y = layer(expected["x1"], expected["x2"])
    assert np.abs(y - expected["y"]).max() <= 3e-6 * np.abs(expected["y"]).max()
    assert layer.get_config()["fully_masked"] == "uniform"


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "dtype": "float64", "seed": 2**63}])
@pytest.mark.parametrize("format", FORMATS)
@both
def test_every_format_keeps_config_and_weights(
    tmp_path: Path, kind: str, format: str, options: dict[str, Any]
) -> None:
    layer = odd(kind, **options)
    convert.write(layer, tmp_path / f"a.{format}")
    assert_same(convert.read(tmp_path / f"a.{format}"), layer)
    convert.write(convert.read(tmp_path / f"a.{format}"), tmp_path / "b.safetensors")
    assert_same(memattn.load(tmp_path / "b.safetensors"), layer)
    if format != "safetensors":
        convert.write(layer, tmp_path / f"c.{format}")
        assert (tmp_path / f"a.{format}").read_bytes() == (tmp_path / f"c.{format}").read_bytes()


@pytest.mark.parametrize("use_bias", [True, False])
@both
def test_numbered_arrays_of_get_weights_are_read(tmp_path: Path, kind: str, use_bias: bool) -> None:
    layer = odd(kind, use_bias=use_bias)
    np.savez(tmp_path / "a.npz", *layer.get_weights())
    for name, weight in convert.read(tmp_path / "a.npz").weights.items():
        np.testing.assert_array_equal(weight, layer.weights[name])


# --- names ----------------------------------------------------------------------------------------


def renamed(layer: PairLayer, names: dict[str, str], prefix: str = "model.") -> bytes:
    """Returns a safetensors file of a layer, with its groups renamed by `names`."""
    arrays = {}
    for name, weight in layer.weights.items():
        parts = name.rpartition(".")
        arrays[f"{prefix}{names.get(parts[0], parts[0])}.{parts[2]}"] = weight
    return safetensors_bytes(arrays)


CROSS_SPELLINGS = ("source1", "source1_dense", "_source1_dense")


@pytest.mark.parametrize("dense", CROSS_SPELLINGS)
@pytest.mark.parametrize("projection", ["{}", "attention.{}_dense", "anything._{}_dense"])
def test_all_spellings_of_cross_attention_are_found(
    write: Write, dense: str, projection: str
) -> None:
    layer = odd("cross")
    names = {"source1": dense, "source2": dense.replace("1", "2")}
    names |= {role: projection.format(role) for role in ("query", "key", "value", "output")}
    path = write("a", renamed(layer, names))
    assert [found.name for found in convert.find(path)] == ["model"]
    np.testing.assert_array_equal(
        convert.read(path).weights["source2.kernel"], layer.weights["source2.kernel"]
    )


@pytest.mark.parametrize("dense", ["{}.dense", "{}_term_dense", "{}_dense", "_{}_dense"])
@pytest.mark.parametrize("attention", ["{}", "{}_term_attention", "{}_attention"])
def test_all_spellings_of_hierarchical_attention_are_found(
    write: Write, dense: str, attention: str
) -> None:
    if "." in dense and attention != "{}":
        attention = "{}"
    layer = odd("hierarchical")
    names = {}
    for side in ("short", "long"):
        names[f"{side}.dense"] = dense.format(side)
        for role in ("query", "key", "value", "output"):
            names[f"{side}.{role}"] = f"{attention.format(side)}.{role}"
    path = write("a", renamed(layer, names, "encoder.block/1."))
    assert [found.name for found in convert.find(path)] == ["encoder.block/1"]
    for name, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, layer.weights[name])


def legacy(tmp_path: Path, kind: str, denses: tuple[str, str], attentions: list[str]) -> Path:
    """Writes an older HDF5 weight file, in which Keras numbered the parts of the layer."""
    layer, name = odd(kind), NAMES[kind]
    path = tmp_path / "legacy.h5"
    groups = {"source1": denses[0], "source2": denses[1]}
    groups |= {"short.dense": denses[0], "long.dense": denses[1]}
    prefixes = [""] if kind == "cross" else ["short.", "long."]
    for prefix, attention in zip(prefixes, attentions, strict=True):
        for role in ("query", "key", "value"):
            groups[f"{prefix}{role}"] = f"{attention}/{role}"
        groups[f"{prefix}output"] = f"{attention}/attention_output"
    with h5py.File(path, "w") as file:
        for weight, values in layer.weights.items():
            group, _, part = weight.rpartition(".")
            file[f"{name}/xtft/{name}/{groups[group]}/{part}:0"] = values
    return path


@pytest.mark.parametrize("denses", [("dense", "dense_1"), ("dense_9", "dense_10")])
@both
def test_numbered_parts_of_older_files_are_found_in_order(
    tmp_path: Path, kind: str, denses: tuple[str, str]
) -> None:
    attentions = ["multi_head_attention_9", "multi_head_attention_10"]
    path = legacy(tmp_path, kind, denses, attentions[: 1 if kind == "cross" else 2])
    assert [found.name for found in convert.find(path)] == [f"xtft/{NAMES[kind]}"]
    expected = odd(kind).weights
    for name, weight in convert.read(path).weights.items():
        np.testing.assert_array_equal(weight, expected[name])


def test_separate_layers_of_a_model_are_not_one_layer(tmp_path: Path) -> None:
    # A model with an attention beside two Dense layers, which may be connected in any way.
    path = tmp_path / "model.weights.h5"
    convert.write(odd("cross"), path)
    with h5py.File(path, "r+") as file:
        layer = file["layers/cross_attention"]
        for old, new in (("source1_dense", "dense"), ("source2_dense", "dense_1")):
            layer.move(old, new)
        for name in ("dense", "dense_1"):
            file.move(f"layers/cross_attention/{name}", f"layers/{name}")
        file.move("layers/cross_attention/cross_attention", "layers/multi_head_attention")
        del file["layers/cross_attention"]
    with pytest.raises(FormatError, match="no layer of memattn among"):
        convert.find(path)


# --- several layers -------------------------------------------------------------------------------


@pytest.fixture
def model(write: Write) -> Path:
    """The path of a file with all three layers of an XTFT and a second cross attention."""
    layers: dict[str, Any] = {
        "memory": MemoryAugmentedAttention(6, 5, 2, seed=0),
        "cross": odd("cross"),
        "hier": odd("hierarchical"),
        "decoder.cross": small("cross", seed=7),
    }
    arrays = {
        f"{name}.{weight}": values
        for name, layer in layers.items()
        for weight, values in layer.weights.items()
    }
    return write("model.safetensors", safetensors_bytes(arrays))


def test_all_three_kinds_are_found_in_one_file(model: Path) -> None:
    found = convert.find(model)
    assert {layer.name: layer.layer for layer in found} == {
        "memory": "MemoryAugmentedAttention",
        "cross": "CrossAttention",
        "hier": "HierarchicalAttention",
        "decoder.cross": "CrossAttention",
    }
    assert_weights = np.testing.assert_array_equal
    for name, weight in convert.read(model, "hier").weights.items():
        assert_weights(weight, odd("hierarchical").weights[name])
    assert_weights(
        convert.read(model, "decoder.cross").weights["query.kernel"],
        small("cross", seed=7).weights["query.kernel"],
    )


def test_reading_one_of_several_layers_needs_its_name(model: Path) -> None:
    with pytest.raises(DataError) as caught:
        convert.read(model)
    assert str(caught.value) == (
        f'{model}: found 4 layers; pass layer= with one of "memory" (5 slots of 6 units), '
        '"cross" (CrossAttention of 6 units, inputs 5 and 3 wide), '
        '"hier" (HierarchicalAttention of 6 units, inputs 5 and 3 wide), '
        '"decoder.cross" (CrossAttention of 6 units, inputs 5 and 3 wide)'
    )


def test_a_class_name_selects_its_only_layer(model: Path) -> None:
    assert type(convert.read(model, "MemoryAugmentedAttention")).__name__ == (
        "MemoryAugmentedAttention"
    )
    assert type(convert.read(model, "HierarchicalAttention")).__name__ == "HierarchicalAttention"
    with pytest.raises(DataError, match='found 2 layers named "CrossAttention"; pass layer='):
        convert.read(model, "CrossAttention")


# --- refused files --------------------------------------------------------------------------------


@both
def test_shapes_that_do_not_fit_are_refused(write: Write, kind: str) -> None:
    weights = dict(odd(kind).weights)
    for name, weight in weights.items():
        for wrong in (np.zeros((*weight.shape[:-1], 9), np.float32), weight[None]):
            path = write("a", safetensors_bytes({**weights, name: wrong}))
            with pytest.raises(FormatError, match=r'layer "": found .* of shape \(.*\), expected'):
                convert.find(path)


@both
def test_missing_weights_are_refused(write: Write, kind: str) -> None:
    weights = dict(odd(kind).weights)
    for name in weights:
        path = write("a", safetensors_bytes({n: w for n, w in weights.items() if n != name}))
        with pytest.raises(FormatError):
            convert.find(path)


@both
def test_quantised_and_lora_kernels_are_refused(write: Write, kind: str) -> None:
    weights = dict(odd(kind).weights)
    for name in (n for n in weights if n.endswith("kernel")):
        path = write("a", safetensors_bytes({**weights, name: weights[name].astype(np.int8)}))
        with pytest.raises(FormatError, match=r"a quantised .*: save the model before it is"):
            convert.find(path)
        lora = name.replace("kernel", "lora_kernel_a")
        path = write("a", safetensors_bytes({**weights, lora: np.zeros((2, 2), np.float32)}))
        with pytest.raises(FormatError, match=r"LoRA factors .*lora_kernel_a.*: merge the factors"):
            convert.find(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": 7}, 'units "7", expected 6 as in the weights'),
        ({"num_heads": 3}, "num_heads"),
        ({"source1_units": 4, "short_units": 4}, 'units "4", expected 5 as in the weights'),
        ({"dropout": 1.5}, "dropout"),
        ({"fully_masked": "never"}, "fully_masked"),
    ],
)
@both
def test_a_config_that_contradicts_the_weights_is_refused(
    write: Write, kind: str, change: dict, said: str
) -> None:
    with zipfile.ZipFile(SIBLINGS / f"keras2_{kind}.keras") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    config = json.loads(members["config.json"])
    (layer,) = (one for one in config["config"]["layers"] if one["name"] == NAMES[kind])
    layer["config"] |= change
    data = zip_bytes(members | {"config.json": json.dumps(config).encode()})
    with pytest.raises(FormatError, match=said):
        convert.read(write("a.keras", data))


@both
def test_options_come_from_the_config(write: Write, kind: str) -> None:
    with zipfile.ZipFile(SIBLINGS / f"keras2_{kind}.keras") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    text = members["config.json"].decode()
    named = f'"name": "{NAMES[kind]}", "trainable": true'
    text = text.replace(named, f'{named}, "dropout": 0.5, "fully_masked": "zero"')
    path = write("a.keras", zip_bytes(members | {"config.json": text.encode()}))
    config = convert.read(path).get_config()
    assert (config["dropout"], config["fully_masked"]) == (0.5, "zero")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_or_read(write: Write, kind: str, ending: str) -> None:
    """A damaged file is refused or read as a layer; it causes no other error."""
    whole = (SIBLINGS / f"keras2_{kind}{ending}").read_bytes()
    rng = np.random.default_rng(0)
    for turn in range(8):
        data = bytearray(whole[: rng.integers(len(whole))] if turn < 3 else whole)
        for place in rng.integers(0, len(data), 0 if turn < 3 else 3):
            data[place] ^= 1 << rng.integers(8)
        path = write("a", bytes(data))
        with contextlib.suppress(FormatError, DataError):
            convert.read(path)
