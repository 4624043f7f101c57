"""Comparison of Keras' layers of two inputs with the NumPy layers."""

from typing import Any

import numpy as np

from memattn.keras import CrossAttention, HierarchicalAttention

from ..pairs import INPUTS, WIDTHS, PairLayer
from .keras_support import agree, run

CLASSES: dict[str, Any] = {"cross": CrossAttention, "hierarchical": HierarchicalAttention}


def kind_of(layer: PairLayer) -> str:
    """Returns the kind of a NumPy layer."""
    return "hierarchical" if type(layer).__name__ == "HierarchicalAttention" else "cross"


def twin(layer: PairLayer, **options: Any) -> Any:
    """Returns the Keras layer equal to a NumPy layer."""
    config = layer.get_config()
    kind = kind_of(layer)
    widths = [config.pop(name) or config["units"] for name in WIDTHS[kind]]
    other = CLASSES[kind](**{**config, **options})
    other.build([(None, None, width) for width in widths])
    other.set_weights(layer.get_weights())
    return other


def check_scores(found: Any, expected: Any, limit: float) -> None:
    """Compares the scores of one attention, or of two, with the expected ones."""
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for a, b in zip(found, expected, strict=True):
        assert agree(a, b, limit)


def check_against_numpy(layer: Any, reference: PairLayer, x: Any, g: Any, **masks: Any) -> None:
    """Compares values, scores and gradients with those of the NumPy layer."""
    y, scores, gradients = run(layer, x, g, **masks)
    expected_y, expected = reference(*x, **masks, return_attention_scores=True)
    assert agree(y, expected_y, 1e-13)
    check_scores(scores, expected, 1e-13)
    slopes = reference.backward(*x, g, **masks)
    names = dict(zip(("x1", "x2"), INPUTS[kind_of(reference)], strict=True))
    for name, gradient in gradients.items():
        assert agree(gradient, slopes[names.get(name, name)], 1e-12), name
        if name.endswith("key.bias"):
            np.testing.assert_array_equal(gradient, 0)
