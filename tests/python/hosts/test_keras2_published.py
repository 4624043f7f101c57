"""The memory layer against fusionlab-learn's own on Keras 2: values, files and `replace`."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from memattn.keras import MemoryAugmentedAttention, published_as_ours, replace
from memattn.keras.host import keras

from ..sampling import LONG
from .keras_support import NAMES, WARNINGS_OF_KERAS, agree, import_fusionlab, run, tokens
from .test_keras_surface import PAGE

pytestmark = WARNINGS_OF_KERAS
Published = import_fusionlab("fusionlab.nn.components").MemoryAugmentedAttention
logging.disable(logging.INFO)
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "keras"


def fill(layer: Any, seed: int = 0) -> Any:
    """Gives a layer random weights without zeros, so that an error in any term shows."""
    rng = np.random.default_rng(seed)
    layer.set_weights([0.4 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def output(model: Any) -> np.ndarray:
    """Returns the output of an eager call; ``predict`` would trace a graph."""
    return model(tf.constant(X)).numpy()


def state(model: Any) -> list[np.ndarray]:
    """Returns all variables that training changes, including the optimizer's."""
    return [v.numpy() for v in (*model.weights, *model.optimizer.variables)]


def losses_before_and_after(model: Any, x: Any, target: np.ndarray) -> list[np.ndarray]:
    """Returns the losses of the same three epochs, before and after `replace`."""
    fit = {"epochs": 3, "shuffle": False, "verbose": 0}
    start = state(model)
    before = model.fit(x, target, **fit).history["loss"]
    for variable, value in zip((*model.weights, *model.optimizer.variables), start, strict=True):
        variable.assign(value)
    assert replace(model) is model
    assert same(state(model), start)
    return [np.array(before), np.array(model.fit(x, target, **fit).history["loss"])]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def test_the_listed_attributes_are_those_of_the_published_layer() -> None:
    layer = Published(6, 5, 2)
    keras.Sequential([keras.Input((3, 6)), layer])
    assert [name for name in PAGE if name not in dir(layer)] == []


@pytest.mark.parametrize("sizes", [(4, 10, 32, 100, 4), (2, 3, 6, 5, 2)])
def test_values_and_gradients_are_those_of_the_published_layer(sizes: tuple[int, ...]) -> None:
    batch, steps, units, slots, heads = sizes
    x, g = (tokens(batch, steps, units, seed=seed) for seed in (1, 2))
    published = Published(units, slots, heads)
    published(x)
    fill(published)
    layer = MemoryAugmentedAttention(units, slots, heads)
    layer.build(x.shape)
    layer.set_weights(published.get_weights())
    y, _, gradients = run(layer, x, g)
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = published(x)
    assert agree(y, expected.numpy(), 3e-6)
    weights = published.trainable_variables
    for name, d in zip(["x", *NAMES], tape.gradient(expected, [x, *weights], g), strict=True):
        if name != "key.bias":  # ours is 0, the published one is rounding noise
            assert agree(gradients[name], tf.convert_to_tensor(d).numpy(), 1e-5), name


def stack(kind: type) -> Any:
    """Returns a functional model with a layer called twice and a layer in a nested model."""
    inner = keras.Sequential([keras.Input((5, 8)), kind(8, 3, 1)], name="inner")
    shared = kind(8, 6, 2)
    inputs = keras.Input((5, 7))
    hidden = shared(keras.layers.Dense(8)(inputs))
    outputs = keras.layers.Dense(2)(inner(shared(hidden)))
    return keras.Model(inputs, outputs)


def layers_of(model: Any, kind: type) -> list[Any]:
    return [layer for layer in model.submodules if type(layer) is kind]


def published_stack() -> Any:
    model = stack(Published)
    for layer in layers_of(model, Published):
        fill(layer)
    return model


X, TARGET = tokens(16, 5, 7), tokens(16, 5, 2, seed=3)


@pytest.mark.parametrize("name", ["model.weights.h5", "weights.h5", "checkpoint"])
def test_weight_files_are_exchangeable_with_the_published_layer(tmp_path: Path, name: str) -> None:
    published, ours, back = published_stack(), stack(MemoryAugmentedAttention), stack(Published)
    published.save_weights(tmp_path / name)
    ours.load_weights(tmp_path / name)
    assert same(ours.get_weights(), published.get_weights())
    ours.save_weights(tmp_path / f"ours.{name}")
    back.load_weights(tmp_path / f"ours.{name}")
    assert same(back.get_weights(), published.get_weights())
    expected = output(published)
    assert agree(output(ours), expected, 3e-6)
    assert (output(back) == expected).all()


@pytest.mark.parametrize("name", ["keras2.keras", "keras2_legacy.h5"])
def test_a_published_file_loads_as_ours_with_fusionlab_imported(name: str) -> None:
    # The published class is registered in Keras here, as in any program that imports fusionlab.
    with published_as_ours(num_heads=3):
        model = keras.models.load_model(GOLDEN / name, compile=False)
    registered = keras.saving.get_registered_object(
        "fusionlab.nn.components>MemoryAugmentedAttention"
    )
    assert registered is Published
    assert len(layers_of(model, MemoryAugmentedAttention)) == 1


def test_replace_in_a_functional_model_keeps_training_and_names() -> None:
    model = published_stack()
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(X, TARGET, epochs=2, shuffle=False, verbose=0)
    layers = layers_of(model, Published)
    names = [weight.name for weight in model.weights]
    # Training continues with the same losses.
    first, second = losses_before_and_after(model, X, TARGET)
    assert agree(first, second, 1e-5)
    assert len(set(first)) == len(first)
    assert layers_of(model, MemoryAugmentedAttention) == layers
    assert layers_of(model, Published) == []
    assert [weight.name for weight in model.weights] == names


def test_replace_discards_compiled_functions() -> None:
    model = published_stack()
    before = model.predict(X, verbose=0)
    compiled = model.predict_function
    replace(model)
    assert agree(model.predict(X, verbose=0), before, 3e-6)
    assert model.predict_function is not compiled
    compiled = model.predict_function
    replace(model)  # a second call changes nothing
    assert model.predict_function is compiled


def tiles(model: Any) -> int:
    graph = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((16, 5, 7))).graph
    nodes = list(graph.as_graph_def().node)
    nodes += [n for f in graph.as_graph_def().library.function for n in f.node_def]
    return sum(node.op == "Tile" for node in nodes)


def test_replace_removes_the_tiled_memory_from_the_graph() -> None:
    model = published_stack()
    assert tiles(model) == 3
    assert tiles(replace(model)) == 0


def test_a_replaced_model_is_saved_as_ours(tmp_path: Path) -> None:
    model = replace(published_stack())
    model.save(tmp_path / "model.keras")
    other = keras.models.load_model(tmp_path / "model.keras")
    assert len(layers_of(other, MemoryAugmentedAttention)) == 2
    assert (output(other) == output(model)).all()


class Holder(keras.Model):
    """A model with layers in a list, in a dict, in a wrapper and in another layer."""

    def __init__(self) -> None:
        super().__init__()
        self.many = [Published(7, 3, 1), Published(7, 4, 2)]
        self.named = {"one": Published(7, 2, 2)}
        self.wrapped = keras.layers.TimeDistributed(Published(7, 5, 1))
        self.inside = keras.layers.Dense(7)
        self.inside.reader = Published(7, 6, 1)

    def call(self, x: Any) -> Any:
        for layer in self.many:
            x = layer(x)
        x = self.inside.reader(self.inside(self.named["one"](x)))
        return self.wrapped(x[:, None])[:, 0]


def test_replace_finds_layers_in_a_subclassed_model() -> None:
    model = Holder()
    model(X)
    held = [*model.many, model.named["one"], model.wrapped.layer, model.inside.reader]
    for layer in held:
        fill(layer)
    before, weights = output(model), model.get_weights()
    replace(model)
    assert all(type(layer) is MemoryAugmentedAttention for layer in held)
    assert model.many[0] is held[0]
    assert same(model.get_weights(), weights)
    assert agree(output(model), before, 3e-6)


def xtft(**options: Any) -> tuple[Any, list[np.ndarray], np.ndarray]:
    """Returns fusionlab's XTFT with random weights in its memory layer, inputs and a target."""
    sizes = {"static_input_dim": 3, "dynamic_input_dim": 4, "future_input_dim": 2}
    model = import_fusionlab("fusionlab.nn.models").XTFT(
        **sizes, forecast_horizon=5, attention_units=16, memory_size=30, dropout_rate=0.0, **options
    )
    inputs = [tokens(8, 3), tokens(8, 10, 4), tokens(8, 15, 2)]
    model(inputs)
    fill(model.memory_augmented_attention)
    return model, inputs, tokens(8, 5, 1, seed=7)


@pytest.mark.filterwarnings("ignore:Future input time span")
def test_replace_in_xtft_keeps_output_and_training(tmp_path: Path) -> None:
    (model, inputs, target), (twin, _, _) = xtft(), xtft()
    twin.set_weights(model.get_weights())
    # Tracing a graph of XTFT takes long; the short form trains without one, the long form with it.
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", run_eagerly=not LONG)
    model.optimizer.build(model.trainable_variables)
    layer, before = model.memory_augmented_attention, model(inputs).numpy()
    assert before.shape == (8, 5, 1)
    assert not agree(before, np.zeros_like(before), 1e-3)
    replace(twin)
    assert agree(twin(inputs).numpy(), before, 1e-5)
    first, second = losses_before_and_after(model, inputs, target)
    assert agree(first, second, 1e-4)
    assert len(set(first)) == len(first)
    assert model.memory_augmented_attention is layer
    assert type(layer) is MemoryAugmentedAttention
    # The published model loads a weight file of the replaced model.
    model.save_weights(tmp_path / "xtft.weights.h5")
    published, _, _ = xtft()
    published.load_weights(tmp_path / "xtft.weights.h5")
    assert agree(published(inputs).numpy(), model(inputs).numpy(), 1e-5)


def test_an_unbuilt_layer_gets_a_random_memory() -> None:
    model = keras.Sequential([Published(7, 6, 2)])
    replace(model)
    model.build((None, 5, 7))
    assert type(model.layers[0]) is MemoryAugmentedAttention
    assert np.abs(model.layers[0].get_weights()[0]).min() > 0


def test_replace_keeps_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        layer = Published(7, 6, 2)
        model = keras.Sequential([keras.Input((5, 7)), layer])
    finally:
        keras.mixed_precision.set_global_policy("float32")
    fill(layer)
    before = model.predict(X, verbose=0)
    replace(model)
    assert layer.compute_dtype == "float16"
    assert agree(model.predict(X, verbose=0).astype("float32"), before.astype("float32"), 1e-2)


def lookalike(**changes: Any) -> type:
    """Returns a class with the name of the published one that computes something else."""
    return type("MemoryAugmentedAttention", (Published,), changes)


def test_a_layer_that_computes_something_else_is_not_replaced() -> None:
    def call(self: Any, inputs: Any, training: bool = False) -> Any:
        return 2 * Published.call(self, inputs)

    other = lookalike(call=call)
    model = keras.Sequential([keras.Input((5, 7)), Published(7, 6, 2), other(7, 6, 2)])
    for layer in model.layers:
        fill(layer)
    before = model.predict(X, verbose=0)
    with pytest.raises(ValueError, match="its class is not the published one"):
        replace(model)
    assert [type(layer) for layer in model.layers] == [Published, other]
    assert (model.predict(X, verbose=0) == before).all()


def test_a_derived_class_is_not_replaced() -> None:
    class Derived(Published):
        pass

    model = keras.Sequential([keras.Input((5, 7)), Derived(7, 6, 2)])
    with pytest.raises(ValueError, match=r"sequential\w* has no published layer"):
        replace(model)
    assert type(model.layers[0]) is Derived


def test_dropout_in_the_attention_is_refused() -> None:
    model = keras.Sequential([Published(7, 6, 2)])
    model.layers[0].attention = keras.layers.MultiHeadAttention(2, 7, dropout=0.5)
    with pytest.raises(ValueError, match="dropout inside its attention is not supported"):
        replace(model)
