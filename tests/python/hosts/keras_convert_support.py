"""Shared by tests of Keras' files: the published layer, models with it, and their files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn.keras.host import KERAS_3, keras, ops

from .keras_support import WARNINGS_OF_KERAS, import_fusionlab

# Keras warns that HDF5 is a legacy format for a whole model.
MARKS = [*WARNINGS_OF_KERAS, pytest.mark.filterwarnings("ignore:You are saving your model as")]
UNITS, SLOTS, HEADS = 6, 5, 2


def published_class() -> Any:
    """Returns fusionlab's layer on Keras 2; on Keras 3, which fusionlab lacks, an equal class."""
    if not KERAS_3:
        return import_fusionlab("fusionlab.nn.components").MemoryAugmentedAttention

    class MemoryAugmentedAttention(keras.layers.Layer):
        def __init__(self, units: int, memory_size: int, num_heads: int, **options: Any) -> None:
            super().__init__(**options)
            self.units, self.memory_size, self.num_heads = units, memory_size, num_heads
            self.attention = keras.layers.MultiHeadAttention(num_heads, units)

        def build(self, _: Any) -> None:
            shape = (self.memory_size, self.units)
            self.memory = self.add_weight(shape=shape, initializer="zeros", name="memory")
            self.attention.build((None, None, self.units), (None, *shape), (None, *shape))

        def call(self, x: Any) -> Any:
            memory = ops.tile(self.memory[None], (ops.shape(x)[0], 1, 1))
            memory = ops.cast(memory, x.dtype)
            return x + self.attention(x, memory, memory)

        def get_config(self) -> dict[str, Any]:
            sizes = ("units", "memory_size", "num_heads")
            return {**super().get_config(), **{name: getattr(self, name) for name in sizes}}

    return MemoryAugmentedAttention


PUBLISHED = published_class()


def models(layer_class: Any, **options: Any) -> list[tuple[Any, Any]]:
    """Returns a functional and a sequential model with one layer, each with its layer."""
    first, second = (layer_class(UNITS, SLOTS, HEADS, **options) for _ in range(2))
    x = keras.Input((None, UNITS))
    return [
        (keras.Model(x, first(x)), first),
        (keras.Sequential([keras.Input((None, UNITS)), second]), second),
    ]


def randomised(layer: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.get_weights()])
    return [np.asarray(weight) for weight in layer.get_weights()]


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def saved_files(model: Any, folder: Path) -> list[Path]:
    """Saves the model in every format that this Keras writes, and returns the paths."""
    paths = [folder / name for name in ("model.keras", "model.weights.h5", "model.h5")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.save(str(paths[0]))
        model.save_weights(str(paths[1]))
        model.save(str(paths[2]))
        if not KERAS_3:
            model.save_weights(str(folder / "weights.h5"), save_format="h5")
            paths.append(folder / "weights.h5")
    return paths
