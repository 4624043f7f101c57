"""The problem of a layer of two inputs, and its folded form by every route."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.pairs import WAYS, PairProblem, Way, attentions, fold, result_sizes, weight_shapes
from bench.problem import largest_error
from bench.shapes import PAIR_SHAPES, PairShape

import memattn

SHAPES = {
    "cross": PairShape("small", "cross", 2, 3, 5, 4, 7, 6, 2),
    "hierarchical": PairShape("small", "hierarchical", 2, 3, 3, 4, 7, 6, 2),
}
both = pytest.mark.parametrize("layer", SHAPES)


def layer_of(problem: PairProblem) -> Any:
    if problem.shape.layer == "cross":
        widths = {"source1_units": 4, "source2_units": 7}
        layer: Any = memattn.CrossAttention(6, 2, **widths, dtype="float64", seed=1)
    else:
        widths = {"short_units": 4, "long_units": 7}
        layer = memattn.HierarchicalAttention(6, 2, **widths, dtype="float64", seed=1)
    layer.set_weights(problem.weights)
    return layer


def read(x1: Any, x2: Any, w: dict[str, Any], way: Way) -> Any:
    """Computes an attention with folded weights, as the peers do."""
    s1 = x1 @ w["w1"] + w["b1"] if way.dense1 else x1
    s2 = x2 @ w["w2"] + w["b2"] if way.dense2 else x2
    if way.left:
        logits = np.einsum("bthg,bsg->bths", np.einsum("btf,fhg->bthg", s1, w["a"]) + w["a0"], s2)
    else:
        logits = np.einsum("btf,bshf->bths", s1, np.einsum("bsg,ghf->bshf", s2, w["k"]))
        logits += np.einsum("bsg,gh->bhs", s2, w["k0"])[:, None]
    scores = np.exp(logits)
    scores /= scores.sum(-1, keepdims=True)
    if way.source:
        return np.einsum("bths,bsg,hgu->btu", scores, s2, w["c"]) + w["o"]
    return np.einsum("bths,bsg,ghu->btu", scores, s2, w["v"]) + w["o"]


@both
def test_weights_have_the_names_shapes_and_order_of_the_layer(layer: str) -> None:
    problem = PairProblem.draw(SHAPES[layer])
    weights = layer_of(problem).weights
    shapes = {name: weight.shape for name, weight in weights.items()}
    assert list(shapes.items()) == list(weight_shapes(SHAPES[layer]).items())
    assert all(np.abs(value).min() > 0 for value in problem.weights.values())
    found = layer_of(problem).backward(problem.x1, problem.x2, problem.grad_y)
    sizes = result_sizes(SHAPES[layer], "step")
    assert [value.size for value in found.values()] == list(sizes.values())[1:]


@pytest.mark.parametrize("route", WAYS)
@both
def test_every_folded_route_gives_the_output_of_the_layer(layer: str, route: str) -> None:
    problem = PairProblem.draw(SHAPES[layer])
    y = 0
    for part in attentions(problem.shape, problem.x1, problem.x2, problem.weights):
        y += read(part.x1, part.x2, fold(part.weights, WAYS[route], np.einsum), WAYS[route])
    expected = layer_of(problem)(problem.x1, problem.x2)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PAIR_SHAPES)
@pytest.mark.parametrize("task", ["forward", "step"])
def test_the_cheapest_routes_can_be_folded(name: str, task: str) -> None:
    shape = PAIR_SHAPES[name]
    routes = shape.routes(task)
    assert len(routes) == (1 if shape.layer == "cross" else 2)
    assert set(routes) <= set(WAYS)


@both
def test_a_saved_problem_is_loaded_unchanged(layer: str, tmp_path: Path) -> None:
    problem = PairProblem.draw(SHAPES[layer])
    problem.save(tmp_path)
    again = PairProblem.load(tmp_path, SHAPES[layer])
    for name in ("x1", "x2", "grad_y"):
        assert np.array_equal(getattr(again, name), getattr(problem, name))
    assert list(again.weights) == list(problem.weights)
    for name, value in problem.weights.items():
        assert np.array_equal(again.weights[name], value)
    assert again.routes == problem.routes
    assert len(again.folded()) == len(problem.attentions())


def test_errors_of_key_biases_are_relative_to_the_query_bias() -> None:
    sizes = result_sizes(SHAPES["hierarchical"], "step")
    truth = np.ones(sum(sizes.values()))
    at = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    place = at["grad long.key.bias"]
    truth[place : place + sizes["grad long.key.bias"]] = 0
    found = truth.copy()
    found[place] = 1e-3
    assert largest_error(found, truth, sizes) == pytest.approx(1e-3)
