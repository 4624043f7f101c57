"""The other layers against fusionlab-learn's own on Keras 2: values, files, `replace`, XTFT."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from memattn.keras import (
    CrossAttention,
    ExplainableAttention,
    HierarchicalAttention,
    MemoryAugmentedAttention,
    MultiResolutionAttentionFusion,
    Replaced,
    published_as_ours,
    replace,
)
from memattn.keras.host import keras

from ..pairs import both, inputs
from ..sampling import LONG
from .keras_pairs import CLASSES
from .keras_support import WARNINGS_OF_KERAS, agree, import_fusionlab, run, tokens
from .test_keras2_published import fill, losses_before_and_after, same
from .test_keras_surface import PAGE

pytestmark = WARNINGS_OF_KERAS
components = import_fusionlab("fusionlab.nn.components")
logging.disable(logging.INFO)
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "siblings"
PUBLISHED = {"cross": components.CrossAttention, "hierarchical": components.HierarchicalAttention}
OURS = (
    *(CrossAttention, HierarchicalAttention, MemoryAugmentedAttention),
    *(MultiResolutionAttentionFusion, ExplainableAttention),
)


@both
def test_attributes_and_weight_shapes_are_those_of_the_published_layer(kind: str) -> None:
    layer = CLASSES[kind](6, 2)
    layer([keras.Input((7, 5)), keras.Input((7, 3))])
    assert [name for name in PAGE if name not in dir(layer)] == []
    published = PUBLISHED[kind](6, 2)
    published([tf.constant(part) for part in inputs(kind)])
    other = CLASSES[kind](6, 2, name=published.name)
    other([tf.constant(part) for part in inputs(kind)])
    assert [tuple(w.shape) for w in other.weights] == [tuple(w.shape) for w in published.weights]


@both
def test_values_and_gradients_are_those_of_the_published_layer(kind: str) -> None:
    x = inputs(kind)
    published = PUBLISHED[kind](6, 2)
    published([tf.constant(part) for part in x])
    fill(published)
    layer = CLASSES[kind](6, 2)
    layer.build([part.shape for part in x])
    layer.set_weights(published.get_weights())
    g = tokens(3, 7, 6, seed=2)
    y, _, gradients = run(layer, x, g)
    sources = [tf.constant(part) for part in x]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        expected = published(sources)
    assert agree(y, expected.numpy(), 3e-6)
    found = tape.gradient(expected, [*sources, *published.trainable_variables], g)
    for (name, gradient), d in zip(gradients.items(), found, strict=True):
        if not name.endswith("key.bias"):  # ours is 0, the published one is rounding noise
            assert agree(gradient, tf.convert_to_tensor(d).numpy(), 1e-5), name


def stack(cross: type, hierarchical: type) -> Any:
    """Returns a functional model with both layers, the first of which is called twice."""
    first, second = keras.Input((5, 7)), keras.Input((5, 3))
    shared = cross(6, 2)
    hidden = hierarchical(6, 3)([shared([first, second]), second])
    hidden = keras.layers.Add()([hidden, shared([first, second])])
    return keras.Model([first, second], keras.layers.Dense(2)(hidden))


def published_stack() -> Any:
    model = stack(*PUBLISHED.values())
    model.set_weights(fill(model).get_weights())
    return model


X, TARGET = [tokens(16, 5, 7), tokens(16, 5, 3, seed=1)], tokens(16, 5, 2, seed=3)


def output(model: Any) -> np.ndarray:
    return model([tf.constant(part) for part in X]).numpy()


@pytest.mark.parametrize("name", ["model.weights.h5", "weights.h5", "checkpoint"])
def test_weight_files_are_exchangeable_with_the_published_layers(tmp_path: Path, name: str) -> None:
    published, ours, back = published_stack(), stack(*CLASSES.values()), published_stack()
    published.save_weights(tmp_path / name)
    ours.load_weights(tmp_path / name)
    assert same(ours.get_weights(), published.get_weights())
    back.set_weights([0 * weight for weight in back.get_weights()])
    ours.save_weights(tmp_path / f"ours.{name}")
    back.load_weights(tmp_path / f"ours.{name}")
    assert same(back.get_weights(), published.get_weights())
    assert agree(output(ours), output(published), 3e-6)


@both
@pytest.mark.parametrize("suffix", [".keras", "_legacy.h5", ".weights.h5"])
def test_published_files_load_as_ours(kind: str, suffix: str) -> None:
    arrays = load_file(GOLDEN / f"keras2_{kind}_expected.safetensors")
    x = [arrays.pop(name) for name in ("x1", "x2")]
    expected = arrays.pop("y")
    path = GOLDEN / f"keras2_{kind}{suffix}"
    if "weights" in suffix:
        first, second = keras.Input((5, 4)), keras.Input((x[1].shape[1], 3))
        layer = CLASSES[kind](6, 2)
        hidden = layer([keras.layers.Dense(5)(first), second])
        keras.Model([first, second], keras.layers.Dense(2)(hidden)).load_weights(path)
    else:
        with (
            published_as_ours(),
            pytest.raises(ValueError, match=f"{kind}_attention: the file lacks num_heads"),
        ):
            keras.models.load_model(path, compile=False)
        with published_as_ours(num_heads=2):
            model = keras.models.load_model(path, compile=False)
        (layer,) = (one for one in model.layers if type(one) is CLASSES[kind])
        assert layer.fully_masked == "uniform"
    for name, weight in zip(layer._weight_names(), layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, arrays[name])
    assert agree(layer([tf.constant(part) for part in x]).numpy(), expected, 3e-6)


def test_replace_in_a_functional_model_keeps_training_and_names(tmp_path: Path) -> None:
    model = published_stack()
    # The short form traces a graph only for the memory layer, in test_keras2_published.py.
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=not LONG)
    model.fit(X, TARGET, epochs=2, shuffle=False, verbose=0)
    names = [weight.name for weight in model.weights]
    layers = [layer for layer in model.layers if type(layer) in PUBLISHED.values()]
    first, second = losses_before_and_after(model, X, TARGET)
    assert agree(first, second, 1e-5)
    assert len(set(first)) == len(first)
    assert [type(layer) for layer in layers] == [CrossAttention, HierarchicalAttention]
    assert [weight.name for weight in model.weights] == names
    assert layers[0].route_of(16, 5, 5) == layers[0].route_of(None, 5, 5)
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert (output(other) == output(model)).all()


def test_replace_returns_the_replaced_layers() -> None:
    inputs_of = keras.Input((5, 7))
    layers = [
        components.MultiResolutionAttentionFusion(4, 2),
        components.ExplainableAttention(2, 3),
    ]
    outputs = [layer(inputs_of) for layer in layers]
    model = keras.Model(inputs_of, outputs)
    fill(model)
    before = [part.numpy() for part in model(tf.constant(X[0]))]
    found, replaced = replace(model, return_replaced=True)
    assert found is model
    assert replaced == [Replaced(layer.name, type(layer).__name__) for layer in layers]
    assert [type(layer) for layer in layers] == [
        *(MultiResolutionAttentionFusion, ExplainableAttention)
    ]
    for part, expected in zip(model(tf.constant(X[0])), before, strict=True):
        assert agree(part.numpy(), expected, 3e-6)
    assert replace(model, return_replaced=True) == (model, [])


def test_a_layer_with_a_dense_activation_is_not_replaced() -> None:
    model = published_stack()
    layer = next(one for one in model.layers if type(one) is PUBLISHED["hierarchical"])
    layer.long_term_dense.activation = keras.activations.relu
    types = [type(one) for one in model.layers]
    with pytest.raises(ValueError, match="its class is not the published one"):
        replace(model)
    assert [type(one) for one in model.layers] == types


def test_a_layer_with_different_attentions_is_not_replaced() -> None:
    layer = PUBLISHED["hierarchical"](6, 2)
    layer.long_term_attention = keras.layers.MultiHeadAttention(3, 6)
    with pytest.raises(ValueError, match="have different options, which is not supported"):
        replace(layer)
    assert type(layer) is PUBLISHED["hierarchical"]


# --- XTFT ---------------------------------------------------------------------------------------


def xtft(name: str = "XTFT", **options: Any) -> tuple[Any, list[tf.Tensor]]:
    """Returns a fusionlab model with random weights, and its inputs."""
    model = getattr(import_fusionlab("fusionlab.nn.models"), name)(
        *(3, 4, 2),
        forecast_horizon=5,
        attention_units=8,
        hidden_units=16,
        lstm_units=8,
        memory_size=6,
        dropout_rate=0.0,
        **options,
    )
    future = 10 if name == "SuperXTFT" else 15
    sources = [tf.constant(part) for part in (tokens(8, 3), tokens(8, 10, 4), tokens(8, future, 2))]
    model(sources)
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.2 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model, sources


def steps_of(model: Any, sources: list[tf.Tensor]) -> int:
    """Returns the number of steps that the fusion outputs in a call of the model."""
    fusion, seen = model.multi_resolution_attention_fusion, []
    window = model.dynamic_time_window.call
    model.dynamic_time_window.call = lambda x, training=False: (seen.append(x.shape[1]), window(x))[
        1
    ]
    model(sources)
    model.dynamic_time_window.call = window
    assert type(fusion) is MultiResolutionAttentionFusion
    return int(seen[0])


@pytest.mark.filterwarnings("ignore:Future input time span")
@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, 1),
        ({"final_agg": "average"}, 10),
        ({"final_agg": "flatten"}, 10),
        ({"anomaly_detection_strategy": "feature_based"}, 10),
    ],
)
def test_replace_in_xtft_computes_only_the_steps_that_are_used(
    options: dict[str, Any], steps: int
) -> None:
    model, sources = xtft(**options)
    before = model(sources).numpy()
    _, replaced = replace(model, return_replaced=True)
    kinds = [one.kind for one in replaced]
    assert sorted(kinds) == sorted(kind.__name__ for kind in OURS[:4])
    notes = {one.kind: one.note for one in replaced}
    assert ("last step alone" in notes["MultiResolutionAttentionFusion"]) == (steps == 1)
    assert agree(model(sources).numpy(), before, 1e-5)
    assert steps_of(model, sources) == steps


@pytest.mark.filterwarnings("ignore:Future input time span")
def test_a_replaced_xtft_may_change_its_aggregation_later() -> None:
    model, sources = xtft()
    replace(model)
    model.final_agg = "average"
    after = model(sources).numpy()
    other, _ = xtft(final_agg="average")
    other.set_weights(model.get_weights())
    assert agree(after, other(sources).numpy(), 1e-5)


def test_replace_notes_that_super_xtft_discards_its_memory_layer() -> None:
    model, sources = xtft("SuperXTFT")
    before = model(sources).numpy()
    _, replaced = replace(model, return_replaced=True)
    notes = {one.kind: str(one) for one in replaced}
    assert notes["MemoryAugmentedAttention"].endswith(
        "(SuperXTFT discards its output, so its weights get no gradient)"
    )
    assert agree(model(sources).numpy(), before, 1e-5)
    memory = model.memory_augmented_attention.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(sources) ** 2)
    assert tape.gradient(loss, memory) == [None] * len(memory)
