"""The forms of the memory layer that `bench.torch_gpu` times, each with a module's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

Function = Callable[[Tensor], Tensor]


def _projected(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Return x·kernel + bias, with the heads side by side."""
    return torch.addmm(bias.flatten(), x.reshape(-1, x.shape[-1]), kernel.flatten(1))


def _attention(layer: Any, x: Tensor, memory: Tensor) -> Tensor:
    """Return x + MultiHeadAttention(x, memory, memory) of a memory (1, S, U) or (B, S, U)."""
    units, heads, width = layer.query.kernel.shape
    batch, steps, _ = x.shape

    def split(flat: Tensor, of: Tensor) -> Tensor:
        return flat.view(of.shape[0], of.shape[1], heads, width).transpose(1, 2)

    query, key, value = (
        split(_projected(of, part.kernel, part.bias), of)
        for of, part in ((x, layer.query), (memory, layer.key), (memory, layer.value))
    )
    key, value = (part.expand(batch, -1, -1, -1) for part in (key, value))
    read = scaled_dot_product_attention(query, key, value)
    flat = read.transpose(1, 2).reshape(batch * steps, heads * width)
    kernel = layer.output.kernel.reshape(heads * width, units)
    return x + torch.addmm(layer.output.bias, flat, kernel).view(batch, steps, units)


def published(layer: Any) -> Function:
    """Return the layer as users write it: the memory tiled over the batch, then projected."""

    def run(x: Tensor) -> Tensor:
        return _attention(layer, x, layer.memory.expand(x.shape[0], -1, -1).contiguous())

    return run


def once(layer: Any) -> Function:
    """Return the same, with the memory projected once per call."""

    def run(x: Tensor) -> Tensor:
        return _attention(layer, x, layer.memory[None])

    return run


def _on(layer: Any, backend: str) -> Function:
    layer.backend = backend

    def run(x: Tensor) -> Tensor:
        y: Tensor = layer(x)
        return y

    return run


def plain(layer: Any) -> Function:
    """Return the module in PyTorch's own operators, folded."""
    return _on(layer, "plain")


def triton(layer: Any) -> Function:
    """Return the module on the Triton kernels."""
    return _on(layer, "triton")


FORMS: dict[str, Callable[[Any], Function]] = {
    "published": published,
    "once": once,
    "plain": plain,
    "triton": triton,
}
BACKENDS = ("plain", "triton")  # the forms that are backends of the module
NAMES = {
    "published": "published: memory tiled, SDPA",
    "once": "memory projected once, SDPA",
    "plain": "memattn, plain",
    "triton": "memattn, Triton",
}
