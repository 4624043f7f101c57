"""Trains the published layer in fusionlab's environment; bench/collapse.py starts it.

    python -m bench.peers.fusionlab_training IN.npz OUT.npz

IN holds x and target (B, T, U), steps, learning_rate, memory_size, num_heads and, unless training
starts from the layer's own initial weights, the weights by name. OUT gets the loss before each step
and after the last, the largest difference between two slots at these times, and the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from fusionlab.nn.components import MemoryAugmentedAttention

from bench.problem import WEIGHTS


def main(source: Path, target: Path) -> None:
    """Train on the data of `source` and write `target`."""
    with np.load(source) as data:
        given = dict(data)
    x, wanted = tf.constant(given["x"], tf.float32), tf.constant(given["target"], tf.float32)
    tf.keras.utils.set_random_seed(0)
    layer = MemoryAugmentedAttention(x.shape[2], int(given["memory_size"]), int(given["num_heads"]))
    layer(x)
    if "memory" in given:
        layer.set_weights([given[name].astype(np.float32) for name in WEIGHTS])
    optimizer = tf.keras.optimizers.Adam(float(given["learning_rate"]))
    optimizer.build(layer.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def loss_and_step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(x) - wanted) ** 2)
        gradients = tape.gradient(loss, layer.trainable_variables)
        optimizer.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))
        return loss

    losses, distances = [], []
    for _ in range(int(given["steps"])):
        distances.append(np.ptp(layer.memory.numpy(), axis=0).max())
        losses.append(loss_and_step().numpy())
    distances.append(np.ptp(layer.memory.numpy(), axis=0).max())
    losses.append(tf.reduce_mean((layer(x) - wanted) ** 2).numpy())
    weights = dict(zip(WEIGHTS, layer.get_weights(), strict=True))
    np.savez(target, losses=losses, distances=distances, **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
