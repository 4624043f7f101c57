"""Shared by the tests of memattn.keras: helpers that work on every Keras and backend."""

import os
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import memattn
from memattn.keras import MemoryAugmentedAttention
from memattn.keras.host import KERAS_3, keras, ops

# Keras 2 warns on Python 3.11 when it draws a seed, Keras 3 with NumPy 2.
WARNINGS_OF_KERAS = [
    pytest.mark.filterwarnings("ignore:non-integer arguments to randrange"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword"),
]
BACKEND = keras.backend.backend()
NAMES = ["memory"] + [
    f"{part}.{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias")
]

if BACKEND == "jax":  # JAX has float64 only if enabled
    import jax

    jax.config.update("jax_enable_x64", True)


def tensor(array: Any) -> Any:
    return ops.convert_to_tensor(array)


def numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))


def tokens(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def layer_like(
    weights: dict[str, np.ndarray], x: np.ndarray, **config: Any
) -> MemoryAugmentedAttention:
    """Returns a layer that is built for `x` and has these weights."""
    layer = MemoryAugmentedAttention(**config)
    layer.build(x.shape)
    layer.set_weights([np.asarray(weight, layer.dtype) for weight in weights.values()])
    return layer


X = tokens(2, 3, 6, dtype="float64")
G = tokens(2, 3, 6, dtype="float64", seed=1)


def agree(found: np.ndarray, expected: np.ndarray, limit: float) -> bool:
    """Whether all values differ by at most `limit` times the largest; NaN equals NaN."""
    largest = max(1.0, np.nanmax(np.abs(expected), initial=0.0))
    both_nan = np.isnan(found) & np.isnan(expected)
    return found.shape == expected.shape and bool(
        (both_nan | (np.abs(found - expected) <= limit * largest)).all()
    )


def numpy_layer(**options: Any) -> memattn.MemoryAugmentedAttention:
    """Returns a NumPy layer in float64 without zero biases."""
    config = {"units": 6, "memory_size": 5, "num_heads": 2, "dtype": "float64", "seed": 3}
    layer = memattn.MemoryAugmentedAttention(**{**config, **options})
    rng = np.random.default_rng(4)
    layer.set_weights([w + 0.3 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


def twin(layer: memattn.MemoryAugmentedAttention) -> MemoryAugmentedAttention:
    """Returns the Keras layer equal to a NumPy layer."""
    other = MemoryAugmentedAttention(**layer.get_config())
    other.build(X.shape)
    other.set_weights(layer.get_weights())
    return other


def run(layer: Any, x: Any, g: np.ndarray, **masks: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Returns y, the scores, and the gradients of sum(y·g) with respect to x and every weight.

    For a layer of two inputs, x is the pair, the gradients have keys "x1" and "x2", and the scores
    may be a pair.
    """
    of_backend = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[BACKEND]
    inputs = list(x) if isinstance(x, (list, tuple)) else [x]
    y, scores, found = of_backend(layer, inputs, g, {**masks, "return_attention_scores": True})
    scores = tuple(map(numpy, scores)) if isinstance(scores, (list, tuple)) else numpy(scores)
    names = ["x"] if len(inputs) == 1 else ["x1", "x2"]
    return y, scores, dict(zip([*names, *layer._weight_names()], found, strict=True))


def _one_or_both(inputs: list[Any]) -> Any:
    return inputs[0] if len(inputs) == 1 else inputs


def _tensorflow(layer: Any, x: list[Any], g: Any, call: dict[str, Any]) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    x, weights = [tf.constant(part) for part in x], layer.trainable_variables
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, scores = layer(_one_or_both(x), **call)
        loss = tf.reduce_sum(y * g)
    values = [weight.value for weight in weights] if KERAS_3 else weights
    found = tape.gradient(loss, [*x, *values], unconnected_gradients="zero")
    return y.numpy(), scores, [tf.convert_to_tensor(d).numpy() for d in found]


def _jax(layer: Any, x: list[Any], g: Any, call: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    import jax

    fixed = [variable.value for variable in layer.non_trainable_variables]

    def loss(x: Any, weights: Any) -> tuple[Any, Any]:
        (y, scores), _ = layer.stateless_call(weights, fixed, _one_or_both(x), **call)
        return (y * g).sum(), (y, scores)

    weights = [variable.value for variable in layer.trainable_variables]
    step = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (d_x, d_weights), (y, scores) = step(x, weights)
    return np.asarray(y), scores, [np.asarray(d) for d in (*d_x, *d_weights)]


def _torch(layer: Any, x: list[Any], g: Any, call: dict[str, Any]) -> tuple[Any, Any, list[Any]]:
    import torch

    x = [torch.tensor(part, requires_grad=True) for part in x]
    parts = [*x, *(variable.value for variable in layer.trainable_variables)]
    y, scores = layer(_one_or_both(x), **call)
    found = torch.autograd.grad((y * torch.tensor(g)).sum(), parts)
    return numpy(y), scores, [d.numpy() for d in found]


def import_fusionlab(name: str) -> ModuleType:
    """Imports a module of fusionlab, which warns and writes a log to the current folder."""
    from importlib import import_module

    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            return import_module(name)
        finally:
            os.chdir(home)
