"""The Keras layer, on every Keras and backend: golden values, NumPy's values, use in models."""

import math
from typing import Any

import numpy as np
import pytest

import memattn
from memattn.keras import MemoryAugmentedAttention
from memattn.keras.host import KERAS_3, keras, ops

from ..golden import CASES, masks_of, read
from .keras_support import (
    BACKEND,
    NAMES,
    WARNINGS_OF_KERAS,
    G,
    X,
    agree,
    layer_like,
    numpy,
    numpy_layer,
    run,
    tensor,
    tokens,
    twin,
)

pytestmark = WARNINGS_OF_KERAS


@pytest.mark.parametrize(
    ("case", "dtype", "route", "limit"),
    [(case, "float64", "folded", 1e-12) for case in CASES]
    + [("docs_example", "float32", route, 3e-6) for route in ("folded", "projected")]
    + [("mask_every_mask", "float64", "projected", 1e-12)],
)
def test_the_layer_gives_the_golden_values(case: str, dtype: str, route: str, limit: float) -> None:
    arrays, config = read(case)
    masks = masks_of(arrays, config)
    x, g = (arrays[name].astype(dtype) for name in "xg")
    layer = layer_like({name: arrays[name] for name in NAMES}, x, **config, dtype=dtype)
    layer.route = route
    y, scores, gradients = run(layer, x, g, **masks)
    assert agree(y, arrays["y"], limit)
    if "scores" in arrays:
        assert agree(scores, arrays["scores"], limit)

    # A gradient is a sum over all tokens.
    limit *= math.sqrt(x.shape[0] * x.shape[1])
    for name, found in gradients.items():
        if name == "key.bias":  # ours is 0, the golden one is rounding noise
            assert not found.any()
        else:
            assert agree(found, arrays[f"grad.{name}"], limit), name


OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no bias": {"use_bias": False},
    "no residual": {"residual": False},
    "other widths": {"key_dim": 4, "value_dim": 3},
    "one slot": {"memory_size": 1},
    "one head": {"num_heads": 1},
}


def check_against_numpy(
    layer: MemoryAugmentedAttention, reference: memattn.MemoryAugmentedAttention, **masks: Any
) -> None:
    y, scores, gradients = run(layer, X, G, **masks)
    expected = reference(X, **masks, return_attention_scores=True)
    assert agree(y, expected[0], 1e-13)
    assert agree(scores, expected[1], 1e-13)
    expected = reference.backward(X, G, **masks)
    for name, gradient in gradients.items():
        assert agree(gradient, expected[name], 1e-12), name


@pytest.mark.parametrize("route", ["folded", "projected"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_every_option_agrees_with_numpy(options: dict[str, Any], route: str) -> None:
    reference = numpy_layer(**options)
    layer = twin(reference)
    layer.route = route
    check_against_numpy(layer, reference)
    mask = np.random.default_rng(5).random((2, 3, layer.memory_size)) < 0.6
    check_against_numpy(layer, reference, attention_mask=mask)


FULL = np.random.default_rng(5).random((2, 3, 5)) < 0.6
FULL[0, 1] = False
MASKS: dict[str, dict[str, Any]] = {
    "(B, T, S)": {"attention_mask": FULL},
    "(1, T, S)": {"attention_mask": FULL[:1]},
    "(T, S)": {"attention_mask": FULL[0]},
    "(S), integers": {"attention_mask": FULL[0, 0].astype(np.int32)},
    "tokens": {"query_mask": FULL[..., 0]},
    "slots": {"value_mask": FULL[:, 0]},
    "causal": {"use_causal_mask": True},
    "all": {
        "attention_mask": FULL,
        "query_mask": FULL[..., 1],
        "value_mask": FULL[:, 2],
        "use_causal_mask": True,
    },
}


@pytest.mark.parametrize(
    ("name", "fully_masked"),
    [(name, "zero") for name in MASKS]
    + [(name, "uniform") for name in ("(B, T, S)", "tokens", "all")],
)
def test_every_mask_agrees_with_numpy(name: str, fully_masked: str) -> None:
    reference = numpy_layer(fully_masked=fully_masked)
    check_against_numpy(twin(reference), reference, **MASKS[name])


def test_weights_move_to_numpy_and_back() -> None:
    reference = numpy_layer()
    layer = twin(reference)
    other = numpy_layer(seed=9)
    other.set_weights(layer.get_weights())
    for name, weight in other.weights.items():
        assert (weight == reference.weights[name]).all()


@pytest.mark.parametrize("fully_masked", ["zero", "uniform"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_masked_slot_may_be_non_finite(value: float, fully_masked: str) -> None:
    reference = numpy_layer(fully_masked=fully_masked)
    memory = reference.weights["memory"].copy()
    memory[1, 2] = value
    reference.set_weights({"memory": memory})
    layer = twin(reference)
    mask = np.ones((2, 3, 5), bool)
    mask[..., 1] = False
    y, scores, gradients = run(layer, X, G, attention_mask=mask)
    for part in (y, scores, *gradients.values()):
        assert np.isfinite(part).all()
    # Only a token that reads the slot becomes NaN; with "uniform", a fully masked one reads it too.
    mask[0, 0, 1] = True
    mask[1, 2] = False
    y = numpy(layer(tensor(X), attention_mask=mask))
    bad = np.zeros((2, 3), bool)
    bad[0, 0] = True
    bad[1, 2] = fully_masked == "uniform"
    assert (np.isnan(y).all(axis=-1) == bad).all()
    assert (np.isfinite(y).all(axis=-1) == ~bad).all()


@pytest.mark.parametrize("width", [4, 9])
def test_the_input_may_have_another_width_than_the_memory(width: int) -> None:
    x = tokens(2, 3, width, dtype="float64")
    # With a key_dim that is a power of 4, and scores requested: otherwise Keras 3 rounds some
    # values to float32.
    layer = MemoryAugmentedAttention(6, 5, 2, key_dim=4, dtype="float64", seed=1)
    y = numpy(layer(tensor(x)))
    memory = tensor(np.tile(layer.get_weights()[0], (2, 1, 1)))
    attention, _ = layer.attention(tensor(x), memory, memory, return_attention_scores=True)
    assert agree(y, x + numpy(attention), 1e-12)


def test_scores_sum_to_one_and_have_a_mean() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    x = tensor(X.astype("float32"))
    y, scores = layer(x, return_attention_scores=True)
    _, mean = layer(x, return_attention_scores="mean")
    assert tuple(scores.shape) == (2, 2, 3, 5)
    assert agree(numpy(scores).sum(-1), np.ones((2, 2, 3)), 1e-6)
    assert agree(numpy(mean), numpy(scores).mean(1), 1e-6)
    assert (numpy(y) == numpy(layer(x))).all()


def test_dropout_changes_training_calls_only_and_keeps_the_mean() -> None:
    options = {"residual": False, "dropout": 0.25, "seed": 2, "bias_initializer": "ones"}
    layer = MemoryAugmentedAttention(6, 5, 2, **options)
    x = tensor(np.repeat(X[:1, :1].astype("float32"), 4000, 0))
    still = numpy(layer(x))
    plain = {**layer.get_config(), "dropout": 0.0}
    without = MemoryAugmentedAttention.from_config(plain)
    without.build(X.shape)
    without.set_weights(layer.get_weights())
    assert (still == numpy(without(x, training=True))).all()
    first, scores = layer(x, training=True, return_attention_scores=True)
    first, second = numpy(first), numpy(layer(x, training=True))
    assert (first != second).any(axis=-1).mean() > 0.9
    assert agree(numpy(scores).sum(-1), np.ones((4000, 2, 1)), 1e-6)  # before dropout
    # A token is unchanged only if none of its ten scores is dropped.
    whole = (np.abs(first - still).max(axis=-1) < 1e-6).mean()
    assert whole < 0.01
    assert np.abs(first.mean(0) - still.mean(0)).max() < 0.1
    if not KERAS_3:  # in Keras 2, a second layer continues the random sequence of the first
        return
    again = MemoryAugmentedAttention(6, 5, 2, **options)
    again.build(X.shape)
    again.set_weights(layer.get_weights())
    assert (numpy(again(x, training=True)) == first).all()


@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6), (1, 1, 6)])
def test_empty_and_small_inputs_keep_their_shape(shape: tuple[int, ...]) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2)
    assert tuple(layer(tensor(tokens(*shape)), use_causal_mask=True).shape) == shape
    assert tuple(layer(tensor(tokens(*shape))).shape) == shape


def test_large_logits_stay_finite() -> None:
    layer = twin(numpy_layer())
    assert np.isfinite(numpy(layer(tensor(1e30 * X)))).all()


def masked(x: np.ndarray) -> Any:
    """Returns the output of ``Masking``: tokens that are 0 everywhere have a mask of False."""
    return keras.layers.Masking(dtype=str(x.dtype))(tensor(x))


def test_keras_masks_are_used_and_passed_on() -> None:
    layer = twin(numpy_layer())
    x = X.copy()
    x[0, 1:] = 0
    kept = x.any(axis=-1)
    full = np.random.default_rng(0).random((2, 3, 5)) < 0.6
    for others in ({}, {"attention_mask": full}, {"value_mask": full[:, 0]}):
        y = layer(masked(x), **others)
        assert agree(numpy(y), numpy(layer(tensor(x), query_mask=kept, **others)), 1e-14)
        assert not agree(numpy(y), numpy(layer(tensor(x), **others)), 1e-3)
    assert agree(numpy(layer(tensor(x), mask=kept)), numpy(layer(masked(x))), 1e-14)
    assert layer.supports_masking
    assert (numpy(layer.compute_mask(tensor(x), tensor(kept))) == kept).all()
    # The mask reaches the next layer; in a recurrent one, padding then changes nothing.
    inputs = keras.Input((3, 6), dtype="float64")
    hidden = keras.layers.Masking(dtype="float64")(inputs)
    hidden = layer(hidden)
    outputs = keras.layers.SimpleRNN(2, dtype="float64")(hidden)
    model = keras.Model(inputs, outputs)
    assert agree(
        model.predict(x[:1], verbose=0),
        model.predict(x[:1, :1].repeat(3, 1) * [[[1], [0], [0]]], verbose=0),
        1e-12,
    )


@pytest.mark.parametrize("steps", [3, None])
def test_the_layer_works_in_a_functional_model(steps: int | None) -> None:
    inputs = keras.Input((steps, 6))
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    outputs, scores = layer(inputs, return_attention_scores=True, use_causal_mask=True)
    assert tuple(outputs.shape) == (None, steps, 6)
    assert tuple(scores.shape) == (None, 2, steps, 5)
    _, mean = layer(inputs, return_attention_scores="mean")
    assert tuple(mean.shape) == (None, steps, 5)
    assert tuple(layer.compute_output_shape((None, steps, 6))) == (None, steps, 6)
    model = keras.Model(inputs, [outputs, scores, mean])
    x = X.astype("float32")
    found = model.predict(x, verbose=0)
    expected = layer(tensor(x), return_attention_scores=True, use_causal_mask=True)
    assert agree(found[0], numpy(expected[0]), 1e-6)
    assert agree(found[1], numpy(expected[1]), 1e-6)


def test_training_lowers_the_loss_and_moves_all_but_the_key_bias(
    capfd: pytest.CaptureFixture[str],
) -> None:
    keras.utils.set_random_seed(0)
    x = tokens(256, 4, 6)
    target = x + np.sin(2 * x[..., ::-1])
    layer = MemoryAugmentedAttention(6, 8, 2, dropout=0.01)
    model = keras.Sequential([keras.Input((4, 6)), layer])
    model.compile(keras.optimizers.Adam(0.02), "mse")
    start = layer.get_weights()
    losses = model.fit(x, target, epochs=15, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    for name, before, after in zip(NAMES, start, layer.get_weights(), strict=True):
        # The key bias has no effect, and its gradient is exactly 0.
        assert (before == after).all() == (name == "key.bias"), name
    assert "do not exist" not in capfd.readouterr().err


@pytest.mark.parametrize(("policy", "limit"), [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)])
def test_mixed_precision_computes_in_16_bits(policy: str, limit: float) -> None:
    arrays, config = read("docs_example")
    weights = {name: arrays[name] for name in NAMES}
    layer = layer_like(weights, arrays["x"], **config, dtype=policy)
    assert layer.get_weights()[0].dtype == np.float32
    for masks in ({}, {"value_mask": np.arange(20) < np.full((32, 1), 15)}):
        y, scores = layer(tensor(arrays["x"]), return_attention_scores=True, **masks)
        dtype = policy.removeprefix("mixed_")
        assert dtype in str(y.dtype)
        assert dtype in str(scores.dtype)
        exact = layer_like(weights, arrays["x"], **config, dtype="float32")
        expected = numpy(exact(tensor(arrays["x"]), **masks))
        assert agree(numpy(ops.cast(y, "float32")), expected, limit / np.abs(expected).max())


def test_the_layer_works_in_a_compiled_model() -> None:
    x = X.astype("float32")
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    model = keras.Sequential([keras.Input((3, 6)), layer])
    # On PyTorch, torch.compile would take a minute.
    model.compile("sgd", "mse", jit_compile=BACKEND != "torch")
    assert agree(model.predict(x, verbose=0), numpy(layer(tensor(x))), 1e-6)
    model.fit(x, x, verbose=0)
