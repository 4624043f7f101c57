"""TensorFlow with Keras 3: its MultiHeadAttention, with the memory tiled over the batch."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

from typing import Any

import keras
import tensorflow as tf

from bench.peers import tensorflow_layer
from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def load(problem: Problem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "graph" or "xla"."""
    if form == "folded":
        return tensorflow_layer.folded(problem, mode, task)
    batch, steps, units, slots, heads = problem.shape.sizes
    attention = keras.layers.MultiHeadAttention(heads, units)
    attention.build((batch, steps, units), (batch, slots, units), (batch, slots, units))
    attention.set_weights([problem.weights[name] for name in WEIGHTS if name != "memory"])
    # A constant unless it is trained, so that the graph may be simplified.
    make = tf.Variable if task == "step" else tf.constant
    memory = make(problem.weights["memory"])

    def layer(x: Any) -> Any:
        tiled = tf.tile(tf.convert_to_tensor(memory)[None], (batch, 1, 1))
        return x + attention(x, tiled, tiled)

    weights = [memory, *(weight.value for weight in attention.weights)]
    return tensorflow_layer.model(layer, weights, problem, mode, task)
