"""Trains the layer in a Keras model, saves it, shows its scores, and loads its weights in NumPy."""

import argparse

import keras
import numpy as np

import memattn
from memattn.keras import MemoryAugmentedAttention

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=1000)
steps = parser.parse_args().steps

x = np.random.default_rng(0).standard_normal((256, 10, 16)).astype("float32")
target = x + np.sin(2 * x)[..., ::-1]

layer = MemoryAugmentedAttention(units=16, memory_size=20, num_heads=4, seed=0)
model = keras.Sequential([keras.Input((10, 16)), layer])
model.compile(keras.optimizers.Adam(0.003), "mse")
losses = model.fit(x, target, epochs=steps // 8, batch_size=32, verbose=0).history["loss"]
print(f"loss {losses[0]:.3f}, after {steps} steps {losses[-1]:.3f}")

model.save("model.keras")
again = keras.models.load_model("model.keras")
difference = np.abs(again.predict(x, verbose=0) - model.predict(x, verbose=0)).max()
print(f"largest difference after saving and loading: {difference:.1g}")

_, scores = layer(x[:1], return_attention_scores="mean")
print(f"the first token reads slot {np.argmax(scores[0, 0])} most")

layer.save("layer.safetensors", overwrite=True)  # for NumPy, C++ and the other hosts
numpy_layer = memattn.MemoryAugmentedAttention.load("layer.safetensors")
difference = np.abs(numpy_layer(x) - model.predict(x, verbose=0)).max()
print(f"largest difference from NumPy: {difference:.1g}")
