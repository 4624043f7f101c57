"""The problem that every contestant gets, and the check of its results."""

from pathlib import Path

import numpy as np
import pytest
from bench.problem import WEIGHTS, Problem, largest_error, result_sizes
from bench.shapes import SHAPES, TASKS, Shape

import memattn

SHAPE = Shape("small", 2, 3, 6, 5, 2)
SIZES = result_sizes(SHAPE, "step")


def layer_of(problem: Problem) -> memattn.MemoryAugmentedAttention:
    layer = memattn.MemoryAugmentedAttention(6, 5, 2, dtype="float64", seed=1)
    layer.set_weights(list(problem.weights.values()))
    return layer


def reference(problem: Problem) -> np.ndarray:
    layer = layer_of(problem)
    grads = layer.backward(problem.x, problem.grad_y)
    parts = [layer(problem.x), grads["x"], *(grads[name] for name in WEIGHTS)]
    return np.concatenate([part.ravel() for part in parts])


def test_shapes_have_their_cost_and_tasks() -> None:
    assert SHAPES["docs"].flops == 4 * 320 * 64 * 4 * 20
    assert set(TASKS["step"]) == set(SHAPES) - {"token"}


def test_weights_have_the_names_and_shapes_of_the_layer() -> None:
    problem = Problem.draw(SHAPE)
    layer = layer_of(problem)
    assert list(layer.weights) == list(WEIGHTS)
    assert all(layer.weights[name].shape == problem.weights[name].shape for name in WEIGHTS)
    assert all(np.abs(value).min() > 0 for value in problem.weights.values())


def test_the_folded_form_gives_the_output_of_the_layer() -> None:
    problem = Problem.draw(SHAPE)
    arrays = problem.folded()
    tokens = problem.x.reshape(6, 6)
    powers = np.exp((tokens @ arrays["a"] + arrays["c"]).reshape(6, 2, 5))
    scores = (powers / powers.sum(-1, keepdims=True)).reshape(6, 10)
    y = tokens + scores @ arrays["b"] + arrays["bo"]
    np.testing.assert_allclose(y.reshape(2, 3, 6), layer_of(problem)(problem.x), rtol=0, atol=1e-5)


def test_a_saved_problem_is_loaded_unchanged(tmp_path: Path) -> None:
    problem = Problem.draw(SHAPE)
    problem.save(tmp_path)
    again = Problem.load(tmp_path, SHAPE)
    assert np.array_equal(again.x, problem.x)
    assert np.array_equal(again.grad_y, problem.grad_y)
    for name in WEIGHTS:
        assert np.array_equal(again.weights[name], problem.weights[name])


def test_a_float32_result_passes_the_check() -> None:
    truth = reference(Problem.draw(SHAPE))
    assert largest_error(truth.astype(np.float32).astype(np.float64), truth, SIZES) < 1e-6


@pytest.mark.parametrize("part", range(11))
def test_an_error_in_any_part_is_found(part: int) -> None:
    truth = reference(Problem.draw(SHAPE))
    sizes = [36, 36, *(value.size for value in Problem.draw(SHAPE).weights.values())]
    found = truth.copy()
    found[sum(sizes[: part + 1]) - 1] += 0.01
    assert len(sizes) == len(SIZES)
    assert largest_error(found, truth, SIZES) > 1e-4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_and_short_results_are_wrong(bad: float) -> None:
    truth = reference(Problem.draw(SHAPE))
    found = truth.copy()
    found[-1] = bad
    assert largest_error(found, truth, SIZES) == np.inf
    assert largest_error(found[:-1], truth, SIZES) == np.inf
