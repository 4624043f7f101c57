"""memattn's PyTorch module, and the share of PyTorch itself in a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import memattn
from bench.peers.worker import Model
from bench.problem import Problem
from memattn.torch import MemoryAugmentedAttention

torch.set_num_threads(1)


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"memattn": memattn.__version__, "torch": torch.__version__}


def load(problem: Problem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "eager", "compile" or "alone", the last one for task "step" only."""
    shape = problem.shape
    layer = MemoryAugmentedAttention(shape.units, shape.memory_size, shape.num_heads)
    layer.load_state_dict({name: torch.from_numpy(w) for name, w in problem.weights.items()})
    x = torch.from_numpy(problem.x)
    if task == "forward":
        layer.eval()
        function = torch.compile(layer, dynamic=False) if mode == "compile" else layer
        no_grad = torch.no_grad if mode == "compile" else torch.inference_mode

        def forward() -> Any:
            with no_grad():
                return function(x)

        return Model(forward, lambda y: [y.numpy()])

    inputs = [x.requires_grad_(), *layer.parameters()]
    grad_y = torch.from_numpy(problem.grad_y)
    function = torch.compile(layer, dynamic=False) if mode == "compile" else layer
    if mode == "alone":
        y = layer(x)
        known = torch.autograd.grad(y, inputs, grad_y, retain_graph=True)
        function = _alone(y.detach(), known, inputs)
    # A training step folds, since its weights have just changed. The key bias has no effect on the
    # result, so changing one of its values keeps the result comparable.
    changing = dict(layer.named_parameters())["key.bias"].detach().numpy()

    def step() -> Any:
        changing[0, 0] = -changing[0, 0]
        y = function(x)
        return [y.detach(), *torch.autograd.grad(y, inputs, grad_y)]

    return Model(step, lambda parts: [np.asarray(part) for part in parts])


def _alone(y: Any, grads: Any, inputs: list[Any]) -> Any:
    """Return a function whose result and gradients are known before it is called."""

    class Known(torch.autograd.Function):  # type: ignore[misc]  # mypy has no types of torch here
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            return y.view_as(y)

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            return grads

    return lambda _: Known.apply(*inputs)
