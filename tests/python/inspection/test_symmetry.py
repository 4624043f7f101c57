"""The repair stays within its bound, is repeatable, and lets training learn again."""

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention
from memattn.errors import DataError
from memattn.inspection import diagnose, repair
from memattn.inspection.fold import fold_heads
from memattn.inspection.similarity import alike_groups

from ..layers import SHAPES, change, make_layer, problem, train


def collapsed(shape: tuple, **options: object) -> MemoryAugmentedAttention:
    """Returns a layer whose slots all equal one random slot."""
    layer = make_layer(shape, **options)
    layer.set_weights({"memory": np.tile(layer.weights["memory"][:1], (shape[1], 1))})
    return layer


def twins(shape: tuple, noise: float = 0) -> MemoryAugmentedAttention:
    """Returns a layer in which slots 0 and 1 are equal, and so are all slots from 3 on."""
    layer = make_layer(shape, dtype="float64")
    memory = layer.weights["memory"].copy()
    rng = np.random.default_rng(7)
    for group in (memory[:2], memory[3:]):
        group[:] = group[:1] + noise * rng.standard_normal(group.shape)
    layer.set_weights({"memory": memory})
    return layer


def worst_change(
    old: MemoryAugmentedAttention, new: MemoryAugmentedAttention, token_norm: float
) -> float:
    """Returns the largest change over many tokens of that norm, including the worst directions."""
    units = old.get_config()["units"]
    directions = [np.random.default_rng(1).standard_normal((2000, units))]
    for before, after in zip(fold_heads(old.weights), fold_heads(new.weights), strict=True):
        moved = (after.a - before.a).T
        directions += [moved, -moved, before.a.T, -before.a.T]
    x = np.concatenate(directions)
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    x = token_norm * x / np.where(norms > 0, norms, 1)
    x = np.concatenate([x, 0.3 * x])[None]
    return float(np.linalg.norm(new(x) - old(x), axis=-1).max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("start", ["zeros", "collapsed"])
def test_a_collapsed_layer_is_repaired_within_the_bound(shape: tuple, start: str) -> None:
    options = {"memory_initializer": "zeros"} if start == "zeros" else {}
    layer = (make_layer if start == "zeros" else collapsed)(shape, **options)
    before = layer.get_weights()
    done = repair(layer, seed=3)
    assert done.slots == list(range(shape[1]))
    assert 0 < done.measured <= done.bound <= done.allowed == 1e-3
    assert done.bound > 0.9 * done.allowed  # the jitter uses most of the allowed change
    assert diagnose(done.layer).findings == []
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for name, weight in done.layer.weights.items():
        if name != "memory":
            np.testing.assert_array_equal(weight, layer.weights[name])
    assert done.layer.get_config() == layer.get_config()
    change = worst_change(layer, done.layer, done.token_norm)
    assert change <= done.bound * done.output_norm


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[3], SHAPES[7]])
@pytest.mark.parametrize("noise", [0, 1e-8, 1e-7])
@pytest.mark.parametrize("max_change", [1e-6, 1e-3, 0.1])
def test_the_bound_holds_for_groups_of_equal_slots(
    shape: tuple, noise: float, max_change: float
) -> None:
    layer = twins(shape, noise)
    layer.set_weights({"query.kernel": 5 * layer.weights["query.kernel"]})
    done = repair(layer, 0, max_change=max_change)
    assert done.slots == [0, 1, *range(3, shape[1])]
    assert 0 < done.measured <= done.bound <= max_change
    change = worst_change(layer, done.layer, done.token_norm)
    assert change <= done.bound * done.output_norm * (1 + 1e-9)
    assert alike_groups(done.layer.weights["memory"]) == []
    np.testing.assert_array_equal(done.layer.weights["memory"][2], layer.weights["memory"][2])


@pytest.mark.parametrize("far", [1, 100, 1e6])
def test_the_bound_holds_if_attention_shifts_between_groups(far: float) -> None:
    # The third slot has the keys of the equal slots, but very different values.
    layer = make_layer((6, 3, 1, None, None), dtype="float64")

    def twins_and_far(weight: np.ndarray) -> None:
        weight[1:] = weight[0]
        weight[2, 5] = far

    def ignore_last(weight: np.ndarray) -> None:
        weight[3:] = 0

    def ignore_first(weight: np.ndarray) -> None:
        weight[:3] = 0

    change(layer, memory=twins_and_far, key_kernel=ignore_last, value_kernel=ignore_first)
    layer.set_weights({"query.kernel": 5 * layer.weights["query.kernel"]})
    done = repair(layer, 0, max_change=1e-2)
    worst = worst_change(layer, done.layer, done.token_norm)
    assert worst <= done.bound * done.output_norm
    assert done.bound * done.output_norm <= 2 * worst  # the bound is not too loose


def test_a_nearly_collapsed_layer_is_repaired() -> None:
    layer = collapsed((16, 20, 4, None, None), dtype="float64")
    rng = np.random.default_rng(0)
    layer.set_weights({"memory": layer.weights["memory"] + 1e-6 * rng.standard_normal((20, 16))})
    done = repair(layer, 0)
    assert diagnose(done.layer).findings == []
    assert done.measured <= done.bound <= 1e-3
    assert worst_change(layer, done.layer, done.token_norm) <= done.bound * done.output_norm


def test_the_seed_determines_the_jitter() -> None:
    layer = collapsed((5, 4, 2, None, None))
    one, two, other = (repair(layer, seed).layer.weights["memory"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_jitter_has_mean_zero() -> None:
    layer = collapsed((5, 4, 2, None, None), dtype="float64")
    done = repair(layer, 0)
    moved = done.layer.weights["memory"] - layer.weights["memory"]
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-15)
    assert moved.std() == pytest.approx(done.jitter, rel=0.5)


def test_given_tokens_determine_the_size_of_the_jitter() -> None:
    layer = collapsed((5, 4, 2, None, None))
    small, large = (repair(layer, 0, scale * problem(5)[0]) for scale in (0.1, 10))
    assert small.token_norm == pytest.approx(large.token_norm / 100)
    for done, scale in ((small, 0.1), (large, 10)):
        x = scale * problem(5)[0]
        change = np.linalg.norm(done.layer(x) - layer(x), axis=-1).max()
        assert change <= 1e-3 * np.sqrt((layer(x) ** 2).sum(axis=-1).mean())


def test_gradients_of_slots_differ_after_the_repair() -> None:
    layer = collapsed((8, 5, 2, None, None), dtype="float64")
    x, target = problem(8)

    def distance(one: MemoryAugmentedAttention) -> float:
        gradient = one.backward(x, one(x) - target)["memory"]
        return float(np.ptp(gradient, axis=0).max() / np.abs(gradient).max())

    assert distance(layer) <= 1e-12
    assert distance(repair(layer, 0).layer) > 1e-3


@pytest.mark.parametrize("before", [0, 300])
def test_a_repaired_layer_learns_what_a_collapsed_one_cannot(before: int) -> None:
    layer = make_layer((16, 20, 4, None, None), memory_initializer="zeros")
    train(layer, before)
    repaired = repair(layer, 0).layer
    plateau = train(layer, 400)
    assert np.ptp(layer.weights["memory"], axis=0).max() == 0
    assert plateau > 0.45
    assert train(repaired, 400) < 0.5 * plateau


# --- Refused layers -----------------------------------------------------------------------------


def set_nan(weight: np.ndarray) -> None:
    weight[0] = np.nan


def refusal(layer: MemoryAugmentedAttention, **options: float) -> DataError:
    with pytest.raises(DataError) as caught:
        repair(layer, 0, **options)
    return caught.value


def test_a_healthy_layer_is_refused() -> None:
    assert refusal(make_layer((5, 4, 2, None, None))).kind == "nothing-to-repair"
    assert refusal(make_layer((5, 1, 2, None, None))).kind == "nothing-to-repair"


def test_a_layer_with_other_faults_is_refused() -> None:
    spoiled = refusal(change(collapsed((5, 4, 2, None, None)), query_bias=set_nan))
    assert spoiled.kind == "cannot-repair"
    assert "NaN or infinity in the weights: 5 in query.bias" in str(spoiled)
    assert "Return to an earlier checkpoint" in str(spoiled)
    huge = make_layer((5, 4, 2, None, None))
    huge.set_weights({name: np.full(w.shape, 1e30) for name, w in huge.weights.items()})
    assert "output" in str(refusal(huge))


def test_too_small_a_jitter_for_large_slots_is_refused() -> None:
    layer = collapsed((5, 4, 2, None, None))
    layer.set_weights({"memory": 1e9 * layer.weights["memory"]})
    error = refusal(layer, max_change=1e-30)
    assert error.kind == "cannot-repair"
    assert "no jitter in float32 can separate the identical slots" in str(error)


def test_a_layer_with_zero_output_is_refused() -> None:
    layer = make_layer((5, 4, 2, None, None), memory_initializer="zeros", residual=False)
    error = refusal(layer)
    assert error.kind == "cannot-repair"
    assert "give the layer a new memory" in str(error)


@pytest.mark.parametrize("max_change", [0, -1, 1, np.nan])
def test_max_change_must_be_between_0_and_1(max_change: float) -> None:
    error = refusal(collapsed((5, 4, 2, None, None)), max_change=max_change)
    assert "expected a number between 0 and 1" in str(error)
