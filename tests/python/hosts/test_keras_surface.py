"""Uses every method and attribute in the published layer's reference page on our layer.

Under Keras 2 these are all of them, under Keras 3 those that Keras 3 still has.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn
from memattn.keras import MemoryAugmentedAttention
from memattn.keras.host import KERAS_3, keras

from .keras_support import WARNINGS_OF_KERAS, numpy, tensor, tokens

pytestmark = WARNINGS_OF_KERAS

METHODS = """
    __init__ add_loss add_metric add_update add_variable add_weight build build_from_config call
    compute_mask compute_output_shape compute_output_signature count_params finalize_state
    from_config get_build_config get_config get_input_at get_input_mask_at get_input_shape_at
    get_output_at get_output_mask_at get_output_shape_at get_params get_weights help load
    load_own_variables save save_own_variables set_params set_weights summary with_name_scope
"""
ATTRIBUTES = """
    activity_regularizer compute_dtype dtype dtype_policy dynamic inbound_nodes input input_mask
    input_shape input_spec losses metrics my_params name name_scope non_trainable_variables
    non_trainable_weights outbound_nodes output output_mask output_shape stateful submodules
    supports_masking trainable trainable_variables trainable_weights updates variable_dtype
    variables weights
"""
# Removed from Layer in Keras 3, as a test below checks.
GONE = """
    add_update compute_output_signature finalize_state get_input_at get_input_mask_at
    get_input_shape_at get_output_at get_output_mask_at get_output_shape_at with_name_scope
    dynamic inbound_nodes input_mask input_shape name_scope outbound_nodes output_mask
    output_shape stateful submodules updates
"""
PAGE = [*METHODS.split(), *ATTRIBUTES.split()]
LEFT = [name for name in PAGE if not (KERAS_3 and name in ("add_metric", *GONE.split()))]

X = tokens(2, 3, 6)
SHAPE = (None, 3, 6)


@pytest.fixture(name="layer")
def fixture_layer() -> MemoryAugmentedAttention:
    """A layer in a functional model, in which all attributes have values."""
    layer = MemoryAugmentedAttention(6, 5, 2, name="reader", seed=1)
    inputs = keras.Input(SHAPE[1:])
    layer(inputs if KERAS_3 else keras.layers.Masking()(inputs))
    return layer


def fresh() -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2)


def adds_a_loss(layer: MemoryAugmentedAttention) -> bool:
    before = len(layer.losses)
    layer.add_loss(tensor(np.float32(1)) if KERAS_3 else lambda: tensor(np.float32(1)))
    return len(layer.losses) == before + 1


def adds_a_weight(method: str) -> Callable[[Any], bool]:
    def use(layer: MemoryAugmentedAttention) -> bool:
        layer = fresh()
        made = getattr(layer, method)(name="more", shape=(2,), initializer="ones")
        return any(weight is made for weight in layer.weights)

    return use


def wraps_a_method(layer: MemoryAugmentedAttention) -> bool:
    # The wrapped method cannot be called: tf.Module expects name_scope to be a property, but in
    # Keras it is a method.
    return callable(type(layer).with_name_scope(lambda self: None))


def moves_own_variables(layer: MemoryAugmentedAttention) -> bool:
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    other = fresh()
    other.build(SHAPE)
    other.load_own_variables(store)
    return (other.get_weights()[0] == layer.get_weights()[0]).all()


def builds_alike(layer: MemoryAugmentedAttention) -> bool:
    other = fresh()
    other.build_from_config(layer.get_build_config())
    return [w.shape for w in other.weights] == [w.shape for w in layer.weights]


def signature_of(layer: MemoryAugmentedAttention) -> bool:
    import tensorflow as tf

    spec = layer.compute_output_signature(tf.TensorSpec(SHAPE, tf.float32))
    return tuple(spec.shape) == SHAPE and spec.dtype == tf.float32


def sets_weights(layer: MemoryAugmentedAttention) -> bool:
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    return True


def adds_a_metric(layer: MemoryAugmentedAttention) -> bool:
    class Measured(MemoryAugmentedAttention):
        def call(self, inputs: Any, **options: Any) -> Any:
            self.add_metric(inputs[0, 0, 0], name="first")
            return super().call(inputs, **options)

    layer = Measured(6, 5, 2)
    layer(tensor(X))
    return [float(metric.result()) for metric in layer.metrics] == [X[0, 0, 0]]


def saves_and_loads(layer: MemoryAugmentedAttention, folder: Path) -> bool:
    path = folder / "layer.safetensors"
    other = fresh()
    return (
        layer.save(path)
        and other.load(path)
        and all(
            (a == b).all() for a, b in zip(layer.get_weights(), other.get_weights(), strict=True)
        )
    )


USES: dict[str, Callable[..., Any]] = {
    "__init__": lambda _: fresh().units == 6,
    "add_loss": adds_a_loss,
    "add_metric": adds_a_metric,
    "add_update": lambda layer: layer.add_update(lambda: None) is None,
    "add_variable": adds_a_weight("add_variable"),
    "add_weight": adds_a_weight("add_weight"),
    "build": lambda _: fresh().build(SHAPE) is None,
    "build_from_config": builds_alike,
    "call": lambda layer: numpy(layer.call(tensor(X), training=False)).shape == X.shape,
    "compute_mask": lambda layer: layer.compute_mask(tensor(X), None) is None,
    "compute_output_shape": lambda layer: tuple(layer.compute_output_shape(SHAPE)) == SHAPE,
    "compute_output_signature": signature_of,
    "count_params": lambda layer: layer.count_params() == sum(w.size for w in layer.get_weights()),
    "finalize_state": lambda layer: layer.finalize_state() is None,
    "from_config": lambda layer: type(layer).from_config(layer.get_config()).seed == 1,
    "get_build_config": lambda layer: tuple(layer.get_build_config()["input_shape"]) == SHAPE,
    "get_config": lambda layer: layer.get_config()["memory_size"] == 5,
    "get_input_at": lambda layer: tuple(layer.get_input_at(0).shape) == SHAPE,
    "get_input_mask_at": lambda layer: tuple(layer.get_input_mask_at(0).shape) == SHAPE[:2],
    "get_input_shape_at": lambda layer: layer.get_input_shape_at(0) == SHAPE,
    "get_output_at": lambda layer: tuple(layer.get_output_at(0).shape) == SHAPE,
    "get_output_mask_at": lambda layer: tuple(layer.get_output_mask_at(0).shape) == SHAPE[:2],
    "get_output_shape_at": lambda layer: layer.get_output_shape_at(0) == SHAPE,
    "get_params": lambda layer: layer.get_params()["num_heads"] == 2,
    "get_weights": lambda layer: len(layer.get_weights()) == 9,
    "help": lambda layer: layer.help() is None,
    "load": saves_and_loads,
    "load_own_variables": moves_own_variables,
    "save": saves_and_loads,
    "save_own_variables": moves_own_variables,
    "set_params": lambda _: fresh().set_params(memory_size=7).memory_size == 7,
    "set_weights": sets_weights,
    "summary": lambda layer: "memory: (5, 6)" in layer.summary(),
    "with_name_scope": wraps_a_method,
    "activity_regularizer": lambda layer: layer.activity_regularizer is None,
    "compute_dtype": lambda layer: layer.compute_dtype == "float32",
    "dtype": lambda layer: layer.dtype == "float32",
    "dtype_policy": lambda layer: layer.dtype_policy.name == "float32",
    "dynamic": lambda layer: layer.dynamic is False,
    "inbound_nodes": lambda layer: len(layer.inbound_nodes) == 1,
    "input": lambda layer: tuple(layer.input.shape) == SHAPE,
    "input_mask": lambda layer: tuple(layer.input_mask.shape) == SHAPE[:2],
    "input_shape": lambda layer: layer.input_shape == SHAPE,
    "input_spec": lambda layer: layer.input_spec.ndim == 3,
    "losses": lambda layer: layer.losses == [],
    "metrics": lambda layer: layer.metrics == [],
    "my_params": lambda layer: layer.my_params.startswith("MemoryAugmentedAttention(\n    units,"),
    "name": lambda layer: layer.name == "reader",
    "name_scope": lambda layer: "reader" in str(layer.name_scope()),
    "non_trainable_variables": lambda layer: len(layer.non_trainable_variables) == 0,
    "non_trainable_weights": lambda layer: len(layer.non_trainable_weights) == 0,
    "outbound_nodes": lambda layer: layer.outbound_nodes == [],
    "output": lambda layer: tuple(layer.output.shape) == SHAPE,
    "output_mask": lambda layer: tuple(layer.output_mask.shape) == SHAPE[:2],
    "output_shape": lambda layer: layer.output_shape == SHAPE,
    "stateful": lambda layer: layer.stateful is False,
    "submodules": lambda layer: layer.attention in layer.submodules,
    "supports_masking": lambda layer: layer.supports_masking is True,
    "trainable": lambda layer: layer.trainable is True,
    "trainable_variables": lambda layer: len(layer.trainable_variables) == 9,
    "trainable_weights": lambda layer: len(layer.trainable_weights) == 9,
    "updates": lambda layer: layer.updates == [],
    "variable_dtype": lambda layer: layer.variable_dtype == "float32",
    "variables": lambda layer: len(layer.variables) == 9,
    "weights": lambda layer: len(layer.weights) == 9,
}


def test_there_is_a_use_for_every_listed_name() -> None:
    assert set(USES) == set(PAGE)
    assert len(PAGE) == 65


@pytest.mark.filterwarnings("ignore:`layer.add_variable` is deprecated")
@pytest.mark.filterwarnings("ignore:`layer.updates` will be removed")
@pytest.mark.parametrize("name", LEFT)
def test_every_listed_name_works(
    layer: MemoryAugmentedAttention, name: str, tmp_path: Path
) -> None:
    assert hasattr(layer, name)
    extra = [tmp_path] if name in ("save", "load") else []
    assert USES[name](layer, *extra)


@pytest.mark.filterwarnings("ignore:`layer.updates` will be removed")
def test_names_missing_in_keras_3_are_missing_in_its_own_layers() -> None:
    dense = keras.layers.Dense(1)
    dense(keras.Input((2,)))
    left = {name for name in GONE.split() if hasattr(dense, name)}
    assert left == (set() if KERAS_3 else set(GONE.split()))
    if KERAS_3:  # Keras 3 keeps the name, but calling it is an error
        with pytest.raises(NotImplementedError):
            dense.add_metric(1.0)


def test_my_params_is_the_constructor_call() -> None:
    text = MemoryAugmentedAttention.my_params
    assert text.splitlines()[:5] == [
        *("MemoryAugmentedAttention(", "    units,", "    memory_size,", "    num_heads,"),
        "    key_dim=None,",
    ]

    class Narrow(MemoryAugmentedAttention):
        def __init__(self, units: int = 4, **kwargs: Any) -> None:
            super().__init__(units, 5, 2, **kwargs)

    assert Narrow.my_params == "Narrow(units=4)"


def test_help_prints_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    MemoryAugmentedAttention.help()
    assert "Attention over a learned memory" in capsys.readouterr().out


def test_unknown_keywords_are_refused(layer: MemoryAugmentedAttention, tmp_path: Path) -> None:
    for call in (
        lambda: layer.save(tmp_path / "layer.safetensors", overwite=True),
        lambda: layer.load(tmp_path / "layer.safetensors", fromat="json"),
        lambda: layer.help(topic="units"),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            call()


def test_params_make_the_same_layer_and_are_checked() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, dropout=0.1, kernel_regularizer="l2", seed=3)
    params = layer.get_params()
    assert list(params) == sorted(params)
    assert MemoryAugmentedAttention(**params).get_params() == params
    assert layer.set_params() is layer
    layer.set_params(num_heads=3, fully_masked="uniform").build(SHAPE)
    assert layer.get_weights()[1].shape == (6, 3, 6)
    layer.set_params(num_heads=3, dropout=0.1)  # unchanged values
    with pytest.raises(ValueError, match="cannot change units after the layer is built"):
        layer.set_params(units=7)
    with pytest.raises(ValueError, match="found parameter 'width', expected one of activity_reg"):
        layer.set_params(width=7)
    with pytest.raises(ValueError, match="units: found 0"):
        fresh().set_params(units=0)


def test_the_summary_lists_options_weights_and_route() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, use_bias=False)
    assert layer.summary().endswith("weights: none yet, the layer is not built")
    layer.build(SHAPE)
    lines = layer.summary().splitlines()
    assert lines[0] == "MemoryAugmentedAttention Summary:"
    for line in ("memory_size: 5", "kernel_initializer: GlorotUniform", "output.kernel: (2, 6, 6)"):
        assert line in lines
    assert lines[-2:] == ["weights: 318", "route: folded"]


def test_files_restore_the_layer_and_are_checked(tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(
        6, 5, 2, key_dim=4, residual=False, dropout=0.1, fully_masked="uniform"
    )
    path = tmp_path / "layer.safetensors"
    with pytest.raises(ValueError, match="this layer is not built"):
        layer.save(path)
    y = numpy(layer(tensor(X)))
    assert layer.save(path)
    # The NumPy layer, and so C++, reads the same file.
    assert np.abs(memattn.MemoryAugmentedAttention.load(path)(X) - y).max() <= 1e-5
    other = MemoryAugmentedAttention(1, 1, 1)
    assert other.load(path)
    assert (numpy(other(tensor(X))) == y).all()
    assert other.load(path)
    built = fresh()
    built.build(SHAPE)
    with pytest.raises(ValueError, match="found key_dim=4, expected None, as here"):
        built.load(path)
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True"):
        layer.save(path)
    assert layer.save(path, overwrite=True)
    assert layer.save(str(tmp_path / "no"), validate_func=lambda one: one is not layer) is False
    assert layer.save(tmp_path / "options.json", format="json")
    assert json.loads((tmp_path / "options.json").read_text())["key_dim"] == 4
    third = fresh()
    assert third.load(tmp_path / "options.json", format="json")
    assert (third.key_dim, third.residual, third.built) == (4, False, False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["layer.safetensors", "options.json"]


def test_invalid_files_and_formats_are_refused(tmp_path: Path) -> None:
    layer = fresh()
    layer.build(SHAPE)
    for action in (layer.save, layer.load):
        with pytest.raises(ValueError, match="a pickle can execute code"):
            action(tmp_path / "layer.pickle", format="pickle")
        with pytest.raises(ValueError, match="found 'yaml', expected"):
            action(tmp_path / "layer.yaml", format="yaml")
    with pytest.raises(ValueError, match="file_path: found None"):
        layer.save()
    with pytest.raises(FileNotFoundError):
        layer.load(tmp_path / "not there")
    (tmp_path / "bad").write_bytes(b"no header")
    with pytest.raises(memattn.FormatError):
        layer.load(tmp_path / "bad")
    for text in ("{", "[]", '{"units": 6}', '{"units": "many"}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"load: .*bad\.json"):
            layer.load(tmp_path / "bad.json", format="json")
    wide = fresh()
    wide.build((None, None, 9))
    with pytest.raises(ValueError, match="found an input of width 9"):
        wide.save(tmp_path / "wide")
