"""Trains the layer on NumPy arrays, saves and loads it, and shows which slots tokens read."""

import argparse

import numpy as np

from memattn import Adam, MemoryAugmentedAttention

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=500)
steps = parser.parse_args().steps

rng = np.random.default_rng(0)
x = rng.standard_normal((32, 10, 16), dtype=np.float32)
target = x + np.sin(2 * x)[..., ::-1]
padding = rng.random((32, 10)) < 0.9  # False marks padding

layer = MemoryAugmentedAttention(units=16, memory_size=20, num_heads=4, seed=0)
optimizer = Adam(learning_rate=0.01)
for step in range(steps + 1):
    error = (layer(x, query_mask=padding) - target) * padding[..., None]
    loss = np.mean(error**2)
    if step in (0, steps):
        print(f"step {step:4}  loss {loss:.4f}")
    gradients = layer.backward(x, 2 * error / error.size, query_mask=padding)
    optimizer.step(layer, gradients)

layer.save("layer.safetensors")
again = MemoryAugmentedAttention.load("layer.safetensors")
z, scores = again(x, return_attention_scores="mean")
assert np.array_equal(z, layer(x))
print("most read slot of the first tokens:", *scores[0].argmax(axis=-1))
