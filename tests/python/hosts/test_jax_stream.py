"""Calls in JAX that process a sequence in parts, with `first_step`."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memattn.jax import Config, apply, init, prepare

CONFIG = Config(6, 9, 2)
PARTS = (slice(0, 1), slice(1, 6), slice(6, 13))
X = np.random.default_rng(0).standard_normal((2, 13, 6))


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@functools.cache
def parameters() -> dict[str, jax.Array]:
    return init(jax.random.key(1), CONFIG, jnp.float64)


@pytest.mark.parametrize("route", ["folded", "projected"])
def test_calls_on_parts_give_the_results_of_one_call(route: Any) -> None:
    ready = prepare(parameters(), CONFIG, route)

    @functools.partial(jax.jit, static_argnums=1)
    def run(x: Any, first_step: int = 0) -> Any:
        call = {"use_causal_mask": True, "return_attention_scores": True}
        return apply(ready, x, CONFIG, first_step=first_step, **call)

    y, scores = run(X)
    for steps in PARTS:
        part, part_scores = run(X[:, steps], steps.start)
        np.testing.assert_allclose(part, y[:, steps], rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(part_scores, scores[:, :, steps], rtol=1e-13, atol=1e-13)
    # Without first_step, the result of a part differs.
    assert not np.allclose(run(X[:, 6:])[0], y[:, 6:])


def test_gradients_of_parts_sum_to_those_of_one_call() -> None:
    def gradients(steps: slice) -> Any:
        def loss(params: Any, x: Any) -> Any:
            call = {"use_causal_mask": True, "first_step": steps.start}
            return jnp.square(apply(params, x, CONFIG, **call)).sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1)))(parameters(), X[:, steps])

    whole, whole_x = gradients(slice(0, 13))
    parts = [gradients(steps) for steps in PARTS]
    found_x = np.concatenate([part_x for _, part_x in parts], 1)
    np.testing.assert_allclose(found_x, whole_x, rtol=1e-12, atol=1e-12)
    for name, expected in whole.items():
        found = sum(part[name] for part, _ in parts)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_one_compiled_call_serves_a_stream(dtype: str) -> None:
    traced = []

    @jax.jit
    def run(x: Any, first_step: Any) -> Any:
        traced.append(first_step)
        return apply(parameters(), x, CONFIG, use_causal_mask=True, first_step=first_step)

    whole = apply(parameters(), X, CONFIG, use_causal_mask=True)  # outside of the trace
    for step in range(13):
        part = run(X[:, step : step + 1], jnp.asarray(step, dtype))
        np.testing.assert_allclose(part, whole[:, step : step + 1], rtol=1e-13, atol=1e-13)
    assert len(traced) == 1


def test_a_step_beyond_the_last_slot_reads_all_slots() -> None:
    free = apply(parameters(), X, CONFIG)
    for place in (8, 2**31 - 1, 2**62, np.int64(2**40), jnp.asarray(2**40)):
        y = apply(parameters(), X, CONFIG, use_causal_mask=True, first_step=place)
        np.testing.assert_allclose(y, free, rtol=1e-13, atol=1e-13)
    with jax.enable_x64(False):  # the step is an int32, which must not overflow
        narrow = {name: value.astype(jnp.float32) for name, value in parameters().items()}
        x = X.astype(np.float32)
        run = jax.jit(lambda at: apply(narrow, x, CONFIG, use_causal_mask=True, first_step=at))
        y = run(jnp.asarray(2**31 - 1, jnp.int32))
    np.testing.assert_allclose(y, free, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_causal_mask", [True, False])
@pytest.mark.parametrize(
    ("value", "error", "found"),
    [
        (-1, ValueError, "-1, expected at least 0 and below"),
        (np.int32(-1), ValueError, "-1, expected at least 0 and below"),
        (2**63, ValueError, "9223372036854775808, expected at least 0 and below"),
        (True, TypeError, "bool, expected an integer, at least 0"),
        (1.0, TypeError, "float, expected an integer, at least 0"),
        (None, TypeError, "NoneType, expected an integer, at least 0"),
        (np.zeros(2, int), TypeError, "ndarray, expected an integer, at least 0"),
    ],
)
def test_an_invalid_first_step_is_refused(
    value: Any, error: type[Exception], found: str, use_causal_mask: bool
) -> None:
    with pytest.raises(error, match=f"apply: first_step: found {found}"):
        apply(parameters(), X, CONFIG, use_causal_mask=use_causal_mask, first_step=value)


def test_an_array_that_is_not_a_step_is_refused() -> None:
    def run(first_step: Any) -> Any:
        return apply(parameters(), X, CONFIG, use_causal_mask=True, first_step=first_step)

    with pytest.raises(ValueError, match="apply: first_step: found -1, expected at least 0"):
        run(jnp.asarray(-1))
    for value in (jnp.asarray(1.0), jnp.asarray(True), jnp.zeros(2, int)):
        for call in (run, jax.jit(run)):
            with pytest.raises(TypeError, match=r"apply: first_step: found .*, expected an int"):
                call(value)
