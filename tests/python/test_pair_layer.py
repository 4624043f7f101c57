"""Behaviour that the layers of two inputs share: options, weights, routes, copies, dropout."""

import copy
import json
import pickle

import numpy as np
import pytest

import memattn
from memattn import SGD, clip_by_global_norm
from memattn.layer_options import PAIR_ROUTES, PairSizes, config_json

from .pairs import CLASSES, INPUTS, both, equal, inputs, small, with_biases


@both
def test_results_have_their_shapes_and_types(kind: str) -> None:
    first, second = inputs(kind)
    keys = second.shape[1]
    for dtype in ("float32", "float64", np.float32, np.dtype("float64")):
        layer = small(kind, dtype=dtype)
        assert layer.dtype == np.dtype(dtype).name
        y, scores = layer(first, second, return_attention_scores=True)
        assert y.shape == (3, 7, 6)
        assert y.dtype == np.dtype(dtype)
        mean = layer(first, second, return_attention_scores="mean")[1]
        if kind == "cross":
            scores, mean = (scores,), (mean,)
        assert len(scores) == len(mean) == (1 if kind == "cross" else 2)
        for of_heads, of_all in zip(scores, mean, strict=True):
            assert of_heads.shape == (3, 2, 7, keys)
            assert of_heads.dtype == np.dtype(dtype)
            np.testing.assert_allclose(of_heads.sum(-1), 1, rtol=1e-6)
            np.testing.assert_allclose(of_all, of_heads.mean(axis=1), rtol=1e-6)
        equal(layer(first, second), y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units: found 0, expected"),
        ({"units": "6"}, 'units: found the string "6", expected an integer'),
        ({"num_heads": 0}, "num_heads: found 0, expected"),
        ({"num_heads": -1}, "num_heads: found -1, expected"),
        ({"num_heads": 2.5}, "num_heads: found 2.5, expected"),
        ({"key_dim": 0}, "key_dim: found 0, expected"),
        ({"value_dim": -1}, "value_dim: found -1, expected"),
        ({"units": 2**40}, "units"),
        ({"dropout": 1.0}, "dropout: found 1, expected"),
        ({"dropout": float("nan")}, "not JSON compliant"),
        ({"fully_masked": "nan"}, "fully_masked"),
        ({"dtype": "float16"}, 'dtype: found float16, expected "float32" or "float64"'),
        ({"seed": -1}, "seed: found -1, expected"),
        ({"use_bias": 1}, "use_bias"),
        ({"units": object()}, "is not JSON serializable"),
    ],
)
@both
def test_invalid_options_are_refused(kind: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{CLASSES[kind].__name__}: .*{message}"):
        CLASSES[kind](**{"units": 6, "num_heads": 2, **options})


@both
def test_config_and_repr_recreate_the_layer(kind: str) -> None:
    layer = small(kind, key_dim=np.int64(4), use_bias=False, dtype="float64", dropout=0.25)
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    again = CLASSES[kind].from_config(config)
    assert again.get_config() == config
    equal(again.weights, layer.weights)  # the seed is part of the config
    assert eval(repr(layer), CLASSES | vars(memattn)).get_config() == config
    assert repr(CLASSES[kind](6, 2, seed=1)) == f"{CLASSES[kind].__name__}(6, 2, seed=1)"
    assert CLASSES[kind](6, 2).get_config()["seed"] != CLASSES[kind](6, 2).get_config()["seed"]
    text = layer.summary()
    assert text.startswith(f"{CLASSES[kind].__name__}  float64  units 6  num_heads 2  ")
    assert f"{layer.count_params():,}" in text


@both
def test_weights_can_be_read_and_set(kind: str) -> None:
    layer = small(kind)
    first, second = inputs(kind)
    weights = layer.weights
    assert layer.count_params() == sum(weight.size for weight in weights.values())
    assert layer.kept_bytes >= 4 * layer.count_params()
    name = next(iter(weights))
    with pytest.raises(ValueError, match="read-only"):
        weights[name][0] = 1
    other = small(kind, seed=2)
    assert not np.array_equal(other(first, second), layer(first, second))
    other.set_weights(layer.get_weights())
    equal(other(first, second), layer(first, second))
    other.set_weights({name: np.ones((5, 6))})
    np.testing.assert_array_equal(other.weights[name], 1)
    before = layer.weights
    for wrong, message in (
        ([np.zeros((5, 6))], rf"found 1 arrays, expected {len(weights)}: {name}, "),
        ({name: np.zeros((6, 5))}, rf"{name}: found shape \(6, 5\), expected \(5, 6\)"),
        ({name: np.zeros((5, 6)), "memory": 0}, f"found 'memory', expected one of {name},"),
    ):
        with pytest.raises(ValueError, match=message):
            layer.set_weights(wrong)
        equal(layer.weights, before)


@both
def test_routes_give_equal_results(kind: str) -> None:
    layer = with_biases(small(kind, dtype="float64", key_dim=4))
    first, second = inputs(kind, dtype="float64")
    grad_y = np.sin(layer(first, second))
    assert layer.route == "auto"
    layer.route = "as_written"
    y, gradients = layer(first, second), layer.backward(first, second, grad_y)
    weights = 8 * layer.count_params()
    for route in PAIR_ROUTES:
        layer.route = route
        assert layer.route == route
        sizes = first.shape[:2] if kind == "hierarchical" else (3, 7, 4)
        taken = layer.route_of(*sizes)
        assert taken == (route if kind == "cross" else (route, route))
        np.testing.assert_allclose(layer(first, second), y, rtol=1e-12, atol=1e-13)
        for name, found in layer.backward(first, second, grad_y).items():
            np.testing.assert_allclose(found, gradients[name], rtol=1e-11, atol=1e-13)
        assert copy.copy(layer).route == route
    assert layer.kept_bytes > weights  # includes the folds
    layer.route = "auto"
    assert layer.route == "auto"
    with pytest.raises(ValueError, match='route: found \'folded\', expected one of "auto", "as_wr'):
        layer.route = "folded"


@both
def test_route_of_follows_the_sizes_of_a_call(kind: str) -> None:
    wide = CLASSES[kind](32, 4)
    sizes = (1, 4, 4) if kind == "cross" else (1, 4)
    frozen, training = wide.route_of(*sizes), wide.route_of(*sizes, training=True)
    assert frozen != training  # the fold costs more than it saves in one step of one sequence
    names = ("batch", "steps1", "steps2") if kind == "cross" else ("batch", "steps")
    for place, name in enumerate(names):
        for value, error, found in (
            (-1, ValueError, r"found -1, expected at least 0 and below 2\*\*63"),
            (2**63, ValueError, "found 9223372036854775808, expected"),
            (1.5, TypeError, "found float, expected an integer"),
            (True, TypeError, "found bool, expected an integer"),
        ):
            wrong = [*sizes]
            wrong[place] = value
            with pytest.raises(error, match=f"^{name}: {found}"):
                wide.route_of(*wrong)
    assert wide.route_of(*map(np.int32, sizes)) == frozen


@pytest.mark.parametrize("training", [False, True])
def test_hosts_choose_the_same_routes(training: bool) -> None:
    rng = np.random.default_rng(11)
    taken = set()
    for _ in range(200):
        units, width1, width2, key_dim, value_dim = (int(2 ** rng.uniform(0, 6)) for _ in range(5))
        heads = int(rng.integers(1, 9))
        batch, steps1, steps2 = (int(2 ** rng.uniform(0, 8)) for _ in range(3))
        options = {"key_dim": key_dim, "value_dim": value_dim}
        cross = CLASSES["cross"](
            units, heads, source1_units=width1, source2_units=width2, **options
        )
        sizes = PairSizes(units, width1, width2, heads, key_dim, value_dim, False)
        expected = cross.route_of(batch, steps1, steps2, training=training)
        assert sizes.cheapest_route(batch, steps1, steps2, training) == expected
        both_sides = CLASSES["hierarchical"](
            units, heads, short_units=width1, long_units=width2, **options
        )
        sides = both_sides.route_of(batch, steps1, training=training)
        for width, side in zip((width1, width2), sides, strict=True):
            sizes = PairSizes(units, width, width, heads, key_dim, value_dim, True)
            assert sizes.cheapest_route(batch, steps1, steps1, training) == side
        taken |= {expected, *sides}
    assert taken == set(PAIR_ROUTES)


@both
def test_the_compiled_part_checks_a_config_without_a_layer(kind: str) -> None:
    core = small(kind)._core
    core.check_config(config_json(units=6, num_heads=2))
    with pytest.raises(ValueError, match="num_heads: found -1, expected"):
        core.check_config(config_json(units=6, num_heads=-1))
    with pytest.raises(ValueError, match="memory_size"):
        core.check_config(config_json(units=6, num_heads=2, memory_size=5))


@both
def test_pickles_and_copies_compute_the_same(kind: str) -> None:
    layer = small(kind, dropout=0.5, dtype="float64")
    layer.route = "right_value"
    first, second = inputs(kind)
    layer(first, second, training=True)
    name = next(iter(layer.weights))
    for twin in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        assert type(twin) is CLASSES[kind]
        equal(twin(first, second), layer(first, second))
        assert twin.get_config() == layer.get_config()
        assert twin.dropout_step == layer.dropout_step == 1
        assert twin.route == "right_value"
        equal(twin(first, second, training=True), copy.copy(layer)(first, second, training=True))
        twin.set_weights({name: np.zeros((5, 6))})
    assert layer.weights[name].any()


@both
def test_dropout_follows_seed_and_step(kind: str) -> None:
    layer = small(kind, dropout=0.5)
    first, second = inputs(kind)
    still = layer(first, second)
    once, twice = layer(first, second, training=True), layer(first, second, training=True)
    assert not np.array_equal(once, twice)
    assert not np.array_equal(once, still)
    equal(layer(first, second), still)
    layer.dropout_step = 0
    equal(layer(first, second, training=True), once)
    # backward uses the dropout of the latest training call: d sum(y) along a direction of a weight
    layer = small(kind, dropout=0.5, dtype="float64")
    name = next(name for name in layer.weights if name.endswith("value.kernel"))
    weight = layer.weights[name]
    direction = np.random.default_rng(2).standard_normal(weight.shape)

    def total(step: float) -> float:
        layer.set_weights({name: weight + step * direction})
        layer.dropout_step = 3
        return float(layer(first, second, training=True).sum())

    numeric = (total(1e-5) - total(-1e-5)) / 2e-5
    layer.set_weights({name: weight})
    gradient = layer.backward(first, second, np.ones((3, 7, 6)), training=True)[name]
    assert abs(np.vdot(gradient, direction) - numeric) <= 1e-7 * abs(numeric)
    with pytest.raises(ValueError, match="dropout_step: found -1"):
        layer.dropout_step = -1


@both
def test_an_optimizer_accepts_the_gradients_of_backward(kind: str) -> None:
    layer = small(kind, dtype="float64")
    first, second = inputs(kind)
    gradients = layer.backward(first, second, np.ones((3, 7, 6)))
    before = layer.weights
    SGD(0.5).step(layer, gradients)
    for name, weight in layer.weights.items():
        np.testing.assert_allclose(weight, before[name] - 0.5 * gradients[name], atol=1e-15)
    a, b = INPUTS[kind]
    norm = np.sqrt(sum(np.sum(gradients[name] ** 2) for name in layer.weights))
    clipped, found = clip_by_global_norm(gradients, norm / 4)
    assert abs(found - norm) <= 1e-12 * norm
    assert clipped[a] is gradients[a]
    assert clipped[b] is gradients[b]
    np.testing.assert_allclose(clipped[name], gradients[name] / 4, rtol=1e-12)
    with pytest.raises(ValueError, match=r"gradients: found 'x', expected one of"):
        SGD().step(layer, {**gradients, "x": first})
    with pytest.raises(ValueError, match=rf"gradients: lacks '{name}'; pass"):
        SGD().step(layer, {n: g for n, g in gradients.items() if n != name})
