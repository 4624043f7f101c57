"""HierarchicalAttention over NumPy arrays: its own behaviour, and its messages."""

import numpy as np
import pytest

from memattn import CrossAttention, HierarchicalAttention

from .pairs import inputs, small, with_biases

SHORT, LONG = inputs("hierarchical")


def test_weights_have_their_names_and_shapes() -> None:
    heads = {
        "query.kernel": (6, 2, 4),
        "query.bias": (2, 4),
        "key.kernel": (6, 2, 4),
        "key.bias": (2, 4),
        "value.kernel": (6, 2, 2),
        "value.bias": (2, 2),
        "output.kernel": (2, 2, 6),
        "output.bias": (6,),
    }
    weights = small("hierarchical", key_dim=4, value_dim=2).weights
    expected = {
        "short.dense.kernel": (5, 6),
        "short.dense.bias": (6,),
        "long.dense.kernel": (3, 6),
        "long.dense.bias": (6,),
        **{f"{side}.{name}": shape for side in ("short", "long") for name, shape in heads.items()},
    }
    assert [(name, weight.shape) for name, weight in weights.items()] == list(expected.items())
    assert not any("bias" in name for name in small("hierarchical", use_bias=False).weights)
    assert repr(small("hierarchical")) == (
        "HierarchicalAttention(6, 2, short_units=5, long_units=3, seed=1)"
    )


def test_output_is_the_sum_of_two_self_attentions() -> None:
    layer = with_biases(small("hierarchical", dtype="float64"))
    weights = layer.weights
    mask = np.random.default_rng(1).random((3, 7)) < 0.7
    total = np.zeros((3, 7, 6))
    for side, x, width in (("short", SHORT, 5), ("long", LONG, 3)):
        one = CrossAttention(6, 2, source1_units=width, source2_units=width, dtype="float64")
        dense = {kind: weights[f"{side}.dense.{kind}"] for kind in ("kernel", "bias")}
        one.set_weights(
            {
                **{f"source{i}.{kind}": weight for kind, weight in dense.items() for i in (1, 2)},
                **{
                    name: weights[f"{side}.{name}"]
                    for name in one.weights
                    if not name.startswith("source")
                },
            }
        )
        step_mask = mask if side == "short" else None
        total += one(x, x, query_mask=step_mask, value_mask=step_mask)
    np.testing.assert_allclose(layer(SHORT, LONG, short_mask=mask), total, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 7), (3, 0), (0, 0)])
def test_empty_inputs_give_empty_results(shape: tuple[int, int]) -> None:
    layer = small("hierarchical")
    short, long = np.ones((*shape, 5)), np.ones((*shape, 3))
    y, scores = layer(short, long, return_attention_scores=True)
    assert y.shape == (*shape, 6)
    assert [each.shape for each in scores] == [(shape[0], 2, shape[1], shape[1])] * 2
    gradients = layer.backward(short, long, y)
    assert all(not np.any(gradient) for gradient in gradients.values())


def test_one_array_may_be_both_inputs() -> None:
    layer = HierarchicalAttention(6, 2, short_units=5, long_units=5, seed=1)
    np.testing.assert_array_equal(layer(SHORT, SHORT), layer(SHORT, SHORT.copy()))
    gradients = layer.backward(SHORT, SHORT, np.ones((3, 7, 6)))
    assert not np.shares_memory(gradients["short"], gradients["long"])


@pytest.mark.parametrize(
    ("short", "long", "error", "message"),
    [
        (SHORT[0], LONG, ValueError, r"^short: found shape \(7, 5\), expected \(batch, steps, 5\)"),
        (
            SHORT[..., :4],
            LONG,
            ValueError,
            r"^short: found shape \(3, 7, 4\), expected \(batch, st",
        ),
        (
            SHORT,
            LONG[..., :2],
            ValueError,
            r"^long: found shape \(3, 7, 2\), expected \(3, 7, 3\)$",
        ),
        (SHORT, LONG[:1], ValueError, r"^long: found shape \(1, 7, 3\), expected \(3, 7, 3\)$"),
        (SHORT, LONG[:, :1], ValueError, r"^long: found shape \(3, 1, 3\), expected \(3, 7, 3\)$"),
        (SHORT[:1], LONG, ValueError, r"^long: found shape \(3, 7, 3\), expected \(1, 7, 3\)$"),
        (SHORT[:, :1], LONG, ValueError, r"^long: found shape \(3, 7, 3\), expected \(3, 1, 3\)$"),
        (SHORT + 1j, LONG, TypeError, "^short: found dtype complex64, expected real numbers$"),
        (SHORT, [[1], [2, 3]], TypeError, "^long: found list that gives no array"),
    ],
)
def test_inputs_of_wrong_shape_or_type_are_refused(
    short: object, long: object, error: type, message: str
) -> None:
    layer = small("hierarchical")
    with pytest.raises(error, match=message):
        layer(short, long)
    with pytest.raises(error, match=message):
        layer([short, long])
    with pytest.raises(error, match=message):
        layer.backward(short, long, np.ones((3, 7, 6)))


def test_a_gradient_of_wrong_shape_is_refused() -> None:
    message = r"^grad_y: found shape \(3, 7, 5\), expected \(3, 7, 6\)$"
    with pytest.raises(ValueError, match=message):
        small("hierarchical").backward(SHORT, LONG, np.ones((3, 7, 5)))


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (
            {"attention_mask": np.ones((7, 4), bool)},
            ValueError,
            r"^attention_mask: found shape \(7, 4\), expected one that broadcasts to \(3, 7, 7\)$",
        ),
        (
            {"short_mask": np.ones((3, 1), bool)},
            ValueError,
            r"^short_mask: found shape \(3, 1\), expected \(3, 7\)$",
        ),
        (
            {"long_mask": np.ones(7, bool)},
            ValueError,
            r"^long_mask: found shape \(7,\), expected \(3, 7\)$",
        ),
        (
            {"long_mask": np.zeros((3, 7))},
            TypeError,
            "^long_mask: found dtype float64, expected booleans",
        ),
    ],
)
def test_masks_of_wrong_shape_or_type_are_refused(masks: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        small("hierarchical")(SHORT, LONG, **masks)
    with pytest.raises(error, match=message):
        small("hierarchical").backward(SHORT, LONG, np.ones((3, 7, 6)), **masks)


def test_masks_are_combined_by_and() -> None:
    layer = small("hierarchical")
    rng = np.random.default_rng(1)
    full, short, long = (
        rng.random((3, 7, 7)) < 0.7,
        rng.random((3, 7)) < 0.7,
        rng.random((3, 7)) < 0.7,
    )
    masks = {"attention_mask": full, "short_mask": short, "long_mask": long}
    scores = layer(SHORT, LONG, **masks, use_causal_mask=True, return_attention_scores=True)[1]
    for mask, found in zip((short, long), scores, strict=True):
        kept = full & mask[..., None] & mask[:, None] & np.tri(7, dtype=bool)
        np.testing.assert_array_equal(found != 0, np.broadcast_to(kept[:, None], found.shape))


def test_fully_masked_tokens_get_the_output_bias() -> None:
    nothing = {"short_mask": np.zeros((3, 7), bool), "return_attention_scores": True}
    scores = small("hierarchical")(SHORT, LONG, **nothing)[1]
    np.testing.assert_array_equal(scores[0], 0)
    np.testing.assert_allclose(scores[1].sum(-1), 1, rtol=1e-6)
    uniform = small("hierarchical", fully_masked="uniform")
    scores = uniform(SHORT, LONG, **nothing)[1]
    np.testing.assert_array_equal(scores[0], np.float32(1 / 7))
