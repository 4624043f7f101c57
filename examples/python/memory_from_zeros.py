"""Shows why the memory must not start at zeros: trains from zeros and from random slots."""

import argparse
import warnings

import numpy as np

from memattn import Adam, MemoryAugmentedAttention

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=2000)
steps = parser.parse_args().steps

rng = np.random.default_rng(0)
x = rng.standard_normal((16, 10, 16))
target = x + np.sin(2 * x)[..., ::-1]  # what the layer has to add depends on x
print(
    f"{'memory starts':14} {'first loss':>10} {f'loss {steps}':>10}  largest distance from slot 0"
)
for start in ("zeros", "normal"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the layer warns of exactly this
        layer = MemoryAugmentedAttention(
            16, 20, 4, memory_initializer=start, dtype="float64", seed=0
        )
    optimizer = Adam(learning_rate=0.003)
    losses = []
    for _ in range(steps + 1):
        error = layer(x) - target
        losses.append(np.mean(error**2))
        optimizer.step(layer, layer.backward(x, 2 * error / error.size))
    memory = layer.weights["memory"]
    spread = np.abs(memory - memory[0]).max()
    print(f"{start:14} {losses[0]:10.4f} {losses[-1]:10.4f}  {spread:.3g}")
