"""Trains the layer in a PyTorch model, and computes it with NumPy alone from the saved weights."""

import argparse
from tempfile import TemporaryDirectory

import torch
from torch import nn

import memattn
from memattn.torch import MemoryAugmentedAttention

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=1000)
steps = parser.parse_args().steps

torch.manual_seed(0)
layer = MemoryAugmentedAttention(units=16, memory_size=20, num_heads=4)
model = nn.Sequential(layer, nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
x = torch.randn(16, 10, 16)
target = torch.sin(2 * x).sum(-1, keepdim=True)  # nonlinear: the memory has to learn it
for step in range(steps + 1):
    loss = nn.functional.mse_loss(model(x), target)
    if step in (0, steps):
        print(f"loss after {step} steps: {loss.item():.3f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with TemporaryDirectory() as folder:
    layer.to_numpy().save(f"{folder}/layer.safetensors")
    served = memattn.MemoryAugmentedAttention.load(f"{folder}/layer.safetensors")
with torch.no_grad():
    difference = abs(served(x.numpy()) - layer(x).numpy()).max()
print(f"largest difference between PyTorch and NumPy: {difference:g}")
