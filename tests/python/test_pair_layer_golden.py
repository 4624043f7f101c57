"""The layers of two inputs against values, gradients and training runs of other software."""

import numpy as np
import pytest

from memattn import SGD, Adam
from memattn.layer_options import PAIR_ROUTES

from .pairs import CASES, KINDS, PairLayer, golden

EXACT = [case for case in CASES if not case.startswith("uniform_")]
UNIFORM = [case for case in CASES if case.startswith("uniform_")]


def scores_of(found: object, arrays: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return each array of scores with its counterpart in the file."""
    if "scores" in arrays:
        return [(found, arrays["scores"])]
    return list(zip(found, (arrays["scores1"], arrays["scores2"]), strict=True))


def check(layer: PairLayer, masks: dict, arrays: dict, limits: tuple[float, float]) -> None:
    """Compare values, scores and gradients with those of the file."""
    values, slopes = limits
    x1, x2 = arrays["x1"], arrays["x2"]
    y, scores = layer(x1, x2, **masks, return_attention_scores=True)
    assert np.abs(y - arrays["y"]).max() <= values * np.abs(arrays["y"]).max()
    for found, expected in scores_of(scores, arrays):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= values
    gradients = layer.backward(x1, x2, arrays["g"], **masks)
    names = ("x1", "x2") if "scores" in arrays else ("short", "long")
    assert list(gradients) == [*names, *layer.weights]
    for name, found in gradients.items():
        if name.endswith("key.bias"):  # the file's is rounding noise around 0
            np.testing.assert_array_equal(found, 0)
            continue
        expected = arrays[f"grad.{ {names[0]: 'x1', names[1]: 'x2'}.get(name, name) }"]
        assert found.shape == expected.shape
        # With one key the gradients of query and key are 0, and rounding noise in the file.
        scale = max(np.abs(expected).max(), 1e-3)
        assert np.abs(found - expected).max() <= slopes * scale, name


@pytest.mark.parametrize("case", EXACT)
@pytest.mark.parametrize(
    ("dtype", "limits"), [("float64", (1e-12, 1e-12)), ("float32", (3e-6, 6e-6))]
)
def test_results_equal_the_golden_values(
    case: str, dtype: str, limits: tuple[float, float]
) -> None:
    check(*golden(case, dtype), limits)


@pytest.mark.parametrize("route", PAIR_ROUTES)
@pytest.mark.parametrize(
    "case", ["cross_uneven", "hierarchical_uneven", *(f"mask_{kind}_every_mask" for kind in KINDS)]
)
def test_results_equal_the_golden_values_on_every_route(case: str, route: str) -> None:
    layer, masks, arrays = golden(case, "float64")
    layer.route = route
    check(layer, masks, arrays, (1e-12, 1e-12))


@pytest.mark.parametrize("case", UNIFORM)
def test_fully_masked_steps_equal_the_golden_uniform_reads(case: str) -> None:
    # The file is in float32, and has gradients of logits that do not affect the result.
    layer, masks, arrays = golden(case, "float64", fully_masked="uniform")
    y, scores = layer(arrays["x1"], arrays["x2"], **masks, return_attention_scores=True)
    assert np.abs(y - arrays["y"]).max() <= 3e-6 * np.abs(arrays["y"]).max()
    for found, expected in scores_of(scores, arrays):
        assert np.abs(found - expected).max() <= 3e-6


@pytest.mark.parametrize("route", ["auto", "as_written", "left_read"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_follows_the_golden_run(kind: str, name: str, route: str) -> None:
    layer, _, arrays = golden(f"train_{kind}_{name}", "float64")
    layer.route = route
    optimizer = SGD(learning_rate=0.1) if name == "sgd" else Adam(learning_rate=0.01)
    x1, x2 = arrays["x1"], arrays["x2"]
    for expected in arrays["losses"]:
        error = layer(x1, x2) - arrays["target"]
        assert abs(np.mean(error**2) - expected) <= 1e-9 * expected
        optimizer.step(layer, layer.backward(x1, x2, 2 * error / error.size))
    assert optimizer.iterations == 50
    for weight_name, weight in layer.weights.items():
        last = arrays[f"last.{weight_name}"]
        assert np.abs(weight - last).max() <= 1e-9 * np.abs(last).max(), weight_name
