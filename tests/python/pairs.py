"""The layers of two inputs, their inputs and golden files, for tests that both share."""

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from memattn import CrossAttention, HierarchicalAttention

from .golden import FOLDER, read
from .sampling import pairwise, some

T = TypeVar("T")
PairLayer = CrossAttention | HierarchicalAttention

KINDS = ("cross", "hierarchical")
both = pytest.mark.parametrize("kind", KINDS)
CLASSES: dict[str, Any] = {"cross": CrossAttention, "hierarchical": HierarchicalAttention}
INPUTS = {"cross": ("x1", "x2"), "hierarchical": ("short", "long")}
WIDTHS = {
    "cross": ("source1_units", "source2_units"),
    "hierarchical": ("short_units", "long_units"),
}
MASKS = ("attention_mask", "query_mask", "value_mask", "short_mask", "long_mask")
FILES = sorted((FOLDER / "siblings").glob("*.safetensors"))
CASES = [file.stem for file in FILES if not file.stem.startswith(("train_", "keras2_"))]


def on_jax_some(cases: Iterable[T]) -> list[T]:
    """Return all cases; on JAX, which compiles each, a fifth, unless MEMATTN_LONG_TESTS=1."""
    return some(cases, 5 if os.environ.get("MEMATTN_TEST_HOST") == "jax" else 1)


def pairwise_or_jax_some(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return cases with every pair of values of two axes; on JAX, which compiles each, fewer.

    With MEMATTN_LONG_TESTS=1, return all combinations.
    """
    if os.environ.get("MEMATTN_TEST_HOST") == "jax":
        return on_jax_some(itertools.product(*axes))
    return pairwise(*axes)


def small(kind: str, **options: Any) -> PairLayer:
    """Return a layer of 6 units and two heads, whose inputs have widths 5 and 3."""
    first, second = WIDTHS[kind]
    return CLASSES[kind](6, 2, **{first: 5, second: 3, "seed": 1, **options})


def inputs(
    kind: str, batch: int = 3, steps: int = 7, keys: int = 4, dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs of `small`; the hierarchical layer has the same number of steps in both."""
    draw = np.random.default_rng(0).standard_normal
    keys = steps if kind == "hierarchical" else keys
    return draw((batch, steps, 5)).astype(dtype), draw((batch, keys, 3)).astype(dtype)


def with_biases(layer: PairLayer) -> PairLayer:
    """Give the layer biases other than 0, so that every term matters."""
    draw = np.random.default_rng(4).standard_normal
    layer.set_weights(
        {name: draw(weight.shape) for name, weight in layer.weights.items() if "bias" in name}
    )
    return layer


def golden(case: str, dtype: str, **options: Any) -> tuple[PairLayer, dict[str, Any], dict]:
    """Return the layer of a golden file with its weights, the call's masks, and all arrays."""
    arrays, config = read(f"siblings/{case}")
    kind = "hierarchical" if "short.dense.kernel" in arrays else "cross"
    masks: dict[str, Any] = {name: arrays[name].astype(bool) for name in MASKS if name in arrays}
    masks["use_causal_mask"] = config.pop("use_causal_mask", False)
    widths = {n: arrays[x].shape[-1] for n, x in zip(WIDTHS[kind], ("x1", "x2"), strict=True)}
    layer = CLASSES[kind](**config, **widths, dtype=dtype, seed=0, **options)
    layer.set_weights({name: arrays[name] for name in layer.weights})
    return layer, masks, arrays


def equal(found: object, expected: object) -> None:
    """Compare results or gradients with others, to the bit."""
    if isinstance(found, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(found, (tuple, list)):
        for a, b in zip(found, expected, strict=True):
            equal(a, b)
        return
    np.testing.assert_array_equal(found, expected, strict=True)


def step_masks(kind: str, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Return masks of steps: some steps of each sequence, and all steps of one sequence."""
    rng = np.random.default_rng(3)
    names = ("query_mask", "value_mask") if kind == "cross" else ("short_mask", "long_mask")
    masks = {
        name: rng.random(x.shape[:2]) < 0.6 for name, x in zip(names, (first, second), strict=True)
    }
    for mask in masks.values():
        mask[0, 1:3] = False
        mask[-1] = False
    return masks
