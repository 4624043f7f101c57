"""PyTorch, eager and compiled, with its fused attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name

from bench.pairs import PairProblem
from bench.peers import torch_pairs
from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem

torch.set_num_threads(1)


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"torch": torch.__version__}


def _published(x: Any, *weights: Any) -> Any:
    """Return the result as published; keys and values are projected once, then expanded."""
    memory, wq, bq, wk, bk, wv, bv, wo, bo = weights
    heads, units = bq.shape

    batch, steps, _ = x.shape
    tokens = x.reshape(-1, units)
    query = torch.addmm(bq.reshape(-1), tokens, wq.reshape(units, -1))
    query = query.reshape(batch, steps, heads, units).transpose(1, 2)
    key = torch.addmm(bk.reshape(-1), memory, wk.reshape(units, -1))
    value = torch.addmm(bv.reshape(-1), memory, wv.reshape(units, -1))
    key, value = (
        part.reshape(1, -1, heads, units).transpose(1, 2).expand(batch, -1, -1, -1)
        for part in (key, value)
    )
    read = F.scaled_dot_product_attention(query, key, value)
    read = read.transpose(1, 2).reshape(-1, heads * units)
    return x + torch.addmm(bo, read, wo.reshape(-1, units)).reshape(x.shape)


def _two_products(x: Any, a: Any, c: Any, b: Any, bo: Any, heads: int) -> Any:
    logits = torch.addmm(c, x, a)
    scores = torch.softmax(logits.reshape(len(x), heads, -1), -1).reshape(logits.shape)
    return x + torch.addmm(bo, scores, b)


def _fold(memory: Any, *weights: Any) -> tuple[Any, Any, Any]:
    wq, bq, wk, _, wv, bv, wo, _ = weights
    heads, units = bq.shape
    key = (memory @ wk.reshape(units, -1)).reshape(-1, heads, units) * units**-0.5
    value = torch.addmm(bv.reshape(-1), memory, wv.reshape(units, -1)).reshape(-1, heads, units)
    a = torch.einsum("uhd,shd->uhs", wq, key).reshape(units, -1)
    c = torch.einsum("hd,shd->hs", bq, key).reshape(-1)
    b = torch.einsum("shd,hdu->hsu", value, wo).reshape(-1, units)
    return a, c, b


def _folded_step(x: Any, *weights: Any) -> Any:
    a, c, b = _fold(*weights)
    tokens = x.reshape(-1, x.shape[-1])
    return _two_products(tokens, a, c, b, weights[-1], weights[2].shape[0]).reshape(x.shape)


def _compiled(function: Callable[..., Any], mode: str) -> Callable[..., Any]:
    if mode == "eager":
        return function
    torch._dynamo.reset()
    compiled: Callable[..., Any] = torch.compile(function, dynamic=False)
    return compiled


def _forward(problem: Problem | PairProblem, mode: str, form: str) -> Model:
    if isinstance(problem, PairProblem):
        return _run(*torch_pairs.forward(problem, form), mode)
    heads = problem.shape.num_heads
    if form == "published":
        weights = [torch.from_numpy(problem.weights[name]) for name in WEIGHTS]
        x = torch.from_numpy(problem.x)
        return _run(_published, weights, [x], mode)
    arrays = problem.folded()
    parts = [torch.from_numpy(arrays[name]) for name in ("a", "c", "b", "bo")]
    x = torch.from_numpy(problem.x.reshape(problem.shape.tokens, -1))
    return _run(lambda x, a, c, b, bo: _two_products(x, a, c, b, bo, heads), parts, [x], mode)


def _run(function: Callable[..., Any], parts: list[Any], inputs: list[Any], mode: str) -> Model:
    """Return a forward pass whose weights are constants."""
    module = _Constants(function, parts)
    module.eval()
    compiled = _compiled(module, mode)
    no_grad = torch.inference_mode if mode == "eager" else torch.no_grad

    def call() -> Any:
        with no_grad():
            return compiled(*inputs)

    return Model(call, lambda y: [y.numpy()])


class _Constants(torch.nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    """A module whose parameters the compiler may treat as constants (freezing)."""

    def __init__(self, function: Callable[..., Any], parts: list[Any]) -> None:
        super().__init__()
        self.function = function
        self.parts = torch.nn.ParameterList(parts)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs, *self.parts)


def _step(problem: Problem | PairProblem, mode: str, form: str) -> Model:
    if isinstance(problem, PairProblem):
        layer, arrays = torch_pairs.step(problem, form)
    else:
        layer = _published if form == "published" else _folded_step
        arrays = [problem.x, *(problem.weights[name] for name in WEIGHTS)]
    function = _compiled(layer, mode)
    inputs = [torch.from_numpy(array).requires_grad_() for array in arrays]
    grad_y = torch.from_numpy(problem.grad_y)

    def call() -> Any:
        y = function(*inputs)
        # No folded form contains the key bias, whose true gradient is 0.
        grads = torch.autograd.grad(y, inputs, grad_y, allow_unused=True, materialize_grads=True)
        return [y.detach(), *grads]

    return Model(call, lambda parts: [part.numpy() for part in parts])


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "eager" or "compile"."""
    if task == "step":
        return _step(problem, mode, form)
    torch._inductor.config.freezing = True
    try:
        model = _forward(problem, mode, form)
        model.call()
    finally:
        torch._inductor.config.freezing = False
    return model
