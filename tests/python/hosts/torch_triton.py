"""Shared by the tests of the Triton kernels: layers on the kernels, and in float64.

The kernels run on the CPU by Triton's interpreter, which conftest.py selects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from triton.runtime import interpreter

from memattn.torch import MemoryAugmentedAttention
from memattn.torch.backends import triton_blocks, triton_launch  # noqa: F401 - for the tests

assert triton_launch.INTERPRETED, "TRITON_INTERPRET=1 was set after the import of Triton"

Results = dict[str, torch.Tensor]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return standard normal numbers in float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def chance(*shape: int, share: float = 0.6, seed: int = 0) -> torch.Tensor:
    """Return booleans, of which about `share` are True."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.rand(shape, generator=generator) < share


def every_mask(batch: int, steps: int, slots: int) -> dict[str, Any]:
    """Return all masks of a call, with some fully masked tokens."""
    return {
        "attention_mask": chance(batch, steps, slots),
        "query_mask": chance(batch, steps, share=0.8),
        "value_mask": chance(batch, slots, share=0.8),
        "use_causal_mask": True,
        "first_step": 1,
    }


def on_triton(*sizes: int, **options: Any) -> MemoryAugmentedAttention:
    """Return a layer that the Triton kernels compute."""
    layer = MemoryAugmentedAttention(*sizes, **{"seed": 1, **options})
    layer.backend = "triton"
    return layer


def exact(layer: MemoryAugmentedAttention) -> MemoryAugmentedAttention:
    """Return the same layer in float64, which the compiled kernels compute."""
    twin = MemoryAugmentedAttention.from_numpy(layer.to_numpy(), dtype=torch.float64)
    twin.train(layer.training)
    twin.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    return twin


def multiply_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the interpreter sum each row of a product in the same order, as a GPU does.

    NumPy's BLAS sums the last rows of a matrix in another order.
    """

    def create_dot(self: Any, a: Any, b: Any, acc: Any, *rest: Any) -> Any:
        product = (a.data[:, :, None] * b.data[None]).sum(1, dtype=np.float32)
        return interpreter.TensorHandle(product + acc.data, acc.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...], dict[str, Any]]]:
    """Return a list to which every launch of a kernel adds its name, grid and constants."""
    launches = []

    class Watched:
        def __init__(self, kernel: Any) -> None:
            self.kernel = kernel

        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            def launch(*arguments: Any, **constants: Any) -> None:
                launches.append((self.kernel.fn.__name__, grid, constants))
                self.kernel[grid](*arguments, **constants)

            return launch

    for function in (triton_launch.forward, triton_launch.backward):
        kernels = tuple(map(Watched, function.__kwdefaults__["kernels"]))
        monkeypatch.setitem(function.__kwdefaults__, "kernels", kernels)
    return launches


def results(
    layer: Any, x: torch.Tensor, grad: torch.Tensor, run: Any = None, **call: Any
) -> Results:
    """Return y, the scores, and the gradients of a loss on both."""
    layer.zero_grad()
    x = x.detach().clone().requires_grad_()
    found = (layer if run is None else run)(x, **call)
    y, *scores = found if isinstance(found, tuple) else (found,)
    loss = (y.double() * grad.double()).sum()
    for one in scores:
        loss = loss + one.double().square().sum()
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in layer.named_parameters()}
    named = {"scores": scores[0].detach()} if scores else {}
    return {"y": y.detach(), **named, "x": x.grad, **gradients}


def check(found: Results, expected: Results, limit: float) -> None:
    """Fail if a result differs by more than `limit`, relative to the largest expected value."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # The gradient of the key bias is 0, so it is compared relative to that of the query bias.
        scale = expected["query.bias"] if name == "key.bias" else value
        error = (found[name].double() - value).abs().max()
        assert error <= limit * scale.abs().max() + 1e-30, (name, float(error))
