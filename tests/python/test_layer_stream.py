"""Calls on parts of a longer input, with the position of their steps and sequences in it."""

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention


def small(**options: object) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def tokens(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X = tokens(2, 3, 6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("route", ["folded", "projected"])
def test_a_stream_split_into_calls_has_the_bits_of_one_call(route: str, dtype: str) -> None:
    layer = MemoryAugmentedAttention(6, 9, 2, seed=1, dropout=0.4, dtype=dtype)
    layer.route = route
    x = tokens(5, 13, 6, dtype=dtype)
    options = {"use_causal_mask": True, "training": True, "return_attention_scores": True}

    def call(rows: slice, steps: slice) -> tuple[np.ndarray, np.ndarray]:
        layer.dropout_step = 7  # the same draw for every part
        place = {"first_sequence": rows.start, "first_step": steps.start}
        return layer(x[rows, steps], **place, **options)

    y, scores = call(slice(0, 5), slice(0, 13))
    for steps in (slice(0, 1), slice(1, 6), slice(6, 13)):
        for rows in (slice(0, 2), slice(2, 5)):
            part, part_scores = call(rows, steps)
            np.testing.assert_array_equal(part, y[rows, steps])
            np.testing.assert_array_equal(part_scores, scores[rows, :, steps])
    # A part without its position gives another result.
    assert not np.array_equal(call(slice(0, 5), slice(0, 7))[0], y[:, 6:])


def test_backward_of_a_part_uses_its_position() -> None:
    layer = small(dropout=0.4)
    x, grad_y = tokens(4, 7, 6), tokens(4, 7, 6) ** 2
    options = {"use_causal_mask": True, "training": True}
    layer.dropout_step = 1
    whole = layer.backward(x, grad_y, **options)["x"]
    part = layer.backward(x[1:3, 2:], grad_y[1:3, 2:], first_step=2, first_sequence=1, **options)
    np.testing.assert_array_equal(part["x"], whole[1:3, 2:])


@pytest.mark.parametrize("name", ["first_step", "first_sequence"])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "found -1, expected at least 0 and below"),
        (2**63 - 2, ValueError, "found 9223372036854775806, expected at least 0 and below"),
        (2**64, ValueError, "found 18446744073709551616, expected at least 0 and below"),
        (1.5, TypeError, "found float, expected an integer"),
        (True, TypeError, "found bool, expected an integer"),
        ("1", TypeError, "found str, expected an integer"),
        (None, TypeError, "found NoneType, expected an integer"),
    ],
)
def test_an_invalid_position_is_refused(
    name: str, value: object, error: type, message: str
) -> None:
    layer = small(dropout=0.5)
    for call in (layer, lambda x, **place: layer.backward(x, x, **place)):
        with pytest.raises(error, match=f"{name}: {message}"):
            call(X, **{name: value})
    with pytest.raises(error):
        layer(X, training=True, **{name: value})
    assert layer.dropout_step == 0
    np.testing.assert_array_equal(layer(X, **{name: np.int32(0)}), layer(X))
