"""Keras 2.15 and 3 load memattn's weight files, and memattn reads Keras' files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn.keras
from memattn import MemoryAugmentedAttention, convert
from memattn.keras.host import KERAS_3, keras

from .keras_convert_support import (
    HEADS,
    MARKS,
    PUBLISHED,
    SLOTS,
    UNITS,
    assert_equal,
    models,
    randomised,
    saved_files,
)

pytestmark = MARKS

CLASSES = pytest.mark.parametrize(
    "layer_class", [PUBLISHED, memattn.keras.MemoryAugmentedAttention], ids=["published", "ours"]
)


@CLASSES
def test_keras_loads_a_written_file(layer_class: Any, tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(UNITS, SLOTS, HEADS, seed=1)
    convert.write(layer, tmp_path / "layer.weights.h5")
    for model, inside in models(layer_class):
        model.load_weights(str(tmp_path / "layer.weights.h5"))
        assert_equal(inside.get_weights(), layer.get_weights())


def test_keras_loads_a_written_file_without_biases(tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(UNITS, SLOTS, HEADS, use_bias=False, key_dim=3, seed=1)
    convert.write(layer, tmp_path / "layer.weights.h5")
    for model, inside in models(memattn.keras.MemoryAugmentedAttention, use_bias=False, key_dim=3):
        model.load_weights(str(tmp_path / "layer.weights.h5"))
        assert_equal(inside.get_weights(), layer.get_weights())


@CLASSES
@pytest.mark.parametrize("which", [0, 1], ids=["functional", "sequential"])
def test_files_that_keras_saved_are_read(layer_class: Any, which: int, tmp_path: Path) -> None:
    model, layer = models(layer_class)[which]
    weights = randomised(layer)
    x = np.random.default_rng(1).standard_normal((3, 4, UNITS)).astype(np.float32)
    y = np.asarray(model(x))
    for path in saved_files(model, tmp_path):
        found = convert.find(path)
        assert len(found) == 1
        read = convert.read(path)
        assert_equal(read.get_weights(), weights)
        assert np.abs(read(x) - y).max() <= 3e-6 * np.abs(y).max()
        if path.suffix == ".keras":
            assert found[0].name == layer.name


def test_a_keras_layer_is_written_with_its_options(tmp_path: Path) -> None:
    _, layer = models(memattn.keras.MemoryAugmentedAttention, dropout=0.25)[0]
    weights = randomised(layer)
    convert.write(layer, tmp_path / "layer.safetensors")
    read = convert.read(tmp_path / "layer.safetensors")
    assert_equal(read.get_weights(), weights)
    assert read.get_config()["dropout"] == 0.25
    assert read.get_config()["fully_masked"] == layer.fully_masked


# Keras 2 does not save bfloat16 in a way that it could load itself.
@pytest.mark.parametrize("dtype", ["float16", "float64", *["bfloat16"] * KERAS_3])
def test_other_float_types_are_read(dtype: str, tmp_path: Path) -> None:
    model, layer = models(memattn.keras.MemoryAugmentedAttention, dtype=dtype)[0]
    randomised(layer)
    model.save(str(tmp_path / "model.keras"))
    assert convert.find(tmp_path / "model.keras")[0].dtype == dtype
    read = convert.read(tmp_path / "model.keras")
    for one, other in zip(read.get_weights(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, np.asarray(other).astype(read.dtype))


def test_layers_are_found_in_nested_models_with_an_optimizer(tmp_path: Path) -> None:
    inner = keras.Sequential([keras.Input((None, UNITS)), PUBLISHED(UNITS, SLOTS, HEADS)])
    x = keras.Input((None, UNITS))
    outer = PUBLISHED(UNITS, SLOTS + 1, HEADS)
    model = keras.Model(x, outer(keras.layers.Dense(UNITS)(inner(x))))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    for path in saved_files(model, tmp_path):
        sizes = {found.memory_size: found.name for found in convert.find(path)}
        assert sorted(sizes) == [SLOTS, SLOTS + 1]
        assert_equal(convert.read(path, sizes[SLOTS]).get_weights(), inner.layers[-1].get_weights())
        assert_equal(convert.read(path, sizes[SLOTS + 1]).get_weights(), outer.get_weights())
