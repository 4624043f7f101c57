"""The folded heads reproduce the layer's scores and output."""

import numpy as np
import pytest

from memattn.inspection.fold import fold_heads, logit_range, spread

from ..layers import SHAPES, make_layer


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_folded_heads_give_the_scores_and_output_of_the_layer(shape: tuple, use_bias: bool) -> None:
    layer = make_layer(shape, use_bias=use_bias, dtype="float64")
    rng = np.random.default_rng(2)
    layer.set_weights({n: w + 0.1 * rng.standard_normal(w.shape) for n, w in layer.weights.items()})
    x = rng.standard_normal((7, shape[0]))
    y, scores = layer(x[None], return_attention_scores=True)
    expected = x + (layer.weights["output.bias"] if use_bias else 0)
    for h, head in enumerate(fold_heads(layer.weights)):
        logits = x @ head.a + head.c
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(p, scores[0, h], atol=1e-12)
        expected = expected + p @ head.b
    np.testing.assert_allclose(y[0], expected, atol=1e-11)


def test_spread_and_range_are_bounds() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((9, 4))
    distances = np.linalg.norm(rows[:, None] - rows, axis=2)
    assert spread(rows) <= distances.max() <= 2 * spread(rows)
    assert spread(rows + 5) == pytest.approx(spread(rows))
    a, c = rng.standard_normal((4, 9)), rng.standard_normal(9)
    x = rng.standard_normal((1000, 4))
    x *= 3 / np.linalg.norm(x, axis=1, keepdims=True)
    measured = np.ptp(x @ a + c, axis=1).max()
    assert measured <= logit_range(a, c, 3.0) < 4 * measured


def test_an_overflow_gives_non_finite_values_without_a_warning() -> None:
    layer = make_layer((2, 3, 1, None, None), dtype="float64")
    layer.set_weights({name: np.full(w.shape, 1e200) for name, w in layer.weights.items()})
    (head,) = fold_heads(layer.weights)
    assert not np.isfinite(head.b).any()
    assert not np.isfinite(spread(head.b))
