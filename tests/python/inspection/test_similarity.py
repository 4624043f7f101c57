"""Similarity of slots, and groups of equal slots."""

import numpy as np
import pytest

from memattn.inspection import similarity
from memattn.inspection.similarity import alike_groups, compare_slots

from ..layers import SHAPES, make_layer

RNG = np.random.default_rng(5)


def test_cosines_match_the_definition() -> None:
    weights = make_layer((8, 6, 3, 4, 3)).weights
    memory = weights["memory"].astype(float)
    found = compare_slots(weights)
    norms = np.linalg.norm(memory, axis=1)
    cosine = memory @ memory.T / np.outer(norms, norms)
    np.testing.assert_allclose(found.norms, norms)
    np.testing.assert_allclose(found.cosine, cosine, atol=1e-12)
    np.testing.assert_array_equal(found.nearest, (cosine - 2 * np.eye(6)).argmax(axis=1))
    for name, mean in (("key", found.key_cosine), ("value", found.value_cosine)):
        for h in range(3):
            seen = memory @ weights[f"{name}.kernel"][:, h].astype(float)
            seen /= np.linalg.norm(seen, axis=1, keepdims=True)
            pairs = (seen @ seen.T)[~np.eye(6, dtype=bool)]
            assert mean[h] == pytest.approx(pairs.mean(), abs=1e-12)


def test_zero_slots_have_nan_cosines() -> None:
    found = compare_slots(make_layer((4, 3, 2, None, None), memory_initializer="zeros").weights)
    assert np.isnan(found.cosine).all()
    np.testing.assert_array_equal(found.nearest, [-1, -1, -1])
    assert np.isnan(found.key_cosine).all()


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_cosines_do_not_depend_on_the_scale(scale: float) -> None:
    layer = make_layer((4, 3, 2, None, None), dtype="float64")
    expected = compare_slots(layer.weights).cosine
    layer.set_weights({"memory": scale * layer.weights["memory"]})
    np.testing.assert_allclose(compare_slots(layer.weights).cosine, expected, atol=1e-12)


def test_one_slot_has_no_neighbour() -> None:
    found = compare_slots(make_layer((4, 1, 2, None, None)).weights)
    np.testing.assert_array_equal(found.nearest, [-1])
    assert np.isnan(found.key_cosine).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("initializer", ["normal", "glorot_uniform"])
def test_slots_of_new_layers_differ(shape: tuple, initializer: str) -> None:
    assert alike_groups(make_layer(shape, memory_initializer=initializer).weights["memory"]) == []


def test_equal_slots_are_grouped() -> None:
    memory = RNG.standard_normal((9, 4))
    memory[[3, 7]] = memory[1]
    memory[8] = memory[0] * (1 + 1e-8)
    memory[5] = memory[4] * (1 + 1e-4)  # different enough
    memory[6] = -memory[2]
    assert alike_groups(memory) == [[0, 8], [1, 3, 7]]
    assert alike_groups(memory.astype(np.float32)) == [[0, 8], [1, 3, 7]]


@pytest.mark.parametrize(("noise", "alike"), [(0, True), (1e-6, True), (1e-2, False)])
def test_all_slots_are_one_group_if_nearly_equal(noise: float, alike: bool) -> None:
    memory = RNG.standard_normal(6) + noise * RNG.standard_normal((5, 6))
    assert alike_groups(memory) == ([[0, 1, 2, 3, 4]] if alike else [])


def test_zero_slots_are_equal_and_tiny_slots_are_not() -> None:
    assert alike_groups(np.zeros((3, 4))) == [[0, 1, 2]]
    assert alike_groups(1e-30 * RNG.standard_normal((3, 4))) == []
    assert alike_groups(np.zeros((1, 4))) == []


def test_many_slots_are_not_compared_pair_by_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "PAIRWISE_SLOTS", 5)
    layer = make_layer((4, 6, 2, None, None))
    memory = layer.weights["memory"].copy()
    memory[4] = memory[1]
    layer.set_weights({"memory": memory})
    assert alike_groups(memory) == [[1, 4]]
    found = compare_slots(layer.weights)
    assert found.cosine is None
    assert found.nearest is None
    assert np.isfinite(found.key_cosine).all()
