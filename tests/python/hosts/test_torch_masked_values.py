"""PyTorch: what a masked step, slot or token holds reaches nothing, by kernels and operators."""

from typing import Any

import numpy as np
import pytest
import torch

from memattn.layer_options import PAIR_ROUTES
from memattn.torch import MemoryAugmentedAttention

from ..masked_values import SOME_JUNK, filled, one_step_for_some
from ..pairs import both, step_masks
from .torch_pairs import flat, inputs, small, tensors

everywhere = pytest.mark.parametrize("where", ["kernels", "operators"])


@pytest.fixture
def operators(where: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Have PyTorch's own operators compute, where a test asks for them."""
    if where == "operators":
        monkeypatch.setattr("memattn.torch.function.applies", lambda *_: False)
    return where == "operators"


def spoilt(x: torch.Tensor, rows: np.ndarray, junk: str) -> torch.Tensor:
    return torch.from_numpy(filled(x.numpy(), rows, junk))


def results(layer: Any, given: Any, grad_y: Any, scores: bool, **call: Any) -> list[Any]:
    """Outputs, and gradients of a loss on all of them by the inputs and every weight."""
    leaves = [x.clone().requires_grad_() for x in given]
    layer.zero_grad()
    outputs = flat(layer(*leaves, **call, return_attention_scores=scores))
    gradients = [grad_y, *(torch.ones_like(part) / 3 for part in outputs[1:])]
    torch.autograd.backward(outputs, gradients)
    parameters = [p.grad.clone() for p in layer.parameters()]
    return [*(o.detach() for o in outputs), *(leaf.grad for leaf in leaves), *parameters]


@everywhere
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("route", PAIR_ROUTES)
@both
def test_masked_steps(kind: str, route: str, scores: bool, operators: bool) -> None:
    layer = small(kind)
    layer.route = route
    x = inputs(kind)
    masks = step_masks(kind, *(part.numpy() for part in x))
    call, grad_y = tensors(masks), torch.ones(3, 7, 6)
    clean = results(layer, x, grad_y, scores, **call)
    for junk in SOME_JUNK:
        dirty = [spoilt(part, ~mask, junk) for part, mask in zip(x, masks.values(), strict=True)]
        for found, expected in zip(
            results(layer, dirty, grad_y, scores, **call), clean, strict=True
        ):
            assert torch.equal(found, expected), junk


@pytest.mark.parametrize("route", PAIR_ROUTES)
@both
def test_a_step_that_some_may_read_reaches_no_others(kind: str, route: str) -> None:
    layer = small(kind)
    layer.route = route
    x, grad_y = inputs(kind), torch.ones(3, 7, 6)
    keep, other, step = one_step_for_some(kind, x[1].shape[1])
    call = tensors({"attention_mask": keep})
    clean = results(layer, x, grad_y, False, **call)
    for junk in SOME_JUNK:
        found = results(layer, [x[0], spoilt(x[1], step, junk)], grad_y, False, **call)
        for part in (0, 1):  # y and the gradient of the first input
            assert torch.equal(found[part][:, other], clean[part][:, other]), junk


@everywhere
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("key_dim", [None, 1])  # folded and projected
def test_masked_tokens(key_dim: int | None, scores: bool, operators: bool) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, key_dim=key_dim, seed=1)
    x = torch.randn(3, 7, 6, generator=torch.Generator().manual_seed(0))
    kept = np.random.default_rng(5).random((3, 7)) < 0.6
    call = {"query_mask": torch.from_numpy(kept)}
    grad_y = torch.from_numpy(np.where(kept[..., None], 1, 0)).float().expand(3, 7, 6)
    clean = results(layer, [x], grad_y, scores, **call)
    for junk in SOME_JUNK:
        found = results(layer, [spoilt(x, ~kept, junk)], grad_y, scores, **call)
        assert torch.equal(found[0][kept], clean[0][kept]), junk
        for part, expected in zip(found[1:], clean[1:], strict=True):
            assert torch.equal(part, expected), junk


# In PyTorch's own operators 0·NaN is NaN: docs/pytorch.md.
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("key_dim", [None, 1])
def test_masked_slots(key_dim: int | None, scores: bool) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, key_dim=key_dim, seed=1)
    x = torch.randn(3, 7, 6, generator=torch.Generator().manual_seed(0))
    call = {"value_mask": torch.tensor([True, True, False, True, True]).expand(3, 5)}
    grad_y = torch.ones(3, 7, 6)
    clean = results(layer, [x], grad_y, scores, **call)
    memory = layer.memory.detach().clone()
    for junk in SOME_JUNK:
        with torch.no_grad():
            layer.memory.copy_(spoilt(memory, np.arange(5) == 2, junk))
        for found, expected in zip(results(layer, [x], grad_y, scores, **call), clean, strict=True):
            assert torch.equal(found, expected), junk
