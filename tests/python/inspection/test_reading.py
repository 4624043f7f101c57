"""Statistics of attention against their definitions, and for layers with known attention."""

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention
from memattn.inspection import inspect_layer, reading
from memattn.inspection.reading import Reading, read_memory
from memattn.inspection.tokens import as_tokens

from ..layers import SHAPES, change, make_layer


def tokens(units: int, count: int = 50) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, units))


def read(layer: MemoryAugmentedAttention, x: np.ndarray) -> Reading:
    return read_memory(layer, as_tokens(x, layer))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("residual", [True, False])
def test_statistics_match_their_definitions(shape: tuple, residual: bool) -> None:
    layer = make_layer(shape, dtype="float64", residual=residual)
    layer.set_weights({"memory": 9 * layer.weights["memory"]})
    x = tokens(shape[0])
    y, scores = layer(x[None], return_attention_scores=True)
    p = scores[0]  # (H, N, S)
    found = read(layer, x)
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(found.usage, p.mean(axis=1), **close)
    np.testing.assert_allclose(found.peak, p.max(axis=1), **close)
    entropy = -(p * np.log(p)).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(found.entropy, entropy, **close)
    np.testing.assert_allclose(found.effective_slots, np.exp(entropy), **close)
    deviation = np.sqrt(np.log(p).var(axis=2).mean(axis=1))
    np.testing.assert_allclose(found.logit_spread, deviation, **close)
    np.testing.assert_allclose(found.share.sum(), 1, **close)
    assert found.token_norm == pytest.approx(np.linalg.norm(x, axis=1).max())
    assert found.output_norm == pytest.approx(np.sqrt((y**2).sum(axis=2).mean()))
    added = y[0] - x if residual else y[0]
    assert found.added_constant == pytest.approx(np.linalg.norm(added.mean(axis=0)))
    assert found.added_variation == pytest.approx(np.sqrt(added.var(axis=0).sum()), rel=1e-6)
    assert found.finite


@pytest.mark.parametrize("size", [1, 7, 40, 10**6])
def test_statistics_do_not_depend_on_the_part_size(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    layer = make_layer((5, 3, 2, None, None))
    whole = read(layer, tokens(5))
    monkeypatch.setattr(reading, "VALUES_A_CALL", size)
    parts = read(layer, tokens(5))
    np.testing.assert_allclose(parts.usage, whole.usage, rtol=1e-12)
    np.testing.assert_allclose(parts.entropy, whole.entropy, rtol=1e-12)
    np.testing.assert_array_equal(parts.peak, whole.peak)
    assert parts.added_variation == pytest.approx(whole.added_variation)


def test_a_slot_that_is_read_alone_saturates_the_head() -> None:
    # The logit of slot 2 is proportional to the first unit; those of the other slots are 0.
    layer = make_layer((4, 3, 1, None, None))

    def only(weight: np.ndarray) -> None:
        weight[...] = 0
        weight[2, 0] = 100

    def identity(weight: np.ndarray) -> None:
        weight[:, 0] = np.eye(4)

    change(layer, memory=only, query_kernel=identity, key_kernel=identity)
    x = np.abs(tokens(4)) + np.eye(4)[0]
    found = read(layer, x)
    np.testing.assert_allclose(found.usage, [[0, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(found.effective_slots, [1], atol=1e-6)
    np.testing.assert_array_equal(found.saturated, [1])
    half = read(layer, np.concatenate([x, -x]))  # tokens -x read the other two slots
    np.testing.assert_array_equal(half.saturated, [0.5])
    np.testing.assert_allclose(half.usage, [[0.25, 0.25, 0.5]], atol=1e-9)


@pytest.mark.parametrize(("gap", "alone"), [(16.0, 0), (17.5, 1)])
def test_saturation_is_a_score_of_1_in_float32(gap: float, alone: float) -> None:
    # exp(-16.6) is half an ulp of 1 in float32.
    layer = make_layer((1, 2, 1, None, None))

    def logits(weight: np.ndarray) -> None:
        weight[:, 0] = [0, gap]

    def one(weight: np.ndarray) -> None:
        weight[...] = 1

    change(layer, memory=logits, query_kernel=one, key_kernel=one)
    np.testing.assert_array_equal(read(layer, np.ones((3, 1))).saturated, [alone])


def test_nan_weights_give_non_finite_statistics_without_a_warning() -> None:
    layer = make_layer((5, 3, 2, None, None))

    def spoil(weight: np.ndarray) -> None:
        weight[0, 0] = np.nan

    found = read(change(layer, memory=spoil), tokens(5))
    assert not found.finite
    assert np.isnan(found.entropy).any()


def test_a_single_overflowing_token_gives_a_non_finite_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "VALUES_A_CALL", 12)  # two tokens at a time
    layer = make_layer((5, 3, 2, None, None))
    x = tokens(5).astype(np.float32)
    assert read(layer, x).finite
    x[7] = 1e38
    layer.set_weights({"output.bias": np.full(5, 3e38)})
    assert not read(layer, x).finite


def test_an_array_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(ValueError, match="expected tokens of the layer's 5 units"):
        inspect_layer(make_layer((5, 3, 2, None, None)), tokens(6))
