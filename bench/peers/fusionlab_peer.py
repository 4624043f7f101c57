"""The published layer of fusionlab-learn, on the TensorFlow and Keras 2 that it needs."""

from __future__ import annotations

import importlib.metadata

import tensorflow as tf
from fusionlab.nn.components import MemoryAugmentedAttention

from bench.peers import tensorflow_layer
from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem


def versions() -> dict[str, str]:
    """Return the versions in use."""
    version = importlib.metadata.version("fusionlab-learn")
    return {"fusionlab-learn": version, "tensorflow": tf.__version__}


def load(problem: Problem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "eager", "graph" or "xla"."""
    if form == "folded":
        return tensorflow_layer.folded(problem, mode, task)
    shape = problem.shape
    layer = MemoryAugmentedAttention(shape.units, shape.memory_size, shape.num_heads)
    layer(tf.constant(problem.x))
    layer.set_weights([problem.weights[name] for name in WEIGHTS])
    return tensorflow_layer.model(layer, list(layer.trainable_variables), problem, mode, task)
