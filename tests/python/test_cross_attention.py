"""CrossAttention over NumPy arrays: its own behaviour, and its messages."""

import numpy as np
import pytest

from memattn import CrossAttention

from .pairs import inputs, small, with_biases

X1, X2 = inputs("cross")


def test_weights_have_their_names_and_shapes() -> None:
    weights = small("cross", key_dim=4, value_dim=2).weights
    assert {name: weight.shape for name, weight in weights.items()} == {
        "source1.kernel": (5, 6),
        "source1.bias": (6,),
        "source2.kernel": (3, 6),
        "source2.bias": (6,),
        "query.kernel": (6, 2, 4),
        "query.bias": (2, 4),
        "key.kernel": (6, 2, 4),
        "key.bias": (2, 4),
        "value.kernel": (6, 2, 2),
        "value.bias": (2, 2),
        "output.kernel": (2, 2, 6),
        "output.bias": (6,),
    }
    assert not any("bias" in name for name in small("cross", use_bias=False).weights)
    assert repr(small("cross")) == "CrossAttention(6, 2, source1_units=5, source2_units=3, seed=1)"


@pytest.mark.parametrize("shape", [(0, 7, 4), (3, 0, 4), (3, 7, 0), (0, 0, 0)])
def test_empty_inputs_give_empty_results(shape: tuple[int, int, int]) -> None:
    batch, steps, keys = shape
    layer = with_biases(small("cross"))
    x1, x2 = np.ones((batch, steps, 5)), np.ones((batch, keys, 3))
    y, scores = layer(x1, x2, return_attention_scores=True)
    assert y.shape == (batch, steps, 6)
    assert scores.shape == (batch, 2, steps, keys)
    np.testing.assert_array_equal(y, np.broadcast_to(layer.weights["output.bias"], y.shape))
    gradients = layer.backward(x1, x2, np.ones_like(y))
    assert gradients.pop("output.bias").sum() == y.size
    assert all(not np.any(gradient) for gradient in gradients.values())


def test_with_one_key_only_its_value_matters() -> None:
    layer = with_biases(small("cross", dtype="float64"))
    y, scores = layer(X1, X2[:, :1], return_attention_scores=True)
    np.testing.assert_array_equal(scores, 1)
    np.testing.assert_allclose(y, layer(2 * X1, X2[:, :1]), rtol=1e-13)
    gradients = layer.backward(X1, X2[:, :1], np.ones((3, 7, 6)))
    for name in ("x1", "query.kernel", "query.bias", "key.kernel", "source1.kernel"):
        np.testing.assert_array_equal(gradients[name], 0)


def test_one_array_may_be_both_inputs() -> None:
    layer = CrossAttention(6, 2, source1_units=5, source2_units=5, seed=1)
    np.testing.assert_array_equal(layer(X1, X1), layer(X1, X1.copy()))
    gradients = layer.backward(X1, X1, np.ones((3, 7, 6)))
    assert not np.shares_memory(gradients["x1"], gradients["x2"])


@pytest.mark.parametrize(
    ("x1", "x2", "error", "message"),
    [
        (X1[0], X2, ValueError, r"^x1: found shape \(7, 5\), expected \(batch, steps1, 5\)$"),
        (X1[..., :4], X2, ValueError, r"^x1: found shape \(3, 7, 4\), expected \(batch, steps1, 5"),
        (X1, X2[..., :2], ValueError, r"^x2: found shape \(3, 4, 2\), expected \(3, steps2, 3\)$"),
        (X1, X2[:1], ValueError, r"^x2: found shape \(1, 4, 3\), expected \(3, steps2, 3\)$"),
        (X1[:1], X2, ValueError, r"^x2: found shape \(3, 4, 3\), expected \(1, steps2, 3\)$"),
        (X1 + 1j, X2, TypeError, "^x1: found dtype complex64, expected real numbers$"),
        (X1, np.full((3, 4, 3), "a"), TypeError, "^x2: found dtype <U1, expected real numbers$"),
        (X1, [[1], [2, 3]], TypeError, "^x2: found list that gives no array"),
        (None, X2, TypeError, "^x1: found NoneType of objects, expected an array of numbers$"),
    ],
)
def test_inputs_of_wrong_shape_or_type_are_refused(
    x1: object, x2: object, error: type, message: str
) -> None:
    layer = small("cross")
    with pytest.raises(error, match=message):
        layer(x1, x2)
    with pytest.raises(error, match=message):
        layer.backward(x1, x2, np.ones((3, 7, 6)))


def test_a_gradient_of_wrong_shape_is_refused() -> None:
    message = r"^grad_y: found shape \(3, 4, 6\), expected \(3, 7, 6\)$"
    with pytest.raises(ValueError, match=message):
        small("cross").backward(X1, X2, np.ones((3, 4, 6)))


@pytest.mark.parametrize(
    ("masks", "error", "message"),
    [
        (
            {"attention_mask": np.ones((7, 7), bool)},
            ValueError,
            r"^attention_mask: found shape \(7, 7\), expected one that broadcasts to \(3, 7, 4\)$",
        ),
        (
            {"attention_mask": np.ones((1, 3, 7, 4), bool)},
            ValueError,
            r"^attention_mask: found shape \(1, 3, 7, 4\), expected one that broadcasts to",
        ),
        (
            {"attention_mask": np.zeros((7, 4))},
            TypeError,
            "^attention_mask: found dtype float64, expected booleans",
        ),
        (
            {"query_mask": np.ones((3, 4), bool)},
            ValueError,
            r"^query_mask: found shape \(3, 4\), expected \(3, 7\)$",
        ),
        (
            {"value_mask": np.ones((3, 7), bool)},
            ValueError,
            r"^value_mask: found shape \(3, 7\), expected \(3, 4\)$",
        ),
    ],
)
def test_masks_of_wrong_shape_or_type_are_refused(masks: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        small("cross")(X1, X2, **masks)
    with pytest.raises(error, match=message):
        small("cross").backward(X1, X2, np.ones((3, 7, 6)), **masks)


def test_masks_are_combined_by_and() -> None:
    layer = small("cross")
    full = np.random.default_rng(1).random((3, 7, 4)) < 0.6
    query, value = full[..., 0], full[:, 0]
    together = full & query[..., None] & value[:, None] & np.tri(7, 4, dtype=bool)
    masks = {"attention_mask": full, "query_mask": query, "value_mask": value}
    found = layer(X1, X2, **masks, use_causal_mask=True, return_attention_scores=True)
    expected = layer(X1, X2, attention_mask=together, return_attention_scores=True)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    with pytest.raises(ValueError, match=r"return_attention_scores: found .each., expected"):
        layer(X1, X2, return_attention_scores="each")


def test_fully_masked_tokens_get_the_output_bias() -> None:
    nothing = {"query_mask": np.zeros((3, 7), bool), "return_attention_scores": True}
    layer = with_biases(small("cross"))
    y, scores = layer(X1, X2, **nothing)
    np.testing.assert_array_equal(y, np.broadcast_to(layer.weights["output.bias"], y.shape))
    np.testing.assert_array_equal(scores, 0)
    scores = small("cross", fully_masked="uniform")(X1, X2, **nothing)[1]
    np.testing.assert_array_equal(scores, np.float32(0.25))


@pytest.mark.parametrize("route", ["as_written", "left_read", "right_value"])
def test_a_stream_split_into_calls_has_the_bits_of_one_call(route: str) -> None:
    layer = small("cross", dropout=0.4)
    layer.route = route
    x1, x2 = inputs("cross", batch=5, steps=13, keys=9)
    options = {"use_causal_mask": True, "training": True, "return_attention_scores": True}

    def call(steps: slice) -> tuple[np.ndarray, np.ndarray]:
        layer.dropout_step = 7
        return layer(x1[:, steps], x2, first_step=steps.start, **options)

    y, scores = call(slice(0, 13))
    for steps in (slice(0, 1), slice(1, 6), slice(6, 13)):
        part, part_scores = call(steps)
        np.testing.assert_array_equal(part, y[:, steps])
        np.testing.assert_array_equal(part_scores, scores[:, :, steps])
    layer.dropout_step = 8
    whole = layer.backward(x1, x2, y, use_causal_mask=True, training=True)["x1"]
    part = layer.backward(
        x1[:, 6:], x2, y[:, 6:], use_causal_mask=True, training=True, first_step=6
    )
    np.testing.assert_array_equal(part["x1"], whole[:, 6:])
