"""JAX: what a masked step or slot holds reaches nothing, nor does a token reach the others."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memattn.jax import Config, apply, init, prepare
from memattn.layer_options import PAIR_ROUTES

from ..masked_values import (
    JUNK,
    assert_query_reaches_no_others,
    filled,
    one_query_for_some,
    one_step_for_some,
)
from ..pairs import INPUTS, both, inputs, on_jax_some, small, with_biases
from .test_jax_pairs import pairs_of_scores, run, twin_of

SOME_ROUTES = [*on_jax_some(PAIR_ROUTES), "right_value"]


@pytest.mark.parametrize("route", SOME_ROUTES)
@both
def test_a_step_that_some_may_read_reaches_no_others(kind: str, route: Any) -> None:
    params, layer = twin_of(with_biases(small(kind)))
    pair = inputs(kind)
    keep, other, step = one_step_for_some(kind, pair[1].shape[1])
    grad_y = np.ones((3, 7, 6), np.float32)
    clean = run(layer, params, pair, grad_y, route, attention_mask=keep)
    for junk in JUNK:
        dirty = (pair[0], filled(pair[1], step, junk))
        found = run(layer, params, dirty, grad_y, route, attention_mask=keep)
        first = INPUTS[kind][0]
        np.testing.assert_array_equal(found[0][:, other], clean[0][:, other], junk)
        np.testing.assert_array_equal(found[2][first][:, other], clean[2][first][:, other], junk)
        for a, b in pairs_of_scores(found[1], clean[1]):
            np.testing.assert_array_equal(a[:, :, other], b[:, :, other], junk)


@pytest.mark.parametrize("route", SOME_ROUTES)
def test_a_query_reaches_no_others(route: Any) -> None:
    params, layer = twin_of(with_biases(small("cross")))
    pair = inputs("cross")
    keep, query = one_query_for_some()
    grad_y = np.ones((3, 7, 6), np.float32)
    clean = run(layer, params, pair, grad_y, route, attention_mask=keep)
    for junk in JUNK:
        dirty = (filled(pair[0], query, junk), pair[1])
        found = run(layer, params, dirty, grad_y, route, attention_mask=keep)
        assert_query_reaches_no_others(found, clean, query, junk)


@pytest.mark.parametrize("fully_masked", ["zero", "uniform"])
@pytest.mark.parametrize("route", ["folded", "projected"])
def test_a_slot_reaches_only_its_readers(fully_masked: Any, route: Any) -> None:
    config = Config(6, 5, 2, key_dim=3, fully_masked=fully_masked)
    params = init(jax.random.key(0), config)
    x = np.random.default_rng(1).standard_normal((3, 7, 6), np.float32)
    keep = np.ones((1, 7, 5), bool)
    keep[..., 3] = False

    @jax.jit
    def results(params: Any, x: Any, keep: Any) -> Any:
        y, pull = jax.vjp(
            lambda p, x: apply(prepare(p, config, route), x, config, attention_mask=keep), params, x
        )
        return y, *pull(jnp.ones_like(x))

    clean = results(params, x, keep)
    some = keep.copy()
    some[0, 4, 3] = True
    slot, other = np.arange(5) == 3, np.arange(7) != 4
    for junk in JUNK:
        dirty = {**params, "memory": filled(np.asarray(params["memory"]), slot, junk)}
        jax.tree.map(np.testing.assert_array_equal, results(dirty, x, keep), clean)
        y, _, grad_x = results(dirty, x, some)
        np.testing.assert_array_equal(y[:, other], clean[0][:, other], junk)
        np.testing.assert_array_equal(grad_x[:, other], clean[2][:, other], junk)
