"""`replace` under Keras 3, with a port of the published layer, and the choice of tf_keras."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from memattn.keras import MemoryAugmentedAttention, replace
from memattn.keras.host import keras

from ..sampling import LONG
from .keras_support import NAMES, WARNINGS_OF_KERAS, agree, tokens

pytestmark = WARNINGS_OF_KERAS
X, TARGET = tokens(16, 5, 7), tokens(16, 5, 7, seed=3)


class Twin(keras.layers.Layer):
    """The published layer, ported to Keras 3."""

    def __init__(self, units: int, memory_size: int, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.memory_size = units, memory_size
        self.attention = keras.layers.MultiHeadAttention(num_heads, units)

    def build(self, shape: Any) -> None:
        self.memory = self.add_weight(
            shape=(self.memory_size, self.units), initializer="zeros", name="memory"
        )
        memory_shape = (None, self.memory_size, self.units)
        self.attention.build((None, None, shape[-1]), memory_shape, memory_shape)

    def call(self, x: Any) -> Any:
        memory = keras.ops.tile(self.memory[None], (keras.ops.shape(x)[0], 1, 1))
        return x + self.attention(x, memory, memory)


Twin.__name__ = "MemoryAugmentedAttention"


class Holder(keras.Model):
    """A model with layers as attributes and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Twin(7, 6, 2)
        self.many = [Twin(7, 4, 1), keras.layers.TimeDistributed(Twin(7, 3, 1))]

    def call(self, x: Any) -> Any:
        return self.many[1](self.many[0](self.first(x))[:, None])[:, 0]


def functional() -> Any:
    inputs = keras.Input((5, 7))
    shared = Twin(7, 6, 2)
    inner = keras.Sequential([keras.Input((5, 7)), Twin(7, 3, 1)])
    return keras.Model(inputs, inner(shared(shared(inputs))))


@pytest.mark.parametrize("make", [functional, Holder])
def test_replace_keeps_output_state_and_training(make: Any) -> None:
    model = make()
    rng = np.random.default_rng(0)
    # The short form traces a graph only of the functional model.
    eager = make is Holder and not LONG
    model.compile(keras.optimizers.Adam(0.003), "mse", run_eagerly=eager)
    model(X)
    model.set_weights([0.4 * rng.standard_normal(w.shape) for w in model.get_weights()])
    fit = {"epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(X, TARGET, **fit)
    before = model.predict(X, verbose=0)
    changing = [*model.weights, *model.optimizer.variables]
    state = [np.array(variable) for variable in changing]
    layers = [layer for layer in model._flatten_layers() if type(layer) is Twin]
    assert len(layers) == len(model.weights) / len(NAMES)
    first = np.array(model.fit(X, TARGET, **fit).history["loss"])
    for variable, value in zip(changing, state, strict=True):
        variable.assign(value)

    assert replace(model) is model
    assert all(type(layer) is MemoryAugmentedAttention for layer in layers)
    found = [np.array(v) for v in (*model.weights, *model.optimizer.variables)]
    assert all((a == b).all() for a, b in zip(found, state, strict=True))
    assert agree(model.predict(X, verbose=0), before, 3e-6)
    # Training continues with the same losses.
    second = np.array(model.fit(X, TARGET, **fit).history["loss"])
    assert agree(second, first, 1e-5)
    assert len(set(first)) == len(first)


def test_a_replaced_model_is_saved_as_ours(tmp_path: Any) -> None:
    model = replace(functional())
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert agree(other.predict(X, verbose=0), model.predict(X, verbose=0), 1e-6)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_replace_keeps_the_output_of_masked_tokens() -> None:
    inputs = keras.Input((5, 7))
    model = keras.Model(inputs, Twin(7, 6, 2)(keras.layers.Masking()(inputs)))
    rng = np.random.default_rng(0)
    model.set_weights([0.4 * rng.standard_normal(w.shape) for w in model.get_weights()])
    x = X.copy()
    x[:, 3:] = 0
    before = model.predict(x, verbose=0)
    assert agree(replace(model).predict(x, verbose=0), before, 3e-6)


def test_an_unbuilt_model_is_refused() -> None:
    model = Holder()
    with pytest.raises(ValueError, match="this layer is not built; call the model first"):
        replace(model)
    assert type(model.first) is Twin


def test_tf_keras_is_used_if_tensorflow_is_set_to_use_it() -> None:
    code = (
        "import tf_keras, numpy, memattn.keras as mk\n"
        "assert mk.host.keras is tf_keras and not mk.host.KERAS_3\n"
        "model = tf_keras.Sequential([tf_keras.Input((5, 7)),"
        " mk.MemoryAugmentedAttention(7, 6, 2)])\n"
        "assert model(numpy.ones((2, 5, 7))).shape == (2, 5, 7)\n"
    )
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
