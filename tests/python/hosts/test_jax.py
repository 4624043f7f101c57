"""The layer in JAX: golden values, agreement with NumPy under every option, transformations."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import memattn
from memattn.jax import Config, apply, init, load, prepare, save

from ..golden import CASES, masks_of, read

CONFIG = Config(6, 5, 2)
X = np.random.default_rng(0).standard_normal((2, 3, 6)).astype(np.float32)
STATIC = ("config", "use_causal_mask", "return_attention_scores")


@pytest.fixture(autouse=True)
def _without_float64() -> Iterator[None]:
    """Disables float64, which other tests in this process may have enabled."""
    with jax.enable_x64(False):
        yield


def parameters(config: Config = CONFIG, dtype: Any = jnp.float32) -> dict[str, jax.Array]:
    """Returns parameters without zero biases, so that an error in any term shows."""
    weights = memattn.MemoryAugmentedAttention(**dataclasses.asdict(config), seed=1).weights
    draw = np.random.default_rng(2).standard_normal
    return {
        name: jnp.asarray(weight + 0.3 * draw(weight.shape), dtype)
        for name, weight in weights.items()
    }


def numpy_layer(params: dict[str, Any], config: Config) -> memattn.MemoryAugmentedAttention:
    """Returns the NumPy layer with these parameters, in float64."""
    layer = memattn.MemoryAugmentedAttention(**dataclasses.asdict(config), dtype="float64", seed=0)
    layer.set_weights({name: np.asarray(value, np.float64) for name, value in params.items()})
    return layer


def results(
    params: dict[str, Any], x: Any, grad_y: Any, config: Config, route: Any = None, **call: Any
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Returns the output, the scores, their mean over heads, and the gradients.

    The gradients have the names of the NumPy layer's `backward`. Without a route, `apply` takes
    the parameters themselves.
    """

    def run(scores: Any, params: Any, x: Any) -> Any:
        ready = params if route is None else prepare(params, config, route)
        return apply(ready, x, config, **call, return_attention_scores=scores)

    y, pull, scores = jax.vjp(functools.partial(run, True), params, x, has_aux=True)
    grad_params, grad_x = pull(grad_y)
    return y, scores, run("mean", params, x)[1], {"x": grad_x, **grad_params}


# Without jit, JAX compiles each operator for each shape, which takes several times as long.
compiled = jax.jit(results, static_argnames=("config", "route", "use_causal_mask"))


def assert_close(found: Any, expected: np.ndarray, limit: float, scale: float = 0.0) -> None:
    scale = scale or np.abs(expected).max() or 1.0
    assert found.shape == expected.shape
    difference = np.abs(np.asarray(found, np.float64) - expected).max(initial=0.0)
    assert difference <= limit * scale  # a NaN fails


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize("case", CASES)
def test_the_layer_gives_the_golden_values(case: str, dtype: str, limit: float) -> None:
    arrays, options = read(case)
    masks = masks_of(arrays, options)
    with jax.enable_x64(dtype == "float64"):
        config = Config(**options)
        params = {name: jnp.asarray(arrays[name], dtype) for name in config.shapes}
        x, grad_y = (jnp.asarray(arrays[name], dtype) for name in ("x", "g"))
        y, scores, _, gradients = compiled(params, x, grad_y, config, **masks)
        assert y.dtype == scores.dtype == dtype
        assert_close(y, arrays["y"], limit)
        if "scores" in arrays:
            assert_close(scores, arrays["scores"], limit, 1.0)
        for name, found in gradients.items():
            expected = arrays[f"grad.{name}"]
            if name == "key.bias":  # ours is 0, the golden one is rounding noise
                assert not found.any()
            else:
                assert_close(found, expected, limit)


MASKS = {
    "none": {},
    "attention": {"attention_mask": np.random.default_rng(1).random((2, 3, 5)) < 0.5},
    "one": {"attention_mask": np.array([True, False, True, True, False])},
    "query": {"query_mask": np.array([[True, False, True], [False, False, True]])},
    "value": {"value_mask": np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])},
    "causal": {"use_causal_mask": True},
}
MASKS["all"] = {name: value for masks in list(MASKS.values()) for name, value in masks.items()}


@pytest.mark.parametrize(
    ("options", "masks"),
    [
        *(({}, masks) for masks in MASKS.values()),
        ({"key_dim": 2, "value_dim": 1}, MASKS["none"]),
        ({"key_dim": 2, "value_dim": 1}, MASKS["all"]),
        ({"use_bias": False}, MASKS["all"]),
        ({"residual": False}, MASKS["all"]),
        ({"fully_masked": "uniform"}, MASKS["query"]),
        ({"fully_masked": "uniform", "key_dim": 1}, MASKS["all"]),
    ],
)
def test_the_layer_agrees_with_numpy_on_every_option_and_route(
    options: dict[str, Any], masks: dict[str, Any]
) -> None:
    with jax.enable_x64(True):
        config = dataclasses.replace(CONFIG, **options)
        params = parameters(config, jnp.float64)
        layer = numpy_layer(params, config)
        assert config.route == layer.route
        x, grad_y = X.astype(np.float64), np.cos(3 * X.astype(np.float64))
        y, scores = layer(x, **masks, return_attention_scores=True)
        expected = layer.backward(x, grad_y, **masks)
        for route in ("folded", "projected"):
            found, found_scores, mean, gradients = compiled(
                params, x, grad_y, config, route, **masks
            )
            assert_close(found, y, 1e-13)
            assert_close(found_scores, scores, 1e-13, 1.0)
            assert_close(mean, scores.mean(1), 1e-13, 1.0)
            for name, gradient in gradients.items():
                assert_close(gradient, expected[name], 1e-12, np.abs(expected["x"]).max())


@pytest.mark.parametrize("fully_masked", ["zero", "uniform"])
@pytest.mark.parametrize("route", ["folded", "projected"])
def test_a_masked_slot_may_be_nan(fully_masked: str, route: Any) -> None:
    with jax.enable_x64(True):
        config = dataclasses.replace(CONFIG, fully_masked=fully_masked)
        params = parameters(config, jnp.float64)
        params["memory"] = params["memory"].at[3].set(np.array([np.nan, np.inf, 0, 1, 2, 3]))
        x, mask = X.astype(np.float64), np.ones((2, 3, 5), bool)
        mask[..., 3] = False

        def run() -> Any:
            return compiled(params, x, np.ones_like(x), config, route, attention_mask=mask)

        y, _, _, gradients = run()
        layer = numpy_layer(params, config)
        assert_close(y, layer(x, attention_mask=mask), 1e-13)
        expected = layer.backward(x, np.ones_like(x), attention_mask=mask)
        for name, gradient in gradients.items():
            assert_close(gradient, expected[name], 1e-12, np.abs(expected["x"]).max())
        # If a token reads the slot, that token becomes NaN and no other.
        mask[0, 1, 3] = True
        touched = np.isnan(run()[0])
        assert touched[0, 1].all()
        assert touched.sum() == 6
        mask[0, 1] = False  # a fully masked token reads all slots with "uniform"
        assert np.isnan(run()[0]).any() == (fully_masked == "uniform")


def test_a_padded_token_may_be_nan() -> None:
    mask = np.array([[True, True, False], [True, False, False]])
    x = np.where(mask[..., None], X, np.nan).astype(np.float32)
    params = parameters()
    clean = compiled(params, X, np.ones_like(X), CONFIG, query_mask=mask)[3]
    found = compiled(params, x, np.ones_like(X), CONFIG, query_mask=mask)[3]
    for name in CONFIG.shapes:
        np.testing.assert_array_equal(found[name], clean[name])
    grad_y = np.where(mask[..., None], np.ones_like(X), np.nan).astype(np.float32)
    found = compiled(params, x, grad_y, CONFIG, query_mask=mask)[3]
    assert all(np.isfinite(found[name]).all() for name in CONFIG.shapes if name != "output.bias")


def test_jit_vmap_and_derivatives_work() -> None:
    params = parameters()
    y = apply(params, X, CONFIG)
    compiled = jax.jit(apply, static_argnames=STATIC)
    np.testing.assert_allclose(compiled(params, X, CONFIG), y, rtol=2e-6, atol=2e-6)
    masked = compiled(params, X, CONFIG, use_causal_mask=True, return_attention_scores="mean")
    assert [array.shape for array in masked] == [(2, 3, 6), (2, 3, 5)]
    # Over batches, and over an ensemble of layers.
    batches = jax.vmap(lambda x: apply(params, x, CONFIG))(np.stack([X, 2 * X]))
    np.testing.assert_allclose(batches[1], apply(params, 2 * X, CONFIG), rtol=2e-6, atol=2e-6)
    layers = jax.vmap(lambda key: init(key, CONFIG))(jax.random.split(jax.random.key(0), 3))
    ensemble = jax.jit(jax.vmap(lambda p: apply(p, X, CONFIG)))(layers)
    alone = apply({name: value[2] for name, value in layers.items()}, X, CONFIG)
    np.testing.assert_allclose(ensemble[2], alone, rtol=2e-6, atol=2e-6)
    # Forward mode, reverse mode, and second derivatives.
    with jax.enable_x64(True):
        wide = {name: value.astype(jnp.float64) for name, value in params.items()}
        x = X.astype(np.float64)
        run = jax.jit(lambda p, x: apply(p, x, CONFIG, **MASKS["all"]))
        check_grads(run, (wide, x), order=2)


def test_gradients_have_no_nan_inside() -> None:
    # Without jit, so that JAX checks the result of each operator.
    with jax.debug_nans(True):
        results(parameters(), X, np.ones_like(X), CONFIG, **MASKS["all"])


def test_results_have_the_promoted_dtype() -> None:
    params = parameters()
    exact = numpy_layer(params, CONFIG)(X)
    for dtype in (jnp.bfloat16, jnp.float16):
        half = {name: value.astype(dtype) for name, value in params.items()}
        y, scores = apply(half, jnp.asarray(X, dtype), CONFIG, return_attention_scores=True)
        assert y.dtype == scores.dtype == dtype
        assert_close(y, exact, 5 * float(jnp.finfo(dtype).eps))
        grads = compiled(half, jnp.asarray(X, dtype), jnp.ones_like(y), CONFIG)[3]
        assert {value.dtype for value in grads.values()} == {jnp.dtype(dtype)}
        assert apply(params, jnp.asarray(X, dtype), CONFIG).dtype == jnp.float32
    assert apply(params, np.ones((1, 1, 6), int), CONFIG).dtype == jnp.float32
    with jax.enable_x64(True):
        assert apply(params, X.astype(np.float64), CONFIG).dtype == jnp.float64


def test_sums_in_16_bits_are_computed_in_float32() -> None:
    # 4,096 slots with equal scores: a sum in bfloat16 would stop growing at 256 of them.
    config = Config(2, 4096, 1)
    params = {name: jnp.zeros(shape, jnp.bfloat16) for name, shape in config.shapes.items()}
    params["value.bias"] = jnp.ones((1, 2), jnp.bfloat16)
    params["output.kernel"] = jnp.ones((1, 2, 2), jnp.bfloat16)
    y = apply(params, jnp.zeros((1, 1, 2), jnp.bfloat16), config)
    np.testing.assert_array_equal(np.asarray(y, np.float32), 2)


def test_dropout_depends_on_the_key_and_keeps_the_mean() -> None:
    config = Config(6, 400, 2, dropout=0.25)
    params = parameters(config)
    key = jax.random.key(5)
    still = apply(params, X, config)
    first = apply(params, X, config, dropout_key=key)
    np.testing.assert_array_equal(apply(params, X, config, dropout_key=key), first)
    other = apply(params, X, config, dropout_key=jax.random.key(6))
    assert not np.array_equal(other, first)
    assert not np.array_equal(still, first)
    # The scores are those before dropout, and the mean over draws is the output without dropout.
    scores = apply(params, X, config, return_attention_scores=True)[1]
    draw = functools.partial(apply, params, X, config, return_attention_scores=True)
    drawn = jax.vmap(lambda key: draw(dropout_key=key))(jax.random.split(key, 400))
    np.testing.assert_array_equal(drawn[1][0], scores)
    spread = drawn[0].std(0) / 400**0.5
    assert (np.abs(drawn[0].mean(0) - still) <= 5 * spread).all()
    plain = dataclasses.replace(config, dropout=0.0)
    np.testing.assert_array_equal(apply(params, X, plain, dropout_key=key), still)


def test_initial_parameters_have_the_distribution_of_numpys() -> None:
    config = Config(64, 50, 4)
    params = init(jax.random.key(0), config)
    numpy = memattn.MemoryAugmentedAttention(64, 50, 4, seed=0).weights
    assert list(params) == list(numpy)
    for name, value in params.items():
        assert value.shape == numpy[name].shape
        assert float(value.std()) == pytest.approx(float(numpy[name].std()), rel=0.1)
    start = {"kind": "normal", "stddev": 0.1}
    small = init(jax.random.key(0), dataclasses.replace(config, memory_initializer=start))
    np.testing.assert_allclose(small["memory"], 0.1 * params["memory"], rtol=1e-6)
    glorot = init(
        jax.random.key(0), dataclasses.replace(config, memory_initializer="glorot_uniform")
    )
    assert 0.9 * (6 / 114) ** 0.5 < float(jnp.abs(glorot["memory"]).max()) <= (6 / 114) ** 0.5
    with pytest.warns(UserWarning, match="equal"):
        zeros = dataclasses.replace(config, memory_initializer="zeros")
    assert not init(jax.random.key(0), zeros)["memory"].any()
    assert init(jax.random.key(0), config, jnp.bfloat16)["memory"].dtype == jnp.bfloat16


def test_config_is_hashable() -> None:
    start = {"kind": "normal", "stddev": 0.5}
    first, second = (Config(6, 5, 2, memory_initializer=dict(start)) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != CONFIG


@pytest.mark.parametrize("use_bias", [True, False])
def test_files_are_shared_with_numpy(tmp_path: Path, use_bias: bool) -> None:
    config = Config(6, 5, 2, key_dim=3, use_bias=use_bias, fully_masked="uniform")
    params = parameters(config)
    save(tmp_path / "layer.safetensors", params, config)
    layer = memattn.MemoryAugmentedAttention.load(tmp_path / "layer.safetensors")
    assert layer.dtype == "float32"
    again, loaded = load(tmp_path / "layer.safetensors")
    assert loaded == config
    for name, value in params.items():
        np.testing.assert_array_equal(layer.weights[name], value)
        np.testing.assert_array_equal(again[name], value)
    half = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    save(tmp_path / "half.safetensors", half, config)
    for name, value in load(tmp_path / "half.safetensors")[0].items():
        np.testing.assert_array_equal(value, half[name].astype(jnp.float32))
    with jax.enable_x64(True):
        save(tmp_path / "wide.safetensors", parameters(config, jnp.float64), config)
        assert load(tmp_path / "wide.safetensors")[0]["memory"].dtype == jnp.float64


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x": X[0]}, ValueError, r"apply: x: found shape \(3, 6\), expected \(batch, steps, 6\)"),
        ({"x": X + 1j}, TypeError, "apply: found dtype complex64, expected real numbers"),
        ({"attention_mask": np.ones((3, 4), bool)}, ValueError, r"attention_mask: .* \(3, 4\)"),
        ({"attention_mask": np.ones((1, 2, 3, 5), bool)}, ValueError, r"to \(2, 3, 5\)"),
        ({"attention_mask": np.zeros((3, 5))}, TypeError, "found dtype float32, expected booleans"),
        ({"query_mask": np.ones(3, bool)}, ValueError, r"query_mask: .*expected \(2, 3\)"),
        ({"value_mask": np.ones((2, 3), bool)}, ValueError, r"value_mask: .*expected \(2, 5\)"),
        ({"return_attention_scores": "each"}, ValueError, 'expected True, False or "mean"'),
        ({"params": {}}, ValueError, "apply: params: found nothing, expected a, b, c"),
        (
            {"params": {"memory": 0}},
            ValueError,
            "prepare: params: found memory, expected memory, q",
        ),
        (
            {"params": {**parameters(), "key.bias": np.zeros(2)}},
            ValueError,
            r"prepare: params: key.bias: found shape \(2,\), expected \(2, 6\)",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    options: dict, error: type[Exception], message: str
) -> None:
    call = {"params": parameters(), "x": X, "config": CONFIG, **options}
    with pytest.raises(error, match=message):
        apply(**call)


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ValueError, match="num_heads: found -1, expected"):
        Config(6, 5, -1)
    with pytest.raises(ValueError, match="prepare: route: found 'fast', expected"):
        prepare(parameters(), CONFIG, "fast")
    with pytest.raises(ValueError, match="save: params: found memory, expected memory, query"):
        save("nowhere", {"memory": 0}, CONFIG)
