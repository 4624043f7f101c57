"""The results of `inspect_layer`: cost, parameters, order of slots, dead slots."""

import numpy as np
import pytest

from memattn.inspection import cost_of, inspect_layer

from ..layers import SHAPES, change, make_layer


def test_the_published_example_has_the_documented_cost() -> None:
    cost = cost_of(make_layer((64, 20, 4, None, None)), steps=10)
    assert (cost.as_written, cost.projected, cost.folded) == (108_544, 43_008, 10_240)
    assert cost.route == "folded"
    assert cost.speed_up == pytest.approx(10.6)


@pytest.mark.parametrize("shape", [*SHAPES, (64, 64, 2, 1, 1)])
def test_the_route_is_the_cheaper_one(shape: tuple) -> None:
    cost = cost_of(make_layer(shape))
    assert (cost.route == "folded") == (cost.folded <= cost.projected)
    assert cost.speed_up == pytest.approx(cost.as_written / min(cost.folded, cost.projected))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("use_bias", [True, False])
def test_sizes_and_order_of_slots_are_those_of_the_layer(shape: tuple, use_bias: bool) -> None:
    layer = make_layer(shape, use_bias=use_bias)
    found = inspect_layer(layer)
    units, slots, heads = shape[:3]
    assert found.parameters == layer.count_params()
    assert found.config == layer.get_config()
    assert found.folded_shapes == {
        "a": (units, heads * slots),
        "c": (heads * slots,),
        "b": (heads * slots, units),
    }
    assert found.reading.usage.shape == (heads, slots)
    assert sorted(found.by_usage) == list(range(slots))
    assert np.all(np.diff(found.reading.share[found.by_usage]) <= 0)
    assert found.dead_slots == []


def test_the_cost_uses_the_steps_of_the_tokens() -> None:
    layer = make_layer((5, 3, 2, None, None))
    assert inspect_layer(layer, np.zeros((4, 7, 5))).cost.steps == 7
    assert inspect_layer(layer).cost.steps == 10


def test_inspection_does_not_change_the_layer() -> None:
    layer = make_layer((5, 3, 2, None, None), dropout=0.5)
    before = layer.get_weights()
    inspect_layer(layer)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert layer.dropout_step == 0


def test_dead_slots_need_enough_tokens_and_no_reader() -> None:
    layer = make_layer((4, 6, 1, None, None), use_bias=True)

    def shun(weight: np.ndarray) -> None:
        weight[:] = 0
        weight[[1, 4], 0] = -100

    def one(weight: np.ndarray) -> None:
        weight[0] = 1

    # The logits of slots 1 and 4 are lower by about 100 for every token.
    change(layer, memory=shun, key_kernel=one, query_bias=one)
    assert inspect_layer(layer).dead_slots == [1, 4]
    # 119 tokens are too few to tell. A single token that reads the slots makes them alive.
    assert inspect_layer(layer, np.zeros((119, 4))).dead_slots is None
    assert inspect_layer(layer, np.zeros((120, 4))).dead_slots == [1, 4]
    reader = np.linalg.lstsq(
        layer.weights["query.kernel"][:, 0].sum(axis=1)[None], [-1e3], rcond=None
    )[0]
    assert inspect_layer(layer, np.concatenate([np.zeros((120, 4)), [reader]])).dead_slots == []
