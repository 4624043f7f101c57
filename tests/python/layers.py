"""Healthy and defective layers for the tests of inspection (tests/python/inspection)."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from memattn import Adam, MemoryAugmentedAttention

# (units, memory_size, num_heads, key_dim, value_dim)
SHAPES = [
    (1, 5, 1, None, None),
    (5, 3, 2, None, None),
    (8, 5, 2, 4, 3),
    (16, 20, 4, None, None),
    (64, 20, 4, None, None),
    (32, 100, 4, None, None),
    (48, 64, 8, None, None),
    (4, 64, 3, 2, 2),
]


def make_layer(shape: tuple[Any, ...], **options: Any) -> MemoryAugmentedAttention:
    """Return a layer with one of SHAPES, without the warning for a memory of zeros."""
    units, slots, heads, key_dim, value_dim = shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MemoryAugmentedAttention(
            units, slots, heads, key_dim=key_dim, value_dim=value_dim, **{"seed": 1, **options}
        )


def problem(units: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens, and a target other than the tokens plus a constant."""
    x = np.random.default_rng(units).standard_normal((16, 10, units))
    return x, x + np.sin(2 * x)[..., ::-1]


def train(layer: MemoryAugmentedAttention, steps: int, learning_rate: float = 0.003) -> float:
    """Train on `problem` and return the last loss."""
    x, target = problem(layer.get_config()["units"])
    optimizer = Adam(learning_rate=learning_rate)
    for _ in range(steps):
        error = layer(x) - target
        optimizer.step(layer, layer.backward(x, 2 * error / error.size))
    return float(np.mean((layer(x) - target) ** 2))


def change(
    layer: MemoryAugmentedAttention, **edits: Callable[[np.ndarray], object]
) -> MemoryAugmentedAttention:
    """Change weights with functions that edit an array; keywords name them, with _ for the dot."""
    for name, edit in edits.items():
        dotted = name.replace("_", ".", 1)
        weight = layer.weights[dotted].copy()
        edit(weight)
        layer.set_weights({dotted: weight})
    return layer
