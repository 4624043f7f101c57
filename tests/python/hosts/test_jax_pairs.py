"""CrossAttention and HierarchicalAttention in JAX: golden values, NumPy's values, masked NaN."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memattn.jax import CrossAttention, HierarchicalAttention
from memattn.layer_options import PAIR_ROUTES

from ..pairs import (
    CASES,
    INPUTS,
    KINDS,
    both,
    golden,
    inputs,
    on_jax_some,
    small,
    step_masks,
    with_biases,
)

TWINS: dict[str, Any] = {"cross": CrossAttention, "hierarchical": HierarchicalAttention}
LIMITS = [("float64", (1e-12, 1e-12)), ("float32", (3e-6, 6e-6))]


@pytest.fixture(autouse=True)
def _without_float64() -> Iterator[None]:
    """Disables float64, which other tests in this process may have enabled."""
    with jax.enable_x64(False):
        yield


def kind_of(layer: Any) -> str:
    return "cross" if type(layer).__name__ == "CrossAttention" else "hierarchical"


def twin_of(layer: Any) -> tuple[dict[str, jax.Array], Any]:
    """Returns the parameters and the JAX layer of a NumPy layer."""
    return TWINS[kind_of(layer)].from_numpy(layer)


@functools.cache
def compiled(layer: Any, route: str | None, use_causal_mask: bool) -> Any:
    """Returns a compiled function for the result, the scores and all gradients of a layer."""

    def forward(params: Any, pair: Any, masks: Any) -> Any:
        if route is not None:
            params = layer.prepare(params, route if kind_of(layer) == "cross" else (route, route))
        call = {"use_causal_mask": use_causal_mask, "return_attention_scores": True}
        return layer.apply(params, *pair, **masks, **call)

    def all_of_it(params: Any, pair: Any, grad_y: Any, masks: Any) -> Any:
        y, pull, scores = jax.vjp(
            lambda params, pair: forward(params, pair, masks), params, pair, has_aux=True
        )
        grad_params, grad_pair = pull(grad_y)
        names = INPUTS[kind_of(layer)]
        return y, scores, {**dict(zip(names, grad_pair, strict=True)), **grad_params}

    return jax.jit(all_of_it)


def run(
    layer: Any,
    params: Any,
    pair: Any,
    grad_y: Any,
    route: str | None = None,
    *,
    use_causal_mask: bool = False,
    **masks: Any,
) -> Any:
    """Returns the result, scores and gradients, under the names of the NumPy layer's `backward`."""
    return compiled(layer, route, use_causal_mask)(params, pair, grad_y, masks)


def pairs_of_scores(found: Any, expected: Any) -> list[tuple[Any, Any]]:
    """Returns pairs of found and expected scores, one for each attention."""
    if not isinstance(found, tuple):
        return [(found, expected)]
    return list(zip(found, expected, strict=True))


def assert_close(found: Any, expected: np.ndarray, limit: float, scale: float = 0.0) -> None:
    scale = scale or np.abs(expected).max(initial=0.0) or 1.0
    assert found.shape == expected.shape
    difference = np.abs(np.asarray(found, np.float64) - expected).max(initial=0.0)
    assert difference <= limit * scale  # a NaN fails


def check_golden(case: str, dtype: str, limits: tuple[float, float], route: Any = None) -> None:
    """Compares values, scores and gradients with those of a golden file."""
    numpy_layer, masks, arrays = golden(case, dtype)
    params, layer = twin_of(numpy_layer)
    pair = tuple(jnp.asarray(arrays[name], dtype) for name in ("x1", "x2"))
    grad_y = jnp.asarray(arrays["g"], dtype)
    y, scores, gradients = run(layer, params, pair, grad_y, route, **masks)
    assert y.dtype == dtype
    assert_close(y, arrays["y"], limits[0])
    kind = kind_of(layer)
    expected = arrays["scores"] if kind == "cross" else (arrays["scores1"], arrays["scores2"])
    for a, b in pairs_of_scores(scores, expected):
        assert_close(a, b, limits[0], 1.0)
    names = dict(zip(INPUTS[kind], ("x1", "x2"), strict=True))
    for name, found in gradients.items():
        if name.endswith("key.bias"):  # ours is 0, the golden one is rounding noise
            assert not found.any()
            continue
        gradient = arrays[f"grad.{names.get(name, name)}"]
        # With one key, our gradients of query and key are 0 and the golden ones rounding noise.
        assert_close(found, gradient, limits[1], max(np.abs(gradient).max(), 1e-3))


@pytest.mark.parametrize(
    ("case", "dtype", "limits"),
    on_jax_some(
        (case, *limits) for case in CASES if not case.startswith("uniform_") for limits in LIMITS
    ),
)
def test_the_layers_give_the_golden_values(
    case: str, dtype: str, limits: tuple[float, float]
) -> None:
    with jax.enable_x64(dtype == "float64"):
        check_golden(case, dtype, limits)


@pytest.mark.parametrize("route", PAIR_ROUTES)
@pytest.mark.parametrize("case", [f"mask_{kind}_every_mask" for kind in KINDS])
def test_every_route_gives_the_golden_values(case: str, route: str) -> None:
    with jax.enable_x64(True):
        check_golden(case, "float64", (1e-12, 1e-12), route)


@pytest.mark.parametrize("name", ["sgd", "adam"])
@both
def test_training_follows_the_golden_losses(kind: str, name: str) -> None:
    numpy_layer, _, arrays = golden(f"train_{kind}_{name}", "float64")
    with jax.enable_x64(True):
        params, layer = twin_of(numpy_layer)
        pair, target = (arrays["x1"], arrays["x2"]), arrays["target"]

        def loss_of(params: Any) -> Any:
            return jnp.mean((layer.apply(params, pair) - target) ** 2)

        def step(state: Any, count: Any) -> Any:
            params, m, v = state
            loss, g = jax.value_and_grad(loss_of)(params)
            if name == "sgd":
                return (jax.tree.map(lambda p, g: p - 0.1 * g, params, g), m, v), loss
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            rate = 0.01 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
            move = jax.tree.map(lambda m, v: rate * m / (jnp.sqrt(v) + 1e-7), m, v)
            return (jax.tree.map(jnp.subtract, params, move), m, v), loss

        zeros = jax.tree.map(jnp.zeros_like, params)
        counts = jnp.arange(1.0, 1 + len(arrays["losses"]))
        (params, *_), losses = jax.lax.scan(step, (params, zeros, zeros), counts)
        assert len(losses) == 50
        np.testing.assert_allclose(losses, arrays["losses"], rtol=1e-9)
        for weight, value in params.items():
            assert_close(value, arrays[f"last.{weight}"], 1e-9)


OPTIONS = {
    "narrow heads": {"key_dim": 2, "value_dim": 1},
    "no bias": {"use_bias": False},
    "uniform": {"fully_masked": "uniform"},
}
# Together, these have all ways to compute logits and to read, and a Dense layer on each side.
SOME_ROUTES = ("as_written", "left_read", "right_value_dense2")


@pytest.mark.parametrize("route", SOME_ROUTES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@both
def test_the_layers_agree_with_numpy_on_every_option(
    kind: str, options: dict[str, Any], route: Any
) -> None:
    numpy_layer = with_biases(small(kind, dtype="float64", **options))
    first, second = inputs(kind, dtype="float64")
    masks = step_masks(kind, first, second)
    masks["attention_mask"] = np.random.default_rng(6).random((7, second.shape[1])) < 0.8
    grad_y = np.random.default_rng(7).standard_normal((3, 7, 6))
    call = {**masks, "use_causal_mask": True}
    y, scores = numpy_layer(first, second, **call, return_attention_scores=True)
    expected = numpy_layer.backward(first, second, grad_y, **call)
    with jax.enable_x64(True):
        params, layer = twin_of(numpy_layer)
        found, found_scores, gradients = run(layer, params, (first, second), grad_y, route, **call)
        assert set(gradients) == set(expected)
        assert_close(found, y, 1e-13)
        for a, b in pairs_of_scores(found_scores, scores):
            assert_close(a, b, 1e-13, 1.0)
        for name, gradient in gradients.items():
            assert_close(gradient, expected[name], 1e-12, 10.0)


@pytest.mark.parametrize("route", SOME_ROUTES)
@both
def test_masked_steps_may_hold_any_values(kind: str, route: Any) -> None:
    params, layer = twin_of(with_biases(small(kind)))
    pair = inputs(kind)
    masks = step_masks(kind, *pair)
    grad_y = np.ones((3, 7, 6), np.float32)
    clean = run(layer, params, pair, grad_y, route, **masks)
    for junk in (np.nan, np.inf, 3e38):
        dirty = tuple(
            np.where(mask[..., None], x, junk).astype(np.float32)
            for x, mask in zip(pair, masks.values(), strict=True)
        )
        found = run(layer, params, dirty, grad_y, route, **masks)
        jax.tree.map(np.testing.assert_array_equal, found, clean)
        for name, mask in zip(INPUTS[kind], masks.values(), strict=True):
            assert not found[2][name][~mask].any()


@pytest.mark.parametrize("route", SOME_ROUTES)
@both
def test_nan_affects_only_the_steps_that_read_it(kind: str, route: Any) -> None:
    params, layer = twin_of(with_biases(small(kind)))
    first, second = inputs(kind, batch=1, keys=7)
    first, second = first[:1], second[:1].copy()
    clean = second.copy()
    clean[0, 4] = 0
    second[0, 4, 1] = np.nan  # with the causal mask, steps 4, 5 and 6 would read it
    keep = np.ones((7, 7), bool)
    keep[5, 4] = False
    call = {"use_causal_mask": True}
    grad_y = np.ones((1, 7, 6), np.float32)
    y = run(layer, params, (first, second), grad_y, route, attention_mask=keep, **call)[0]
    np.testing.assert_array_equal(np.isnan(y[0]).all(-1), np.isin(np.arange(7), (4, 6)))
    np.testing.assert_array_equal(np.isnan(y[0]).any(-1), np.isin(np.arange(7), (4, 6)))
    # If no step reads it, the results and gradients are those for any other value.
    keep[6, 4] = False
    keep[4, 4 if kind == "cross" else slice(None)] = False
    call["attention_mask"] = keep
    found = run(layer, params, (first, second), grad_y, route, **call)
    jax.tree.map(
        np.testing.assert_array_equal,
        found,
        run(layer, params, (first, clean), grad_y, route, **call),
    )


@functools.cache
def streamed(kind: str) -> tuple[Any, Any, Any]:
    params, layer = twin_of(with_biases(small(kind)))
    return params, layer, inputs(kind, keys=9)


def test_a_scan_over_steps_gives_the_results_of_one_call() -> None:
    params, layer, (first, second) = streamed("cross")
    whole = layer.apply(params, first, second, use_causal_mask=True)

    def step(place: Any, x: Any) -> Any:
        y = layer.apply(params, x[:, None], second, use_causal_mask=True, first_step=place)
        return place + 1, y[:, 0]

    last, parts = jax.lax.scan(step, jnp.asarray(0, jnp.uint8), first.swapaxes(0, 1))
    assert last == 7
    np.testing.assert_allclose(parts.swapaxes(0, 1), whole, rtol=2e-6, atol=2e-6)
    behind = layer.apply(params, first, second, use_causal_mask=True, first_step=2**40)
    np.testing.assert_allclose(behind, layer.apply(params, first, second), rtol=2e-6, atol=2e-6)


@both
def test_vmap_and_second_derivatives_work(kind: str) -> None:
    params, layer, pair = streamed(kind)
    y = layer.apply(params, *pair)
    np.testing.assert_array_equal(layer.apply(params, list(pair)), y)
    # vmap over an ensemble of layers, and over batches.
    ensemble = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    found = jax.jit(jax.vmap(lambda p: layer.apply(p, *pair)))(ensemble)
    np.testing.assert_allclose(found[0], y, rtol=2e-6, atol=2e-6)
    batches = jax.jit(jax.vmap(lambda x: layer.apply(params, *x)))(
        tuple(np.stack([x, 2 * x]) for x in pair)
    )
    np.testing.assert_allclose(batches[0], y, rtol=2e-6, atol=2e-6)

    # Forward over reverse mode: the product of the Hessian with a vector.
    def loss(p: Any) -> Any:
        return jnp.square(layer.apply(p, *pair, use_causal_mask=True)).sum()

    with jax.enable_x64(True):
        wide = {name: value.astype(jnp.float64) for name, value in params.items()}
        along = jax.tree.map(lambda p: jnp.cos(7 * p), wide)
        slope, curve = jax.jit(lambda: jax.jvp(jax.grad(loss), (wide,), (along,)))()
        moved = jax.tree.map(lambda p, d: p + 1e-6 * d, wide, along)
        for name, value in jax.jit(jax.grad(loss))(moved).items():
            ratio = (value - slope[name]) / 1e-6
            np.testing.assert_allclose(ratio, curve[name], rtol=1e-3, atol=1e-2)


@both
def test_bfloat16_gives_bfloat16_results(kind: str) -> None:
    params, layer, pair = streamed(kind)
    exact = layer.apply(params, *pair)
    half = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    narrow = tuple(jnp.asarray(x, jnp.bfloat16) for x in pair)
    y, scores = layer.apply(half, *narrow, return_attention_scores=True)
    assert y.dtype == jnp.bfloat16
    assert {part.dtype for part in jax.tree.leaves(scores)} == {jnp.dtype(jnp.bfloat16)}
    assert_close(y, np.asarray(exact), 10 * float(jnp.finfo(jnp.bfloat16).eps))
    assert layer.apply(params, *narrow).dtype == jnp.float32


@both
def test_dropout_depends_on_the_key_and_keeps_the_mean(kind: str) -> None:
    numpy_layer = with_biases(small(kind, dropout=0.25))
    params, layer = twin_of(numpy_layer)
    pair, key = inputs(kind), jax.random.key(5)
    still = layer.apply(params, *pair)
    of_one_draw = layer.apply(params, *pair, dropout_key=key)
    np.testing.assert_array_equal(layer.apply(params, *pair, dropout_key=key), of_one_draw)
    assert not np.allclose(layer.apply(params, *pair, dropout_key=jax.random.key(6)), of_one_draw)
    # A key drops the same scores on every route.
    for route in ("as_written", "left_read", "right_value"):
        ready = layer.prepare(params, route if kind == "cross" else (route, route))
        found = layer.apply(ready, *pair, dropout_key=key)
        np.testing.assert_allclose(found, of_one_draw, rtol=1e-5, atol=1e-5)
    # The mean over draws is the output without dropout; the scores are those before dropout.
    draw = functools.partial(layer.apply, params, *pair, return_attention_scores=True)
    ys, scores = jax.jit(jax.vmap(lambda k: draw(dropout_key=k)))(jax.random.split(key, 400))
    spread = ys.std(0) / 400**0.5
    assert (np.abs(ys.mean(0) - still) <= 5 * spread + 1e-6).all()
    for drawn, before in zip(jax.tree.leaves(scores), jax.tree.leaves(draw()[1]), strict=True):
        np.testing.assert_allclose(drawn[3], before, rtol=1e-5, atol=1e-6)
    if kind == "hierarchical":  # the two sides drop different scores
        same = {name: params[name.replace("long.", "short.")] for name in params}
        layer = HierarchicalAttention(6, 2, short_units=5, long_units=5, dropout=0.25)
        sides = layer.apply(same, pair[0], pair[0], dropout_key=key)
        lone = jax.tree.map(jnp.zeros_like, same) | {
            name: value for name, value in same.items() if name.startswith("short.")
        }
        half = layer.apply(lone, pair[0], pair[0], dropout_key=key)
        assert not np.allclose(sides, 2 * half, rtol=1e-3, atol=1e-3)
