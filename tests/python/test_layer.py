"""The layer over NumPy arrays: values from other software, and its interface."""

import array
import copy
import json
import pickle
import threading
import warnings

import numpy as np
import pytest

import memattn
from memattn import MemoryAugmentedAttention

from .golden import CASES, masks_of, read


def small(**options: object) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def tokens(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X = tokens(2, 3, 6)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize("case", CASES)
def test_results_equal_the_golden_values(case: str, dtype: str, limit: float) -> None:
    arrays, config = read(case)
    masks = masks_of(arrays, config)
    layer = MemoryAugmentedAttention(**config, dtype=dtype, seed=0)
    layer.set_weights({name: arrays[name] for name in layer.weights})

    y, scores = layer(arrays["x"], **masks, return_attention_scores=True)
    assert np.abs(y - arrays["y"]).max() <= limit * np.abs(arrays["y"]).max()
    if "scores" in arrays:
        assert np.abs(scores - arrays["scores"]).max() <= limit
    gradients = layer.backward(arrays["x"], arrays["g"], **masks)
    assert list(gradients) == ["x", *layer.weights]
    for name, found in gradients.items():
        expected = arrays[f"grad.{name}"]
        assert found.shape == expected.shape
        # The golden gradient of key.bias is rounding noise around 0; this library's is exactly 0.
        scale = arrays["grad.query.bias"] if name == "key.bias" else expected
        assert np.abs(found - expected).max() <= limit * np.abs(scale).max(), name


def test_results_have_their_shapes_and_types() -> None:
    for dtype in ("float32", "float64", np.float32, np.dtype("float64")):
        layer = small(dtype=dtype)
        assert layer.dtype == np.dtype(dtype).name
        y, scores = layer(X, return_attention_scores=True)
        assert (y.shape, scores.shape) == ((2, 3, 6), (2, 2, 3, 5))
        assert y.dtype == scores.dtype == np.dtype(dtype)
        mean = layer(X, return_attention_scores="mean")[1]
        np.testing.assert_allclose(mean, scores.mean(axis=1), rtol=1e-6)
        np.testing.assert_array_equal(layer(X), y)


@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6), (0, 0, 6)])
def test_empty_inputs_give_empty_results(shape: tuple[int, ...]) -> None:
    layer = small()
    y, scores = layer(np.empty(shape), return_attention_scores=True)
    assert y.shape == shape
    assert scores.shape == (shape[0], 2, shape[1], 5)
    gradients = layer.backward(np.empty(shape), np.empty(shape))
    assert all(not np.any(gradient) for gradient in gradients.values())


def test_any_array_like_input_is_accepted() -> None:
    layer = small()
    expected = layer(X)
    np.testing.assert_array_equal(layer(X.tolist()), expected)
    np.testing.assert_array_equal(layer(memoryview(X)), expected)
    flat = array.array("f", X.ravel())
    np.testing.assert_array_equal(layer(memoryview(flat).cast("B").cast("f", X.shape)), expected)
    np.testing.assert_array_equal(layer(np.asfortranarray(X)), expected)
    np.testing.assert_array_equal(layer(np.repeat(X, 2, axis=0)[::2]), expected)
    np.testing.assert_array_equal(layer(X.astype("float64")), expected)

    class Exporter:  # like an array of PyTorch, JAX, CuPy and others
        def __dlpack__(self, **options: object) -> object:
            return X.__dlpack__(**options)

        def __dlpack_device__(self) -> tuple[int, int]:
            return X.__dlpack_device__()

    np.testing.assert_array_equal(layer(Exporter()), expected)
    read_only = X.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(layer(read_only), expected)
    assert layer(np.ones((1, 1, 6), int)).dtype == "float32"


def test_an_array_of_the_right_type_is_not_copied() -> None:
    for dtype in ("float32", "float64"):
        x = tokens(2, 3, 6, dtype=dtype)
        assert memattn.arrays.as_numbers("x", x, np.dtype(dtype)) is x
    mask = np.ones((2, 3), bool)
    assert np.shares_memory(memattn.arrays.as_mask("query_mask", mask), mask)


def test_out_receives_the_result() -> None:
    layer = small()
    expected = layer(X)
    out = np.empty_like(X)
    assert layer(X, out=out) is out
    np.testing.assert_array_equal(out, expected)
    x = X.copy()
    assert layer(x, out=x) is x
    np.testing.assert_array_equal(x, expected)
    pool = np.zeros((3, 3, 6), np.float32)
    with pytest.raises(ValueError, match="forward: y: found memory that it shares with x"):
        layer(pool[:2], out=pool[1:])


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty((2, 3, 5), np.float32), r"out: found shape \(2, 3, 5\), expected \(2, 3, 6\)"),
        (np.empty((2, 3, 6)), "out: found dtype float64, expected float32"),
        (np.empty((2, 3, 12), np.float32)[..., ::2], "out: found an array with gaps"),
        (np.frombuffer(bytes(144), np.float32).reshape(2, 3, 6), "out: found a read-only array"),
    ],
)
def test_an_unsuitable_out_is_refused(out: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(X, out=out)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[0], ValueError, r"x: found shape \(3, 6\), expected \(batch, steps, 6\)"),
        (X[..., :5], ValueError, r"x: found shape \(2, 3, 5\), expected \(batch, steps, 6\)"),
        (X + 1j, TypeError, "x: found dtype complex64, expected real numbers"),
        (np.full((2, 3, 6), "a"), TypeError, "x: found dtype <U1, expected real numbers"),
        (None, TypeError, "x: found NoneType of objects, expected an array of numbers"),
        ([[1], [2, 3]], TypeError, "x: found list that gives no array"),
    ],
)
def test_inputs_of_wrong_shape_or_type_are_refused(
    x: object, error: type[Exception], message: str
) -> None:
    layer = small()
    with pytest.raises(error, match=message):
        layer(x)
    with pytest.raises(error, match=message):
        layer.backward(x, X)


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        ({"attention_mask": np.ones((3, 4), bool)}, ValueError, r"found shape \(3, 4\)"),
        ({"attention_mask": np.ones((1, 2, 3, 5), bool)}, ValueError, r"broadcasts to \(2, 3, 5\)"),
        ({"attention_mask": np.zeros((3, 5))}, TypeError, "found dtype float64, expected booleans"),
        ({"query_mask": np.ones((3,), bool)}, ValueError, r"query_mask: .*expected \(2, 3\)"),
        ({"value_mask": np.ones((2, 3), bool)}, ValueError, r"value_mask: .*expected \(2, 5\)"),
        ({"return_attention_scores": "each"}, ValueError, 'expected True, False or "mean"'),
    ],
)
def test_invalid_options_of_a_call_are_refused(
    masks: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small()(X, **masks)


def test_masks_broadcast_and_are_combined_by_and() -> None:
    layer = small()
    full = np.random.default_rng(1).random((2, 3, 5)) < 0.6
    for mask in (full, full[:1], full[0], full[0, :1], full[:, :1], full[0, 0], full[..., :1]):
        whole = np.broadcast_to(mask, full.shape)
        np.testing.assert_array_equal(
            layer(X, attention_mask=mask), layer(X, attention_mask=whole.astype(int))
        )
    query, value = full[..., 0], full[:, 0]
    together = full & query[..., None] & value[:, None] & np.tri(3, 5, dtype=bool)
    np.testing.assert_array_equal(
        layer(X, attention_mask=full, query_mask=query, value_mask=value, use_causal_mask=True),
        layer(X, attention_mask=together),
    )


def test_fully_masked_tokens_follow_the_option() -> None:
    nothing = np.zeros((2, 3), bool)
    y, scores = small()(X, query_mask=nothing, return_attention_scores=True)
    np.testing.assert_array_equal(y, X)  # the output bias starts at 0
    np.testing.assert_array_equal(scores, 0)
    scores = small(fully_masked="uniform")(X, query_mask=nothing, return_attention_scores=True)[1]
    np.testing.assert_array_equal(scores, np.float32(0.2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"units": 0}, "units: found 0, expected"),
        ({"num_heads": -1}, "num_heads: found -1, expected"),
        ({"memory_size": 2.5}, "memory_size: found 2.5, expected"),
        ({"key_dim": 0}, "key_dim: found 0, expected"),
        ({"units": 2**40}, "units"),
        ({"dropout": 1.0}, "dropout: found 1, expected"),
        ({"dropout": float("nan")}, "not JSON compliant"),
        ({"memory_initializer": "ones"}, "memory_initializer"),
        ({"memory_initializer": {"kind": "normal", "stddev": -1}}, "stddev: found -1, expected"),
        ({"fully_masked": "nan"}, "fully_masked"),
        ({"dtype": "float16"}, 'dtype: found float16, expected "float32" or "float64"'),
        ({"seed": -1}, "seed: found -1, expected"),
        ({"use_bias": 1}, "use_bias"),
        ({"units": object()}, "is not JSON serializable"),
    ],
)
def test_invalid_options_of_the_layer_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^MemoryAugmentedAttention: .*{message}"):
        MemoryAugmentedAttention(**{"units": 6, "memory_size": 5, "num_heads": 2, **options})


def test_memory_of_zeros_warns() -> None:
    with pytest.warns(UserWarning, match="equal"):
        layer = small(memory_initializer="zeros")
    assert not layer.weights["memory"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(layer))  # warned only once, at the choice


def test_config_recreates_the_layer() -> None:
    layer = MemoryAugmentedAttention(
        np.int64(6), 5, 2, key_dim=3, memory_initializer={"kind": "normal", "stddev": 0.3}
    )
    config = layer.get_config()
    assert json.loads(json.dumps(config)) == config
    again = MemoryAugmentedAttention.from_config(config)
    assert again.get_config() == config
    for name, weight in layer.weights.items():  # the drawn seed is part of the config
        np.testing.assert_array_equal(weight, again.weights[name])
    assert small().get_config()["memory_initializer"] == "normal"
    assert small(memory_initializer="glorot_uniform").get_config()["memory_initializer"] == (
        "glorot_uniform"
    )
    assert MemoryAugmentedAttention(6, 5, 2).get_config()["seed"] != layer.get_config()["seed"]


def test_repr_recreates_the_layer() -> None:
    layer = small(value_dim=4, use_bias=False, dtype="float64")
    assert repr(small()) == "MemoryAugmentedAttention(6, 5, 2, seed=1)"
    assert eval(repr(layer)).get_config() == layer.get_config()
    assert layer.summary().startswith("MemoryAugmentedAttention  float64  folded route")


def test_weights_can_be_read_and_set() -> None:
    layer = small()
    weights = layer.weights
    assert list(weights) == [
        "memory",
        *(f"{part}.{kind}" for part in ("query", "key", "value") for kind in ("kernel", "bias")),
        "output.kernel",
        "output.bias",
    ]
    assert layer.count_params() == sum(weight.size for weight in weights.values())
    with pytest.raises(ValueError, match="read-only"):
        weights["memory"][0] = 1  # read-only, as the change would be lost: use set_weights
    other = small(seed=2)
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(other(X), layer(X))
    other.set_weights({"memory": np.ones((5, 6))})
    np.testing.assert_array_equal(other.weights["memory"], 1)
    np.testing.assert_array_equal(other.weights["query.kernel"], weights["query.kernel"])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([np.zeros((5, 6))], "found 1 arrays, expected 9: memory, query.kernel"),
        ({"memory": np.zeros((6, 5))}, r"memory: found shape \(6, 5\), expected \(5, 6\)"),
        ({"memory": np.zeros((5, 6)), "Memory": 0}, "found 'Memory', expected one of memory,"),
    ],
)
def test_refused_weights_change_nothing(weights: object, message: str) -> None:
    layer = small()
    before = layer.weights
    with pytest.raises(ValueError, match=message):
        layer.set_weights(weights)
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(weight, before[name])


def test_route_can_be_forced() -> None:
    layer = small()
    assert layer.route == "folded"
    folded = layer(X)
    layer.route = "projected"
    assert layer.route == "projected"
    np.testing.assert_allclose(layer(X), folded, rtol=1e-5, atol=1e-6)
    assert copy.copy(layer).route == "projected"
    layer.route = "auto"
    assert layer.route == "folded"
    assert small(key_dim=1).route == "projected"
    with pytest.raises(ValueError, match="route: found 'fast', expected"):
        layer.route = "fast"


def test_pickles_and_copies_compute_the_same() -> None:
    layer = small(dropout=0.5, dtype="float64")
    layer(X, training=True)
    for twin in (pickle.loads(pickle.dumps(layer)), copy.copy(layer), copy.deepcopy(layer)):
        np.testing.assert_array_equal(twin(X), layer(X))
        assert twin.get_config() == layer.get_config()
        assert twin.dropout_step == layer.dropout_step == 1
        twin.set_weights({"memory": np.zeros((5, 6))})
    assert layer.weights["memory"].any()


def test_dropout_follows_seed_and_step() -> None:
    layer = small(dropout=0.5)
    still = layer(X)
    first, second = layer(X, training=True), layer(X, training=True)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, still)
    np.testing.assert_array_equal(layer(X), still)
    layer.dropout_step = 0
    np.testing.assert_array_equal(layer(X, training=True), first)
    # backward uses the dropout of the latest training call: d sum(y) along a direction of the
    # memory
    layer = small(dropout=0.5, dtype="float64")
    direction = np.random.default_rng(2).standard_normal((5, 6))
    memory = layer.weights["memory"]

    def total(step: float) -> float:
        layer.set_weights({"memory": memory + step * direction})
        layer.dropout_step = 3
        return float(layer(X, training=True).sum())

    numeric = (total(1e-5) - total(-1e-5)) / 2e-5
    layer.set_weights({"memory": memory})
    gradient = layer.backward(X, np.ones_like(X), training=True)["memory"]
    assert abs(np.vdot(gradient, direction) - numeric) <= 1e-7 * abs(numeric)
    for step in (-1, 2**63):
        with pytest.raises(ValueError, match="dropout_step"):
            layer.dropout_step = step


def test_concurrent_calls_are_consistent_while_weights_change() -> None:
    layer = MemoryAugmentedAttention(32, 20, 4, seed=1)
    x = tokens(64, 10, 32)
    states = [layer.get_weights(), MemoryAugmentedAttention(32, 20, 4, seed=2).get_weights()]
    results = []
    for state in states:
        layer.set_weights(state)
        results.append(layer(x))
    wrong, stop = [], threading.Event()

    def compute() -> None:
        while not stop.is_set():
            y = layer(x)
            if not any(np.array_equal(y, result) for result in results):
                wrong.append(y)

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(200):
        layer.set_weights(states[i % 2])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    before = memattn.num_threads()
    assert before >= 1
    layer = MemoryAugmentedAttention(32, 20, 4, seed=1)
    x = tokens(64, 50, 32)
    results = []
    for threads in (1, 2, 5):
        memattn.set_num_threads(threads)
        assert memattn.num_threads() == threads
        results.append((layer(x), layer.backward(x, x)))
    memattn.set_num_threads(before)
    for y, gradients in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        for name, gradient in gradients.items():
            np.testing.assert_array_equal(gradient, results[0][1][name])
    for wrong in (0, 1025):
        with pytest.raises(ValueError, match=rf"threads: found {wrong}, expected 1 to 1024"):
            memattn.set_num_threads(wrong)


def test_path_is_a_deprecated_name_of_route() -> None:
    layer = small()
    with pytest.warns(DeprecationWarning, match="path: renamed route; removed in version 0.3"):
        layer.path = "projected"
    with pytest.warns(DeprecationWarning, match="path: renamed route"):
        assert layer.path == layer.route == "projected"
    assert "renamed `route`" in MemoryAugmentedAttention.path.__doc__


def test_a_pickle_of_an_earlier_version_loads() -> None:
    layer = small()
    layer.route = "projected"
    state = layer.__getstate__()
    state["forced_path"] = state.pop("forced_route")
    twin = MemoryAugmentedAttention.__new__(MemoryAugmentedAttention)
    twin.__setstate__(state)
    assert twin.route == "projected"
    np.testing.assert_array_equal(twin(X), layer(X))
