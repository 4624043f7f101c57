"""The Keras layer's options: their effects, checks and configs."""

import json
import math
from typing import Any

import numpy as np
import pytest

from memattn.keras import MemoryAugmentedAttention
from memattn.keras.host import KERAS_3, keras

from .keras_support import NAMES, WARNINGS_OF_KERAS, G, X, agree, numpy, numpy_layer, tensor, tokens

pytestmark = WARNINGS_OF_KERAS


def test_the_cheaper_route_runs_unless_one_is_forced() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    assert layer.route == "folded"
    assert MemoryAugmentedAttention(6, 50, 2, key_dim=1).route == "projected"
    layer.route = "projected"
    assert layer.route == "projected"
    layer.route = "auto"
    assert layer.route == "folded"
    with pytest.raises(ValueError, match="route: found 'folding', expected"):
        layer.route = "folding"


def test_initial_weights_have_keras_distributions_and_differ() -> None:
    weights, plain = [], []
    for seed, found in ((5, weights), (None, plain)):
        layer = MemoryAugmentedAttention(32, 200, 2, seed=seed)
        layer.build((None, None, 32))
        found += layer.get_weights()
    assert abs(weights[0].std() - 1) < 0.05
    # With a seed, weights have the same distributions as in Keras' MultiHeadAttention.
    for name, one, other in zip(NAMES, weights, plain, strict=True):
        assert abs(one.std() - other.std()) <= 0.1 * other.std(), name
    kernels = [weight.ravel() for weight in weights if weight.ndim == 3]
    assert all((a != b).mean() > 0.99 for a in kernels for b in kernels if a is not b)


def test_the_seed_determines_the_initial_weights() -> None:
    def weights(seed: int | None, **options: Any) -> list[np.ndarray]:
        layer = MemoryAugmentedAttention(6, 5, 2, seed=seed, **options)
        layer.build(X.shape)
        return layer.get_weights()

    for first, second in zip(weights(1), weights(1), strict=True):
        assert (first == second).all()
    assert all((a != b).any() for a, b in zip(weights(1), weights(2), strict=True) if a.any())
    # An initializer keeps its own seed; without any seed, Keras' global seed applies.
    own = keras.initializers.GlorotUniform(seed=7)
    assert (weights(1, kernel_initializer=own)[1] == weights(2, kernel_initializer=own)[1]).all()
    keras.utils.set_random_seed(3)
    first = weights(None)
    keras.utils.set_random_seed(3)
    assert all((a == b).all() for a, b in zip(first, weights(None), strict=True))


@pytest.mark.parametrize(
    ("initializer", "spread"),
    [
        ({"kind": "normal", "stddev": 0.3}, 0.3),
        ({"kind": "normal"}, 1.0),
        ("glorot_uniform", math.sqrt(2 / (200 + 32))),
        (keras.initializers.RandomUniform(-1, 1), math.sqrt(1 / 3)),
        ("he_normal", math.sqrt(2 / 200)),
    ],
)
def test_memory_initializers_have_their_spread_and_survive_the_config(
    initializer: Any, spread: float
) -> None:
    layer = MemoryAugmentedAttention(32, 200, 2, memory_initializer=initializer, seed=5)
    layer.build((None, None, 32))
    assert abs(layer.get_weights()[0].std() / spread - 1) < 0.05
    copy = MemoryAugmentedAttention.from_config(json.loads(json.dumps(layer.get_config())))
    copy.build((None, None, 32))
    assert (copy.get_weights()[0] == layer.get_weights()[0]).all()


def test_a_memory_of_zeros_warns() -> None:
    with pytest.warns(UserWarning, match="zeros cannot learn") as caught:
        layer = MemoryAugmentedAttention(6, 5, 2, memory_initializer="zeros")
    assert caught[0].filename == __file__
    layer.build(X.shape)
    assert not layer.get_weights()[0].any()


def test_the_config_restores_the_layer() -> None:
    layer = MemoryAugmentedAttention(
        *(6, 5, 2, 4, 3),
        use_bias=False,
        residual=False,
        dropout=0.1,
        fully_masked="uniform",
        seed=11,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(0.01),
        memory_regularizer="l1",
        activity_regularizer="l2",
        memory_constraint=keras.constraints.MaxNorm(2.0),
        name="memory_reader",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    config = layer.get_config()
    assert config["name"] == "memory_reader"
    assert (config["units"], config["key_dim"], config["value_dim"]) == (6, 4, 3)
    copy = MemoryAugmentedAttention.from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert copy.kernel_regularizer.get_config() == layer.kernel_regularizer.get_config()
    assert copy.compute_dtype == "bfloat16"
    assert not copy.trainable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units: found 0, expected at least 1"),
        ({"memory_size": -1}, "memory_size: found -1"),
        ({"num_heads": 2.5}, "num_heads: found 2.5"),
        ({"key_dim": 0}, "key_dim: found 0"),
        ({"dropout": 1.0}, "dropout: found 1"),
        ({"fully_masked": "half"}, 'fully_masked: found the string "half"'),
        ({"seed": -1}, "seed: found -1"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryAugmentedAttention(**{"units": 6, "memory_size": 5, "num_heads": 2, **options})


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ({"attention_mask": np.ones((2, 3, 4), bool)}, ValueError, "broadcasts to"),
        ({"attention_mask": np.ones((1, 2, 3, 5), bool)}, ValueError, "broadcasts to"),
        ({"query_mask": np.ones((2, 4), bool)}, ValueError, "query_mask: found shape"),
        ({"value_mask": np.ones((2, 1, 5), bool)}, ValueError, "value_mask: found shape"),
        ({"value_mask": np.ones((2, 5), "float32")}, TypeError, "value_mask: found dtype"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    call: dict[str, Any], kind: type[Exception], message: str
) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    with pytest.raises(kind, match=message):
        layer(tensor(X.astype("float32")), **call)


@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 5), (1, 2, 3, 6)])
def test_inputs_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    layer.build((None, None, 6))
    with pytest.raises(ValueError, match="incompatible with the layer"):
        layer(tensor(tokens(*shape)))


def test_an_input_shape_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"input_shape: found shape \(2, 3, None\)"):
        MemoryAugmentedAttention(6, 5, 2).build((2, 3, None))


def test_regularizers_and_constraints_apply_to_their_weights() -> None:
    layer = MemoryAugmentedAttention(
        *(6, 5, 2),
        memory_regularizer=keras.regularizers.L2(0.1),
        kernel_regularizer=keras.regularizers.L2(0.01),
        bias_regularizer=keras.regularizers.L1(1.0),
        activity_regularizer=keras.regularizers.L2(0.001),
        memory_constraint=keras.constraints.MaxNorm(0.5, axis=1),
        kernel_constraint=keras.constraints.NonNeg(),
        bias_initializer="ones",
        seed=1,
    )
    x, target = X.astype("float32"), G.astype("float32")
    y = numpy(layer(tensor(x)))
    weights = dict(zip(NAMES, layer.get_weights(), strict=True))
    squares = sum((w**2).sum() for n, w in weights.items() if n.endswith("kernel"))
    expected = [0.1 * (weights["memory"] ** 2).sum(), 0.01 * squares]
    expected += [sum(w.sum() for n, w in weights.items() if n.endswith("bias"))]
    expected += [0.001 * (y**2).sum() / len(y)]
    assert agree(
        np.array(sum(float(numpy(loss)) for loss in layer.losses)), np.array(sum(expected)), 1e-6
    )
    model = keras.Sequential([keras.Input((3, 6)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(x, target, epochs=1, verbose=0)
    weights = dict(zip(NAMES, layer.get_weights(), strict=True))
    assert np.linalg.norm(weights["memory"], axis=1).max() <= 0.5 + 1e-6
    assert all(w.min() >= 0 for n, w in weights.items() if n.endswith("kernel"))


def test_a_frozen_layer_has_no_trainable_weights() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    layer.build(X.shape)
    assert len(layer.trainable_weights) == 9
    layer.trainable = False
    assert len(layer.trainable_weights) == 0
    assert layer.count_params() == 5 * 6 + 4 * 6 * 2 * 6 + 3 * 12 + 6


def test_weights_have_the_names_of_keras_attention() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    layer.build(X.shape)
    assert isinstance(layer.attention, keras.layers.MultiHeadAttention)
    shapes = [tuple(w.shape) for w in layer.weights]
    assert shapes == [w.shape for w in numpy_layer().get_weights()]
    paths = [w.path if KERAS_3 else w.name for w in layer.weights[1:]]
    ends = [path.removesuffix(":0").split("/")[-2:] for path in paths]
    parts = ("query", "key", "value", "attention_output")
    assert ends == [[part, kind] for part in parts for kind in ("kernel", "bias")]
