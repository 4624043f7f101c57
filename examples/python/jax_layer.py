"""Trains the layer in JAX with a compiled step, and saves it to a file that every host reads."""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import memattn
from memattn.jax import Config, apply, init, load, prepare, save

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=500)
steps = parser.parse_args().steps

config = Config(units=16, memory_size=20, num_heads=4)
params = init(jax.random.key(0), config)
x = jax.random.normal(jax.random.key(1), (32, 10, 16))
target = x + jnp.sin(2 * x)[..., ::-1]

loss_of = jax.jit(jax.value_and_grad(lambda p: jnp.mean((apply(p, x, config) - target) ** 2)))

for step in range(steps + 1):
    loss, grads = loss_of(params)
    params = jax.tree.map(lambda p, g: p - g, params, grads)
    if step in (0, steps):
        print(f"step {step:4}  loss {loss:.4f}")

save("layer.safetensors", params, config)
numpy_layer = memattn.MemoryAugmentedAttention.load("layer.safetensors")
params, config = load("layer.safetensors")
serve = jax.jit(partial(apply, prepare(params, config), config=config))  # folds the weights once
print(f"largest difference from NumPy: {np.abs(serve(x) - numpy_layer(np.asarray(x))).max():.0e}")
