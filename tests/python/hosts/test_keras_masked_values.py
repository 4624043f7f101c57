"""Keras: what a masked step or slot holds reaches nothing, nor does a step reach the others."""

from typing import Any

import numpy as np
import pytest

from memattn.keras.host import KERAS_3
from memattn.layer_options import PAIR_ROUTES

from ..masked_values import (
    SOME_JUNK,
    assert_query_reaches_no_others,
    filled,
    one_query_for_some,
    one_step_for_some,
)
from ..pairs import both, inputs, small, step_masks, with_biases
from ..sampling import some
from .keras_pairs import check_scores
from .keras_pairs import twin as pair_twin
from .keras_support import WARNINGS_OF_KERAS, numpy_layer, run, tokens, twin

pytestmark = WARNINGS_OF_KERAS
# The short form takes every route on Keras 2. On Keras 3, whose operators are TensorFlow's, too, it
# takes every third.
routes = pytest.mark.parametrize("route", some(PAIR_ROUTES, 3 if KERAS_3 else 1))


def pair_of(kind: str, route: Any) -> tuple[Any, Any, np.ndarray]:
    """A layer of two inputs with its inputs and the gradient of its output."""
    layer = pair_twin(with_biases(small(kind)))
    layer.route = route
    return layer, inputs(kind), np.ones((3, 7, 6), np.float32)


@routes
@both
def test_masked_steps_reach_nothing(kind: str, route: Any) -> None:
    layer, x, g = pair_of(kind, route)
    masks = step_masks(kind, *x)
    clean = run(layer, x, g, **masks)
    for junk in SOME_JUNK:
        dirty = [filled(part, ~mask, junk) for part, mask in zip(x, masks.values(), strict=True)]
        found = run(layer, dirty, g, **masks)
        np.testing.assert_array_equal(found[0], clean[0], junk)
        check_scores(found[1], clean[1], 0.0)
        for name, gradient in found[2].items():
            np.testing.assert_array_equal(gradient, clean[2][name], junk + name)


@routes
@both
def test_a_step_that_some_may_read_reaches_no_others(kind: str, route: Any) -> None:
    layer, x, g = pair_of(kind, route)
    keep, other, step = one_step_for_some(kind, x[1].shape[1])
    clean = run(layer, x, g, attention_mask=keep)
    for junk in SOME_JUNK:
        found = run(layer, [x[0], filled(x[1], step, junk)], g, attention_mask=keep)
        np.testing.assert_array_equal(found[0][:, other], clean[0][:, other], junk)
        np.testing.assert_array_equal(found[2]["x1"][:, other], clean[2]["x1"][:, other], junk)


@routes
def test_a_query_reaches_no_others(route: Any) -> None:
    layer, x, g = pair_of("cross", route)
    keep, query = one_query_for_some()
    clean = run(layer, x, g, attention_mask=keep)
    for junk in SOME_JUNK:
        found = run(layer, [filled(x[0], query, junk), x[1]], g, attention_mask=keep)
        assert_query_reaches_no_others(found, clean, query, junk)


@pytest.mark.parametrize("fully_masked", ["zero", "uniform"])
@pytest.mark.parametrize("route", ["folded", "projected"])
def test_slots_and_tokens_reach_only_who_may_see_them(fully_masked: str, route: Any) -> None:
    reference = numpy_layer(dtype="float32", fully_masked=fully_masked)
    layer = twin(reference)
    layer.route = route
    x, g = tokens(3, 7, 6), np.ones((3, 7, 6), np.float32)
    keep = np.ones((1, 7, 5), bool)
    keep[..., 3] = False
    clean = run(layer, x, g, attention_mask=keep)
    some = keep.copy()
    some[0, 4, 3] = True
    slot, other = np.arange(5) == 3, np.arange(7) != 4
    for junk in SOME_JUNK:
        reference.set_weights({"memory": filled(reference.weights["memory"], slot, junk)})
        layer.set_weights(reference.get_weights())
        found = run(layer, x, g, attention_mask=keep)
        np.testing.assert_array_equal(found[0], clean[0], junk)
        np.testing.assert_array_equal(found[1], clean[1], junk)
        for name, gradient in found[2].items():
            np.testing.assert_array_equal(gradient, clean[2][name], junk + name)
        found = run(layer, x, g, attention_mask=some)
        np.testing.assert_array_equal(found[0][:, other], clean[0][:, other], junk)
        np.testing.assert_array_equal(found[2]["x"][:, other], clean[2]["x"][:, other], junk)


def test_masked_tokens_reach_nothing() -> None:
    layer = twin(numpy_layer(dtype="float32"))
    x = tokens(3, 7, 6)
    kept = np.random.default_rng(5).random((3, 7)) < 0.6
    g = np.where(kept[..., None], 1, 0).astype(np.float32)
    clean = run(layer, x, g, query_mask=kept)
    for junk in SOME_JUNK:
        found = run(layer, filled(x, ~kept, junk), g, query_mask=kept)
        np.testing.assert_array_equal(found[0][kept], clean[0][kept], junk)
        for name, gradient in found[2].items():
            np.testing.assert_array_equal(gradient, clean[2][name], junk + name)
