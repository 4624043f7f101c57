"""Keras' files of models with the memory layer, and files of the published layer."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from memattn.keras import MemoryAugmentedAttention, published_as_ours
from memattn.keras.host import KERAS_3, keras

from .keras_support import NAMES, WARNINGS_OF_KERAS, agree, numpy, tensor, tokens

pytestmark = WARNINGS_OF_KERAS
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "keras"
X = tokens(4, 5, 7)


def model_of(**options: Any) -> Any:
    """Returns a model with two memory layers between Keras layers."""
    inputs = keras.Input((5, 7))
    hidden = keras.layers.Dense(12)(inputs)
    hidden = MemoryAugmentedAttention(12, 6, 3, name="first", **options)(hidden)
    hidden = MemoryAugmentedAttention(12, 4, 2, name="second", memory_initializer="he_normal")(
        hidden, use_causal_mask=True
    )
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


def predict(model: Any) -> np.ndarray:
    """Returns the output of an eager call; ``predict`` would trace a graph."""
    return numpy(model(tensor(X)))


def without_advice(action: Callable[[], Any]) -> Any:
    """Runs an action without Keras' warnings, such as those about its old formats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return action()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_model_file_restores_the_model(tmp_path: Path, name: str) -> None:
    model = model_of(key_dim=3, use_bias=False, dropout=0.2, kernel_regularizer="l2", seed=5)
    trained = name == "model.keras"  # Keras 3 cannot train a model from its old format
    if trained:
        model.compile("adam", keras.losses.MeanSquaredError())
        model.fit(X, X[..., :2], verbose=0)
    without_advice(lambda: model.save(tmp_path / name))
    other = keras.models.load_model(tmp_path / name)
    assert type(other.get_layer("first")) is MemoryAugmentedAttention
    assert other.get_layer("first").get_config() == model.get_layer("first").get_config()
    assert (predict(other) == predict(model)).all()
    if trained:
        other.fit(X, X[..., :2], verbose=0)


@pytest.mark.parametrize("name", ["model.weights.h5", "weights.h5"])
def test_a_weight_file_restores_the_weights(tmp_path: Path, name: str) -> None:
    model, other = model_of(), model_of()
    assert (predict(other) != predict(model)).any()
    path = tmp_path / name
    if name == "weights.h5" and KERAS_3:  # Keras 3 writes one format of weights, but reads both
        with pytest.raises(ValueError, match="must end in"):
            model.save_weights(path)
        return
    model.save_weights(path)
    other.load_weights(path)
    assert (predict(other) == predict(model)).all()


def test_saved_models_give_the_same_output(tmp_path: Path) -> None:
    model = model_of(dropout=0.1)
    without_advice(lambda: model.export(tmp_path / "exported"))
    served = tf.saved_model.load(tmp_path / "exported")
    assert agree(numpy(served.serve(tensor(X))), predict(model), 1e-6)
    if not KERAS_3:
        without_advice(lambda: model.save(tmp_path / "kept", save_format="tf"))
        assert agree(predict(keras.models.load_model(tmp_path / "kept")), predict(model), 1e-6)


def test_a_layer_in_a_tf_module_is_saved_and_loaded(tmp_path: Path) -> None:
    class Module(tf.Module):
        def __init__(self) -> None:
            self.layer = MemoryAugmentedAttention(12, 6, 3)
            self.layer.build((None, None, 12))

        @tf.function(
            input_signature=[tf.TensorSpec((None, None, 12)), tf.TensorSpec((None, 6), tf.bool)]
        )
        def read(self, x: Any, slots: Any) -> Any:
            return self.layer(x, value_mask=slots, return_attention_scores=True)

    module = Module()
    tf.saved_model.save(module, tmp_path / "module")
    x, slots = tensor(tokens(3, 2, 12)), tensor(np.arange(18).reshape(3, 6) % 4 > 0)
    loaded = tf.saved_model.load(tmp_path / "module")
    for found, expected in zip(loaded.read(x, slots), module.read(x, slots), strict=True):
        assert agree(numpy(found), numpy(expected), 1e-6)


def test_a_subclassed_model_is_saved_and_loaded(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("tests")
    class Stack(keras.Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.readers = [MemoryAugmentedAttention(7, 4, 2) for _ in range(2)]

        def call(self, x: Any) -> Any:
            for reader in self.readers:
                x = reader(x)
            return x

    model = Stack()
    before = predict(model)
    model.save(tmp_path / "model.keras")
    assert (predict(keras.models.load_model(tmp_path / "model.keras")) == before).all()


# --- Files of the published layer, by tests/golden/generate_keras_files.py ----------------------

KERAS = "keras3" if KERAS_3 else "keras2"
LAYERS = {
    "keras2": {"memory_augmented_attention": (12, 6, 3)},
    "keras3": {"first": (10, 9, 2), "second": (10, 12, 2)},
}


def check(model: Any, writer: str) -> None:
    """Compares the weights and the results with those of the published layers."""
    arrays = load_file(GOLDEN / f"{writer}_expected.safetensors")
    for name in LAYERS[writer]:
        layer, prefix = model.get_layer(name), f"{name}." if writer == "keras3" else ""
        assert type(layer) is MemoryAugmentedAttention
        for weight, found in zip(NAMES, layer.get_weights(), strict=True):
            assert (found == arrays[prefix + weight]).all()
        assert agree(numpy(layer(tensor(arrays["x"]))), arrays[prefix + "y"], 3e-6)


@pytest.mark.parametrize("name", [f"{KERAS}.keras", f"{KERAS}_legacy.h5"])
def test_published_models_load_as_ours(name: str) -> None:
    # The port to Keras 3 has num_heads in its config, the published layer does not.
    with published_as_ours(num_heads=None if KERAS_3 else 3):
        model = keras.models.load_model(GOLDEN / name, compile=False)
    check(model, KERAS)
    for layer_name in LAYERS[KERAS]:
        assert model.get_layer(layer_name).fully_masked == "uniform"


def test_a_file_without_num_heads_needs_the_argument() -> None:
    name = "fusionlab.nn.components>MemoryAugmentedAttention"
    before = keras.saving.get_registered_object(name)
    if not KERAS_3:
        with (
            published_as_ours(),
            pytest.raises(ValueError, match="memory_augmented_attention: the file lacks num_heads"),
        ):
            keras.models.load_model(GOLDEN / "keras2.keras", compile=False)
    with published_as_ours(num_heads=5):
        cls = keras.saving.get_registered_object(name)
        layer = cls.from_config({"units": 12, "memory_size": 6, "num_heads": 3, "dtype": "float64"})
    assert (layer.num_heads, layer.dtype) == (3, "float64")  # the file's own value is used
    assert keras.saving.get_registered_object(name) is before


# Keras 3 reads the old format of Keras 2, but not its `.weights.h5`.
@pytest.mark.parametrize("name", [f"{KERAS}.weights.h5", "keras2_legacy_weights.h5"])
def test_published_weights_load_into_our_layers(name: str) -> None:
    layers = LAYERS[name[:6]]
    inputs = keras.Input((5, 7))
    hidden = keras.layers.Dense(next(iter(layers.values()))[0])(inputs)
    for layer_name, sizes in layers.items():
        hidden = MemoryAugmentedAttention(*sizes, name=layer_name)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    model.load_weights(GOLDEN / name)
    check(model, name[:6])
