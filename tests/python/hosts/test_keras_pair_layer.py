"""CrossAttention and HierarchicalAttention for Keras: golden values, NumPy's values, masks."""

import itertools
from typing import Any

import numpy as np
import pytest

from memattn.keras.host import KERAS_3, keras
from memattn.layer_options import PAIR_ROUTES

from ..pairs import (
    CASES,
    KINDS,
    WIDTHS,
    both,
    golden,
    inputs,
    on_jax_some,
    pairwise_or_jax_some,
    small,
    step_masks,
    with_biases,
)
from ..sampling import pairwise
from .keras_pairs import CLASSES, check_against_numpy, check_scores, twin
from .keras_support import BACKEND, WARNINGS_OF_KERAS, agree, numpy, run, tensor

pytestmark = WARNINGS_OF_KERAS
# A golden case of each kind, which every route must give, and its limits.
UNEVEN = ("{}_uneven", "float32", (3e-6, 6e-6))
EVERY_MASK = ("mask_{}_every_mask", "float64", (1e-12, 1e-12))


@pytest.mark.parametrize(
    ("case", "dtype", "route", "limits"),
    on_jax_some(
        (case, "float64", "auto", (1e-12, 1e-12)) for case in CASES if "uniform" not in case
    )
    + [
        (case.format(kind), dtype, route, limits)
        for kind, route, (case, dtype, limits) in pairwise(KINDS, PAIR_ROUTES, [UNEVEN, EVERY_MASK])
    ],
)
def test_the_layers_give_the_golden_values(
    case: str, dtype: str, route: Any, limits: tuple[float, float]
) -> None:
    reference, masks, arrays = golden(case, dtype)
    layer = twin(reference)
    layer.route = route
    x, g = [arrays[name].astype(dtype) for name in ("x1", "x2")], arrays["g"].astype(dtype)
    y, scores, gradients = run(layer, x, g, **masks)
    assert agree(y, arrays["y"], limits[0])
    expected = arrays.get("scores")
    check_scores(
        scores,
        (arrays["scores1"], arrays["scores2"]) if expected is None else expected,
        limits[0],
    )
    for name, found in gradients.items():
        if name.endswith("key.bias"):  # ours is 0, the golden one is rounding noise
            np.testing.assert_array_equal(found, 0)
        else:
            assert agree(found, arrays[f"grad.{name}"], limits[1]), name


@pytest.mark.parametrize("kind", KINDS)
def test_fully_masked_steps_agree_with_keras_2(kind: str) -> None:
    reference, masks, arrays = golden(f"uniform_{kind}", "float32", fully_masked="uniform")
    layer = twin(reference)
    y = layer([tensor(arrays["x1"]), tensor(arrays["x2"])], **masks)
    assert agree(numpy(y), arrays["y"], 3e-6)


OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no bias": {"use_bias": False},
    "other widths": {"key_dim": 4, "value_dim": 2},
    "narrow heads": {"key_dim": 1},
}


def gradient_of(x: Any) -> np.ndarray:
    shape = (*x[0].shape[:2], 6)
    return np.random.default_rng(9).standard_normal(shape)


@pytest.mark.parametrize(
    ("kind", "options", "route"),
    pairwise_or_jax_some(KINDS, list(OPTIONS), ["auto", "as_written", "right_value"]),
)
def test_every_option_agrees_with_numpy(kind: str, options: str, route: Any) -> None:
    reference = small(kind, dtype="float64", **OPTIONS[options])
    if reference.get_config()["use_bias"]:
        with_biases(reference)
    layer = twin(reference)
    layer.route = route
    x = inputs(kind, dtype="float64")
    g = gradient_of(x)
    check_against_numpy(layer, reference, x, g)
    check_against_numpy(layer, reference, x, g, **step_masks(kind, *x))


@both
@pytest.mark.parametrize("fully_masked", ["zero", "uniform"])
def test_every_mask_agrees_with_numpy(kind: str, fully_masked: str) -> None:
    reference = with_biases(small(kind, dtype="float64", fully_masked=fully_masked))
    layer = twin(reference)
    x = inputs(kind, dtype="float64")
    g = gradient_of(x)
    keys = x[1].shape[1]
    full = np.random.default_rng(5).random((3, 7, keys)) < 0.5
    full[0, 1] = False
    for mask in (full, full[:1], full[0], full[0, 0].astype(np.int32)):
        check_against_numpy(layer, reference, x, g, attention_mask=mask)
    check_against_numpy(layer, reference, x, g, use_causal_mask=True)
    for name, mask in step_masks(kind, *x).items():
        check_against_numpy(layer, reference, x, g, **{name: mask})
    everything = {**step_masks(kind, *x), "attention_mask": full, "use_causal_mask": True}
    check_against_numpy(layer, reference, x, g, **everything)


def test_first_step_continues_a_causal_call() -> None:
    reference = with_biases(small("cross", dtype="float64"))
    x = inputs("cross", dtype="float64")
    layer = twin(reference)
    for first in (0, 2, 2**40):
        y = layer([tensor(part) for part in x], use_causal_mask=True, first_step=first)
        assert agree(numpy(y), reference(*x, use_causal_mask=True, first_step=first), 1e-13)
    with pytest.raises(ValueError, match="first_step: found -1"):
        layer([tensor(part) for part in x], use_causal_mask=True, first_step=-1)


@pytest.mark.parametrize(
    ("kind", "route", "value"), pairwise_or_jax_some(KINDS, PAIR_ROUTES, [np.nan, np.inf, 1e30])
)
def test_masked_steps_may_hold_any_values(kind: str, route: Any, value: float) -> None:
    reference = with_biases(small(kind, dtype="float64"))
    layer = twin(reference)
    layer.route = route
    x = inputs(kind, dtype="float64")
    g = gradient_of(x)
    masks = step_masks(kind, *x)
    clean = run(layer, x, g, **masks)
    dirty = [part.copy() for part in x]
    for part, mask in zip(dirty, masks.values(), strict=True):
        part[~mask] = value
    found = run(layer, dirty, g, **masks)
    np.testing.assert_array_equal(found[0], clean[0])
    check_scores(found[1], clean[1], 0.0)
    for name, gradient in found[2].items():
        np.testing.assert_array_equal(gradient, clean[2][name])


@both
def test_nan_affects_only_the_steps_that_read_it(kind: str) -> None:
    layer = twin(with_biases(small(kind, dtype="float64")))
    x = inputs(kind, dtype="float64")
    x[1][1, 2, 0] = np.nan
    keep = np.ones((3, 7, x[1].shape[1]), bool)
    keep[:, :, 2] = False
    keep[1, 4, 2] = True
    keep[1, 2] = False
    y = numpy(layer([tensor(part) for part in x], attention_mask=keep))
    bad = np.zeros((3, 7), bool)
    bad[1, 4] = True
    np.testing.assert_array_equal(np.isnan(y).all(axis=-1), bad)
    np.testing.assert_array_equal(np.isfinite(y).all(axis=-1), ~bad)


@both
def test_keras_masks_are_used_and_passed_on(kind: str) -> None:
    layer = twin(with_biases(small(kind, dtype="float64")))
    x = inputs(kind, dtype="float64")
    masks = step_masks(kind, *x)
    for part, mask in zip(x, masks.values(), strict=True):
        part[~mask] = 0
    masking = keras.layers.Masking(dtype="float64")
    plain = [tensor(part) for part in x]
    carrying = [masking(part) for part in plain]
    expected = numpy(layer(plain, **masks))
    assert agree(numpy(layer(carrying)), expected, 1e-14)
    assert not agree(numpy(layer(plain)), expected, 1e-3)
    assert agree(numpy(layer(plain, mask=list(masks.values()))), expected, 1e-14)
    (first, one), (second, _) = masks.items()
    half = numpy(layer([carrying[0], plain[1]]))
    assert agree(half, numpy(layer(plain, **{first: one})), 1e-14)
    full = np.random.default_rng(5).random((3, 7, x[1].shape[1])) < 0.5
    joined = numpy(layer(carrying, attention_mask=full))
    assert agree(joined, numpy(layer(plain, **masks, attention_mask=full)), 1e-14)
    # The mask for the next layer.
    kept = numpy(layer.compute_mask(plain, [tensor(mask) for mask in masks.values()]))
    expected_mask = one if kind == "cross" else one & masks[second]
    np.testing.assert_array_equal(kept, expected_mask)
    assert layer.compute_mask(plain, None) is None


@both
def test_keras_masks_work_in_a_functional_model(kind: str) -> None:
    layer = twin(with_biases(small(kind)))
    x = inputs(kind)
    masks = step_masks(kind, *x)
    for part, mask in zip(x, masks.values(), strict=True):
        part[~mask] = 0
    sources = [keras.Input(part.shape[1:]) for part in x]
    model = keras.Model(sources, layer([keras.layers.Masking()(source) for source in sources]))
    expected = numpy(layer([tensor(part) for part in x], **masks))
    assert agree(model.predict(list(x), verbose=0), expected, 3e-6)


@both
@pytest.mark.parametrize("steps", [7, None])
def test_the_layers_work_in_a_functional_model(kind: str, steps: int | None) -> None:
    layer = CLASSES[kind](6, 2, seed=1)
    x = inputs(kind)
    keys = x[1].shape[1] if steps else None
    sources = [keras.Input((steps, 5)), keras.Input((keys, 3))]
    y, scores = layer(sources, return_attention_scores=True, use_causal_mask=True)
    _, mean = layer(sources, return_attention_scores="mean")
    assert tuple(y.shape) == (None, steps, 6)
    shape = layer.compute_output_shape([(None, steps, 5), (None, keys, 3)])
    assert tuple(shape) == (None, steps, 6)
    first = scores if kind == "cross" else scores[0]
    assert tuple(first.shape) == (None, 2, steps, keys)
    first_mean = mean if kind == "cross" else mean[0]
    assert tuple(first_mean.shape) == (None, steps, keys)
    model = keras.Model(sources, [y, first, first_mean])
    found = model.predict(list(x), verbose=0)
    same = [tensor(part) for part in x]
    y, scores = layer(same, return_attention_scores=True, use_causal_mask=True)
    assert agree(found[0], numpy(y), 1e-6)
    assert agree(found[1], numpy(scores if kind == "cross" else scores[0]), 1e-6)
    _, scores = layer(same, return_attention_scores=True)
    scores = numpy(scores if kind == "cross" else scores[0])
    assert agree(found[2], scores.mean(1), 1e-6)


@both
def test_dropout_changes_training_calls_only_and_keeps_the_mean(kind: str) -> None:
    options = {"dropout": 0.25, "seed": 2, "bias_initializer": "ones"}
    layer = CLASSES[kind](6, 2, **options)
    x = [tensor(np.repeat(part[:1], 3000, 0)) for part in inputs(kind)]
    still = numpy(layer(x))
    first, scores = layer(x, training=True, return_attention_scores=True)
    first, second = numpy(first), numpy(layer(x, training=True))
    assert (first != second).any(axis=-1).mean() > 0.9
    sides = (scores,) if kind == "cross" else scores
    for side in sides:  # before dropout
        assert agree(numpy(side).sum(-1), np.ones((3000, 2, 7)), 1e-6)
    assert np.abs(first.mean(0) - still.mean(0)).max() < 0.1
    if kind == "hierarchical":  # the two sides drop different scores
        one, other = layer.dropout_layers
        assert one.seed != other.seed
    if not KERAS_3:  # in Keras 2, a second layer continues the random sequence of the first
        return
    again = CLASSES[kind](6, 2, **options)
    again.build([part.shape for part in x])
    again.set_weights(layer.get_weights())
    assert (numpy(again(x, training=True)) == first).all()


@pytest.mark.parametrize(
    ("shape", "route"),
    on_jax_some(itertools.product([(0, 7, 4), (3, 0, 4), (3, 7, 0), (1, 1, 1)], PAIR_ROUTES)),
)
def test_empty_and_small_inputs_are_accepted(shape: tuple[int, int, int], route: Any) -> None:
    layer = twin(with_biases(small("cross")))
    layer.route = route
    batch, steps, keys = shape
    x = [tensor(np.ones((batch, steps, 5), "f")), tensor(np.ones((batch, keys, 3), "f"))]
    y = numpy(layer(x))
    assert y.shape == (batch, steps, 6)
    if keys == 0:  # a call without keys
        bias = layer.get_weights()[-1]
        np.testing.assert_array_equal(y, np.broadcast_to(bias, y.shape))


@both
def test_mixed_precision_computes_in_16_bits(kind: str) -> None:
    reference = with_biases(small(kind))
    x = inputs(kind)
    masks = step_masks(kind, *x)
    for policy, limit in (("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)):
        layer = twin(reference, dtype=policy)
        assert layer.get_weights()[0].dtype == np.float32
        for call in ({}, masks):
            y = layer([tensor(part) for part in x], **call)
            assert policy.removeprefix("mixed_") in str(y.dtype)
            found = numpy(keras.ops.cast(y, "float32") if KERAS_3 else y).astype("float32")
            assert agree(found, reference(*x, **call), limit)


@both
def test_the_layers_work_in_a_compiled_model(kind: str) -> None:
    layer = CLASSES[kind](6, 2, seed=1)
    x = inputs(kind)
    sources = [keras.Input(part.shape[1:]) for part in x]
    model = keras.Model(sources, layer(sources))
    # On PyTorch, torch.compile would take a minute.
    model.compile("sgd", "mse", jit_compile=BACKEND != "torch")
    expected = numpy(layer([tensor(part) for part in x]))
    assert agree(model.predict(list(x), verbose=0), expected, 1e-6)
    model.fit(list(x), expected, verbose=0)


@both
def test_training_lowers_the_loss_and_moves_all_but_the_key_biases(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    layer = CLASSES[kind](6, 2, dropout=0.01, seed=3)
    x = inputs(kind, batch=64)
    target = np.sin(x[0][..., :1]) * np.ones(6, "f")
    sources = [keras.Input(part.shape[1:]) for part in x]
    model = keras.Model(sources, layer(sources))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    start = layer.get_weights()
    fit = model.fit(list(x), target, epochs=15, batch_size=32, verbose=0)
    assert fit.history["loss"][-1] < 0.7 * fit.history["loss"][0]
    for name, before, after in zip(layer._weight_names(), start, layer.get_weights(), strict=True):
        # A key bias has no effect, and its gradient is exactly 0.
        assert (before == after).all() == name.endswith("key.bias"), name
    assert "do not exist" not in capfd.readouterr().err


@both
@pytest.mark.parametrize("seed", [None, 5])
def test_initial_weights_have_keras_limits_and_differ(kind: str, seed: int | None) -> None:
    layer, again = (CLASSES[kind](16, 2, seed=seed) for _ in range(2))
    for one in (layer, again):
        one.build([(None, None, 16), (None, None, 16)])
    weights = dict(zip(layer._weight_names(), layer.get_weights(), strict=True))
    kernels = {name: weight for name, weight in weights.items() if name.endswith("kernel")}
    for name, kernel in kernels.items():
        if not name.endswith("output.kernel"):
            # Keras 2 and 3 compute the fans of a kernel (U, H, D) differently.
            of_projection = 16 + 2 * 16 if KERAS_3 else 16 * (2 + 16)
            limit = (6 / (16 + 16 if kernel.ndim == 2 else of_projection)) ** 0.5
            assert 0.9 * limit < np.abs(kernel).max() <= limit, name
    flat = [kernel.ravel() for kernel in kernels.values()]
    assert all((a[:256] != b[:256]).mean() > 0.99 for a in flat for b in flat if a is not b)
    assert not any(weights[name].any() for name in weights.keys() - kernels.keys())
    alike = [(a == b).all() for a, b in zip(layer.get_weights(), again.get_weights(), strict=True)]
    assert all(alike) == (seed is not None)


@both
def test_routes_are_those_of_the_numpy_layer_or_forced(kind: str) -> None:
    reference = small(kind)
    layer = twin(reference)
    assert layer.route == "auto"
    sizes = (32, 7, 4) if kind == "cross" else (32, 7)
    assert layer.route_of(*sizes) == reference.route_of(*sizes, training=True)
    unknown = (None, 7, 4) if kind == "cross" else (None, 7)
    assert layer.route_of(*unknown) == layer.route_of(*sizes)
    layer.route = "right_read"
    routes = layer.route_of(*sizes)
    assert routes == ("right_read" if kind == "cross" else ("right_read", "right_read"))
    layer.route = "auto"
    assert layer.route == "auto"
    with pytest.raises(ValueError, match=r"route: found 'folded', expected one of \"auto\""):
        layer.route = "folded"
    with pytest.raises(ValueError, match="this layer is not built"):
        CLASSES[kind](6, 2).route_of(*sizes)


def test_inputs_that_do_not_fit_are_refused() -> None:
    x1, x2 = (tensor(part) for part in inputs("cross"))
    cross = twin(small("cross"))
    with pytest.raises(ValueError, match="batches of 3 and 2, expected equal batches"):
        cross([x1, x2[:2]])
    with pytest.raises(ValueError, match="expects 2 input"):
        cross(x1)
    with pytest.raises(ValueError, match="axis -1"):
        cross([x2, x1])
    with pytest.raises(ValueError, match=r"query_mask: found shape \(3, 4\), expected \(3, 7\)"):
        cross([x1, x2], query_mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match="value_mask: found dtype"):
        cross([x1, x2], value_mask=np.ones((3, 4), "f"))
    with pytest.raises(TypeError, match="short_mask"):
        cross([x1, x2], short_mask=np.ones((3, 7), bool))
    hierarchical = twin(small("hierarchical"))
    with pytest.raises(ValueError, match="found 7 and 4 steps, expected equal numbers"):
        hierarchical([x1, x2])
    with pytest.raises(ValueError, match="found 7 and 1 steps, expected equal numbers"):
        hierarchical([x1, x2[:, :1]])
    with pytest.raises(ValueError, match=r"build: input_shape: found"):
        CLASSES["cross"](6, 2).build([(None, 3, 4), (None, 3)])


@both
def test_invalid_options_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="num_heads: found 0, expected"):
        CLASSES[kind](6, 0)
    with pytest.raises(ValueError, match="dropout"):
        CLASSES[kind](6, 2, dropout=1.0)
    with pytest.raises((TypeError, ValueError), match="memory_size"):
        CLASSES[kind](6, 2, memory_size=5)
    with pytest.raises((TypeError, ValueError), match=WIDTHS[kind][0]):
        CLASSES[kind](6, 2, **{WIDTHS[kind][0]: 5})
