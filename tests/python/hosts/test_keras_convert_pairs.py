"""Files of layers of two inputs, from Keras 2.15 and 3 to memattn and back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn.keras
from memattn import convert
from memattn.keras.host import KERAS_3, keras

from ..pairs import KINDS, inputs, small, with_biases
from .keras_convert_support import MARKS, assert_equal, saved_files
from .keras_support import import_fusionlab

pytestmark = MARKS


def published_classes() -> dict[str, Any]:
    """Returns fusionlab's layers on Keras 2; on Keras 3, which fusionlab lacks, equal classes."""
    if not KERAS_3:
        components = import_fusionlab("fusionlab.nn.components")
        return dict(
            zip(KINDS, (components.CrossAttention, components.HierarchicalAttention), strict=True)
        )

    class CrossAttention(keras.layers.Layer):
        def __init__(self, units: int, num_heads: int) -> None:
            super().__init__()
            self.source1_dense = keras.layers.Dense(units)
            self.source2_dense = keras.layers.Dense(units)
            self.cross_attention = keras.layers.MultiHeadAttention(num_heads, units)

        def call(self, sources: Any) -> Any:
            first, second = self.source1_dense(sources[0]), self.source2_dense(sources[1])
            return self.cross_attention(first, second)

    class HierarchicalAttention(keras.layers.Layer):
        def __init__(self, units: int, num_heads: int) -> None:
            super().__init__()
            self.short_term_dense = keras.layers.Dense(units)
            self.long_term_dense = keras.layers.Dense(units)
            self.short_term_attention = keras.layers.MultiHeadAttention(num_heads, units)
            self.long_term_attention = keras.layers.MultiHeadAttention(num_heads, units)

        def call(self, sources: Any) -> Any:
            short, long = self.short_term_dense(sources[0]), self.long_term_dense(sources[1])
            return self.short_term_attention(short, short) + self.long_term_attention(long, long)

    return {"cross": CrossAttention, "hierarchical": HierarchicalAttention}


OURS = {"cross": memattn.keras.CrossAttention, "hierarchical": memattn.keras.HierarchicalAttention}
CLASSES = pytest.mark.parametrize("classes", [published_classes(), OURS], ids=["published", "ours"])


def model_of(layer_class: Any, kind: str, **options: Any) -> tuple[Any, Any]:
    """Returns a model with one layer of the sizes of `small`, and the layer."""
    layer = layer_class(6, 2, **options)
    first, second = (keras.Input(x.shape[1:]) for x in inputs(kind))
    return keras.Model([first, second], layer([first, second])), layer


@CLASSES
@pytest.mark.parametrize("kind", KINDS)
def test_keras_loads_a_written_file(kind: str, classes: dict[str, Any], tmp_path: Path) -> None:
    ours = with_biases(small(kind))
    convert.write(ours, tmp_path / "layer.weights.h5")
    model, layer = model_of(classes[kind], kind)
    model.load_weights(str(tmp_path / "layer.weights.h5"))
    assert_equal(layer.get_weights(), ours.get_weights())
    first, second = inputs(kind)
    y = np.asarray(model([first, second]))
    assert np.abs(ours(first, second) - y).max() <= 3e-6 * np.abs(y).max()


@CLASSES
@pytest.mark.parametrize("kind", KINDS)
def test_files_that_keras_saved_are_read(
    kind: str, classes: dict[str, Any], tmp_path: Path
) -> None:
    model, layer = model_of(classes[kind], kind)
    rng = np.random.default_rng(0)
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.get_weights()])
    first, second = inputs(kind)
    y = np.asarray(model([first, second]))
    for path in saved_files(model, tmp_path):
        (found,) = convert.find(path)
        assert found.layer == classes[kind].__name__
        read = convert.read(path)
        assert_equal(read.get_weights(), [np.asarray(weight) for weight in layer.get_weights()])
        assert np.abs(read(first, second) - y).max() <= 1e-5 * np.abs(y).max()
        convert.write(layer, tmp_path / "again.npz")
        assert_equal(convert.read(tmp_path / "again.npz").get_weights(), read.get_weights())


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_kept_in_both_directions(kind: str, tmp_path: Path) -> None:
    sizes = {"key_dim": 4, "value_dim": 7, "use_bias": False}
    options = {"dropout": 0.25, "fully_masked": "zero"}
    ours = small(kind, **sizes, **options)
    convert.write(ours, tmp_path / "layer.weights.h5")
    model, layer = model_of(OURS[kind], kind, **sizes, **options)
    model.load_weights(str(tmp_path / "layer.weights.h5"))
    assert_equal(layer.get_weights(), ours.get_weights())
    for path in saved_files(model, tmp_path):
        read = convert.read(path)
        assert_equal(read.get_weights(), ours.get_weights())
        if path.suffix == ".keras":
            config = read.get_config()
            assert {name: config[name] for name in options} == options
    convert.write(layer, tmp_path / "again.safetensors")
    config = convert.read(tmp_path / "again.safetensors").get_config()
    assert config == ours.get_config() | {"seed": 0}
