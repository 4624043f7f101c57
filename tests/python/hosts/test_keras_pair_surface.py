"""CrossAttention and HierarchicalAttention for Keras: options, learner methods, files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn
from memattn.keras.host import KERAS_3, keras

from ..pairs import INPUTS, both, inputs, small, with_biases
from .keras_pairs import CLASSES, twin
from .keras_support import WARNINGS_OF_KERAS, agree, numpy, tensor
from .test_keras_files import without_advice

pytestmark = WARNINGS_OF_KERAS


def output(layer: Any, kind: str) -> np.ndarray:
    return numpy(layer([tensor(part) for part in inputs(kind)]))


@both
def test_the_config_restores_the_layer(kind: str) -> None:
    layer = CLASSES[kind](
        *(6, 2, 4, 3, False, 0.1, "uniform", 11),
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(0.01),
        activity_regularizer="l2",
        bias_constraint=keras.constraints.MaxNorm(2.0),
        name="reader",
        dtype="mixed_bfloat16",
        trainable=False,
    )
    config = layer.get_config()
    assert (config["units"], config["key_dim"], config["name"]) == (6, 4, "reader")
    copy = CLASSES[kind].from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert copy.kernel_regularizer.get_config() == layer.kernel_regularizer.get_config()
    assert (copy.compute_dtype, copy.trainable) == ("bfloat16", False)


@both
def test_regularizers_and_constraints_apply_to_their_weights(kind: str) -> None:
    layer = CLASSES[kind](
        *(6, 2),
        kernel_regularizer=keras.regularizers.L2(0.01),
        bias_regularizer=keras.regularizers.L1(1.0),
        kernel_constraint=keras.constraints.NonNeg(),
        bias_initializer="ones",
        seed=1,
    )
    output(layer, kind)
    weights = dict(zip(layer._weight_names(), layer.get_weights(), strict=True))
    squares = sum((w**2).sum() for name, w in weights.items() if name.endswith("kernel"))
    sums = sum(w.sum() for name, w in weights.items() if name.endswith("bias"))
    found = sum(float(numpy(loss)) for loss in layer.losses)
    assert abs(found - 0.01 * squares - sums) <= 1e-5 * sums
    assert all(
        weight.constraint is not None
        for name, weight in zip(layer._weight_names(), layer.weights, strict=True)
        if name.endswith("kernel")
    )


@both
def test_params_make_the_same_layer_and_are_checked(kind: str) -> None:
    layer = CLASSES[kind](6, 2, dropout=0.1, kernel_regularizer="l2", seed=3)
    params = layer.get_params()
    assert list(params) == sorted(params)
    assert CLASSES[kind](**params).get_params() == params
    layer.set_params(num_heads=3).build([(None, None, 5), (None, None, 3)])
    assert layer.count_params() == sum(weight.size for weight in layer.get_weights())
    with pytest.raises(ValueError, match="cannot change units after the layer is built"):
        layer.set_params(units=7)
    with pytest.raises(ValueError, match="found parameter 'memory_size', expected one of"):
        layer.set_params(memory_size=7)
    assert CLASSES[kind].my_params.startswith(f"{CLASSES[kind].__name__}(\n    units,")


@both
def test_the_summary_lists_weights_and_route(kind: str) -> None:
    layer = CLASSES[kind](6, 2)
    assert layer.summary().endswith("weights: none yet, the layer is not built")
    layer.build([(None, None, 5), (None, None, 3)])
    lines = layer.summary().splitlines()
    assert lines[0] == f"{CLASSES[kind].__name__} Summary:"
    first = {"cross": "source1.kernel", "hierarchical": "short.dense.kernel"}[kind]
    assert f"{first}: (5, 6)" in lines
    assert lines[-2:] == [f"weights: {layer.count_params()}", "route: auto"]


@both
def test_files_restore_the_layer_and_are_checked(kind: str, tmp_path: Path) -> None:
    layer = CLASSES[kind](6, 2, key_dim=4, dropout=0.1, fully_masked="uniform")
    path = tmp_path / "layer.safetensors"
    with pytest.raises(ValueError, match="this layer is not built"):
        layer.save(path)
    y = output(layer, kind)
    assert layer.save(path)
    # NumPy, and so C++, reads the same file.
    other = memattn.load(path)
    assert type(other).__name__ == CLASSES[kind].__name__
    assert agree(other(*inputs(kind)), y, 3e-6)
    fresh = CLASSES[kind](1, 1)
    assert fresh.load(path)
    assert (output(fresh, kind) == y).all()
    assert fresh.load(path)
    narrow = CLASSES[kind](6, 2, key_dim=4, dropout=0.1, fully_masked="uniform")
    narrow.build([(None, None, 4), (None, None, 3)])
    name = {"cross": "source1_units", "hierarchical": "short_units"}[kind]
    with pytest.raises(ValueError, match=f"found {name}=5, expected 4, as here"):
        narrow.load(path)
    with pytest.raises(FileExistsError):
        layer.save(path)
    assert layer.save(tmp_path / "options.json", format="json")
    third = CLASSES[kind](1, 1)
    assert third.load(tmp_path / "options.json", format="json")
    assert (third.key_dim, third.fully_masked, third.built) == (4, "uniform", False)
    (tmp_path / "bad.json").write_text('{"units": 6}')
    with pytest.raises(ValueError, match="lacks the options num_heads"):
        third.load(tmp_path / "bad.json", format="json")


def test_a_file_of_another_layer_is_refused(tmp_path: Path) -> None:
    small("hierarchical").save(tmp_path / "layer.safetensors")
    with pytest.raises(memattn.FormatError, match="CrossAttention"):
        CLASSES["cross"](6, 2).load(tmp_path / "layer.safetensors")


def test_a_numpy_file_with_default_widths_is_loaded(tmp_path: Path) -> None:
    layer = memattn.CrossAttention(6, 2, seed=1)
    layer.save(tmp_path / "layer.safetensors")
    other = CLASSES["cross"](6, 2)
    assert other.load(tmp_path / "layer.safetensors")
    assert other.widths == (6, 6)
    assert other.load(tmp_path / "layer.safetensors")


@both
@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.weights.h5"])
def test_a_model_file_restores_the_model(kind: str, name: str, tmp_path: Path) -> None:
    def make() -> Any:
        sources = [keras.Input(part.shape[1:]) for part in x]
        layer = CLASSES[kind](6, 2, dropout=0.2, kernel_regularizer="l2", name="reader")
        return keras.Model(sources, layer(sources))

    x = inputs(kind)
    model = make()
    expected = numpy(model([tensor(part) for part in x]))
    if name == "model.weights.h5":
        model.save_weights(tmp_path / name)
        other = make()
        other.load_weights(tmp_path / name)
    else:
        without_advice(lambda: model.save(tmp_path / name))
        other = keras.models.load_model(tmp_path / name)
    reader = other.get_layer("reader")
    assert type(reader) is CLASSES[kind]
    assert reader.get_config() == model.get_layer("reader").get_config()
    assert (numpy(other([tensor(part) for part in x])) == expected).all()
    if name == "model.keras":
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        assert (numpy(copy([tensor(part) for part in x])) == expected).all()


@both
def test_weights_move_to_numpy_and_back(kind: str) -> None:
    reference = with_biases(small(kind))
    layer = twin(reference)
    other = small(kind, seed=9)
    other.set_weights(layer.get_weights())
    for name, weight in other.weights.items():
        np.testing.assert_array_equal(weight, reference.weights[name])
    assert list(reference.weights) == layer._weight_names()
    assert len(INPUTS[kind]) == len(layer.widths)


@both
def test_weights_are_in_the_sublayers_of_the_published_layer(kind: str) -> None:
    layer = twin(small(kind))
    denses = {
        "cross": ("source1_dense", "source2_dense"),
        "hierarchical": ("short_term_dense", "long_term_dense"),
    }[kind]
    attentions = {
        "cross": ("cross_attention",),
        "hierarchical": ("short_term_attention", "long_term_attention"),
    }[kind]
    weights = [w for name in denses for w in getattr(layer, name).weights]
    weights += [w for name in attentions for w in getattr(layer, name).weights]
    assert all(a is b for a, b in zip(layer.weights, weights, strict=True))
    for name in attentions:
        assert isinstance(getattr(layer, name), keras.layers.MultiHeadAttention)
    paths = [w.path if KERAS_3 else w.name for w in layer.weights]
    assert len(set(paths)) == len(paths)
