"""Calls of the layers of two inputs: lists of two, masked steps, parts of a batch, `out`."""

import numpy as np
import pytest

from memattn.layer_options import PAIR_ROUTES

from .pairs import INPUTS, both, equal, inputs, small, step_masks, with_biases


@both
def test_inputs_may_be_one_list_or_tuple(kind: str) -> None:
    layer = small(kind)
    first, second = inputs(kind)
    expected = layer(first, second)
    equal(layer([first, second]), expected)
    equal(layer((first, second)), expected)
    equal(layer(first.tolist(), second.tolist()), expected)
    equal(layer(first.astype("float64"), np.asfortranarray(second)), expected)
    equal(layer(**dict(zip(INPUTS[kind], (first, second), strict=True))), expected)


@both
def test_a_wrong_number_of_inputs_is_refused(kind: str) -> None:
    layer = small(kind)
    first, second = inputs(kind)
    a, b = INPUTS[kind]
    call = rf"expected layer\({a}, {b}\) or layer\(\[{a}, {b}\]\)"
    with pytest.raises(TypeError, match=f"^{b}: found None, {call}$"):
        layer(first)
    with pytest.raises(ValueError, match=f"^{a}: found a list of 3, {call}$"):
        layer([first, second, second])
    with pytest.raises(ValueError, match=f"^{a}: found a tuple of 1, {call}$"):
        layer((first,))
    with pytest.raises(TypeError, match="unexpected keyword argument 'mask'"):
        layer(first, second, mask=None)


@both
@pytest.mark.parametrize("route", PAIR_ROUTES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_values_of_masked_steps_do_not_matter(
    kind: str, route: str, dtype: str, value: float
) -> None:
    layer = with_biases(small(kind, dtype=dtype))
    layer.route = route
    first, second = inputs(kind, dtype=dtype)
    masks = step_masks(kind, first, second)
    grad_y = np.cos(layer(first, second))

    def run() -> tuple[object, object]:
        y = layer(first, second, **masks, return_attention_scores=True)
        return y, layer.backward(first, second, grad_y, **masks)

    for x, mask in zip((first, second), masks.values(), strict=True):
        x[~mask] = 0
    y, gradients = run()
    for x, mask in zip((first, second), masks.values(), strict=True):
        x[~mask] = value
    poisoned_y, poisoned_gradients = run()
    equal(poisoned_y, y)
    equal(poisoned_gradients, gradients)
    for name, mask in zip(INPUTS[kind], masks.values(), strict=True):
        assert np.isfinite(gradients[name]).all()
        np.testing.assert_array_equal(gradients[name][~mask], 0)
    nothing = ~np.logical_or(*masks.values()) if kind == "hierarchical" else ~masks["query_mask"]
    weights = layer.weights
    bias = sum(weights[name] for name in weights if name.endswith("output.bias"))
    assert nothing.any()
    np.testing.assert_array_equal(y[0][nothing], np.broadcast_to(bias, y[0][nothing].shape))


@both
@pytest.mark.parametrize("route", PAIR_ROUTES)
def test_values_of_steps_that_no_step_reads_do_not_matter(kind: str, route: str) -> None:
    layer = with_biases(small(kind, dtype="float64"))
    layer.route = route
    first, second = inputs(kind, dtype="float64")
    keys = second.shape[1]
    mask = np.ones((7, keys), bool)
    mask[:, 2] = False
    results = []
    for value in (0, np.nan):
        if kind == "cross":
            second[:, 2] = value
        else:  # in self-attention, a step that is not read still reads
            mask[2] = False
            first[:, 2] = second[:, 2] = value
        y = layer(first, second, attention_mask=mask, return_attention_scores=True)
        results.append((y, layer.backward(first, second, np.ones((3, 7, 6)), attention_mask=mask)))
    equal(results[1], results[0])


@both
def test_attention_masks_broadcast(kind: str) -> None:
    layer = small(kind)
    first, second = inputs(kind)
    full = np.random.default_rng(1).random((3, 7, second.shape[1])) < 0.6
    for mask in (full, full[:1], full[0], full[0, :1], full[:, :1], full[0, 0], full[..., :1]):
        whole = np.broadcast_to(mask, full.shape)
        equal(
            layer(first, second, attention_mask=mask),
            layer(first, second, attention_mask=whole.astype(int)),
        )


@both
def test_out_receives_the_result(kind: str) -> None:
    widths = {"source1_units": 6} if kind == "cross" else {"short_units": 6}
    layer = small(kind, **widths)
    first, second = inputs(kind)
    first = np.concatenate([first, first[..., :1]], axis=-1)
    expected = layer(first, second)
    out = np.full((3, 7, 6), np.nan, np.float32)
    assert layer(first, second, out=out) is out
    equal(out, expected)
    y, scores = layer(first, second, out=out, return_attention_scores=True)
    assert y is out
    equal(scores, layer(first, second, return_attention_scores=True)[1])
    unaligned = np.empty(out.nbytes + 1, np.uint8)[1:].view("float32").reshape(out.shape)
    assert layer(first, second, out=unaligned) is unaligned
    equal(unaligned.copy(), expected)
    shared = INPUTS[kind][0] if kind == "cross" else "x_short"
    with pytest.raises(ValueError, match=f"forward: y: found memory that it shares with {shared}"):
        layer(first, second, out=first)
    for wrong, message in (
        (np.empty((3, 7, 5), np.float32), r"found shape \(3, 7, 5\), expected \(3, 7, 6\)"),
        (np.empty((3, 7, 6)), "found dtype float64, expected float32"),
        (np.empty((3, 7, 12), np.float32)[..., ::2], "found an array with gaps"),
        (np.frombuffer(bytes(504), np.float32).reshape(3, 7, 6), "found a read-only array"),
    ):
        with pytest.raises(ValueError, match=f"^out: {message}"):
            layer(first, second, out=wrong)
    with pytest.raises(TypeError, match=r"^out: found list, expected a NumPy array"):
        layer(first, second, out=[0.0])


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("route", PAIR_ROUTES)
def test_a_batch_split_into_calls_has_the_bits_of_one_call(
    kind: str, route: str, dtype: str
) -> None:
    layer = with_biases(small(kind, dropout=0.4, dtype=dtype))
    layer.route = route
    first, second = inputs(kind, batch=7, dtype=dtype)
    masks = step_masks(kind, first, second)

    def call(rows: slice) -> list[np.ndarray]:
        layer.dropout_step = 6  # the same draw for every part
        parts = {name: mask[rows] for name, mask in masks.items()}
        options = {"use_causal_mask": True, "training": True, "first_sequence": rows.start}
        x = first[rows], second[rows]
        y, scores = layer(*x, **parts, **options, return_attention_scores=True)
        gradients = layer.backward(*x, np.cos(y), **parts, **options)
        scores = [scores] if kind == "cross" else [*scores]
        return [y, *scores, *(gradients[name] for name in INPUTS[kind])]

    whole = call(slice(0, 7))
    for rows in (slice(0, 2), slice(2, 3), slice(3, 7)):
        equal(call(rows), [array[rows] for array in whole])
    # A part without its position gives another result.
    layer.dropout_step = 6
    part = layer(first[3:], second[3:], training=True)
    layer.dropout_step = 6
    assert not np.array_equal(part, layer(first[3:], second[3:], training=True, first_sequence=3))


@both
def test_a_part_of_a_batch_takes_the_same_route(kind: str) -> None:
    layer = small(kind)
    first, second = inputs(kind, batch=7)
    whole = layer(first, second)
    for rows in (slice(0, 1), slice(1, 7)):
        equal(layer(first[rows], second[rows]), whole[rows])


@both
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "found -1, expected at least 0 and below"),
        (2**63 - 2, ValueError, "found 9223372036854775806, expected at least 0 and below"),
        (1.5, TypeError, "found float, expected an integer"),
        (True, TypeError, "found bool, expected an integer"),
        (None, TypeError, "found NoneType, expected an integer"),
    ],
)
def test_an_invalid_position_is_refused(
    kind: str, value: object, error: type, message: str
) -> None:
    layer = small(kind, dropout=0.5)
    first, second = inputs(kind)
    grad_y = np.ones((3, 7, 6))
    for name in ("first_sequence", *(["first_step"] if kind == "cross" else [])):
        with pytest.raises(error, match=f"^{name}: {message}"):
            layer(first, second, training=True, **{name: value})
        with pytest.raises(error, match=f"^{name}: {message}"):
            layer.backward(first, second, grad_y, **{name: value})
        assert layer.dropout_step == 0


@both
def test_the_compiled_part_refuses_unaligned_arrays(kind: str) -> None:
    first, second = inputs(kind)
    core = small(kind)._core
    flat = np.zeros(small(kind).count_params() * 4 + 1, np.uint8)[1:].view("float32")
    with pytest.raises(ValueError, match="found an array at an address that is no multiple of 4"):
        core.set_parameters(flat)
    moved = np.zeros(first.nbytes + 1, np.uint8)[1:].view("float32").reshape(first.shape)
    places = (None, None, None, False, False, 0, 0)
    places = (*places, 0) if kind == "cross" else places
    scores = (None,) if kind == "cross" else (None, None)
    y = np.zeros((3, 7, 6), np.float32)
    with pytest.raises(ValueError, match="found an array at an address that is no multiple of 4"):
        core.forward(moved, second, y, *scores, False, *places)
    layer = small(kind)
    moved[...] = first
    equal(layer(moved, second), layer(first, second))
