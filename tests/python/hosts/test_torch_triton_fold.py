"""When the Triton kernels fold: once a step, and in inference when a weight has changed."""

from typing import Any

import pytest
import torch

from memattn.torch import MemoryAugmentedAttention, plain
from memattn.torch.backends import fold

from .torch_triton import draw, on_triton

X = draw(2, 3, 6)


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """Every fold leaves its dtype here."""
    seen = []
    real = plain.fold

    def watched(weights: Any) -> Any:
        seen.append(weights.memory.dtype)
        return real(weights)

    monkeypatch.setattr(plain, "fold", watched)
    return seen


def twin_of(layer: MemoryAugmentedAttention) -> MemoryAugmentedAttention:
    """A layer of the same weights that has never folded."""
    twin = on_triton(6, 5, 2)
    twin.load_state_dict(layer.state_dict())
    return twin


def test_once_in_a_step(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2)
    for step in range(1, 4):
        layer(X).square().sum().backward()
        assert len(folds) == step


def test_never_again_in_inference(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2)
    with torch.no_grad():
        first = layer(X)
        assert torch.equal(layer(X), first)
        layer(X, value_mask=torch.ones(2, 5).bool())  # a fold of its own, for slots with NaN
        layer(X, value_mask=torch.ones(2, 5).bool())
    with torch.inference_mode():
        assert torch.equal(layer(X), first)
    assert len(folds) == 2
    layer.requires_grad_(False)  # frozen weights, whose input may need a gradient
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert len(folds) == 2


def test_a_fold_of_inference_mode_serves_gradients_too(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2).requires_grad_(False)
    with torch.inference_mode():
        layer(X)
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert len(folds) == 1
    assert x.grad is not None


@pytest.mark.parametrize("name", ["memory", "query.bias", "key.kernel", "output.bias"])
def test_again_when_a_weight_has_changed(name: str) -> None:
    layer = on_triton(6, 5, 2)
    with torch.no_grad():
        before = layer(X)
        layer.get_parameter(name).add_(draw(*layer.get_parameter(name).shape))
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_again_when_a_weight_is_another_or_elsewhere() -> None:
    layer = on_triton(6, 5, 2)
    with torch.no_grad():
        layer(X)
        for change in (
            lambda: setattr(layer.query, "kernel", torch.nn.Parameter(draw(6, 2, 6))),
            lambda: setattr(layer.query.kernel, "data", draw(6, 2, 6, seed=1)),
            lambda: layer.load_state_dict(on_triton(6, 5, 2, seed=9).state_dict()),
        ):
            change()
            assert torch.equal(layer(X), twin_of(layer)(X))


def test_after_what_no_version_counts_the_mode_is_set_anew() -> None:
    layer = on_triton(6, 5, 2)
    with torch.no_grad():
        before = layer(X)
        layer.memory.data.add_(1)  # as a replayed graph writes
        assert torch.equal(layer(X), before)
        layer.eval()
        after = layer(X)
        assert torch.equal(after, twin_of(layer)(X))
        assert not torch.equal(after, before)


def test_each_dtype_has_its_fold_and_the_dtype_of_the_weights_is_exact() -> None:
    layer = on_triton(6, 5, 2).bfloat16()
    weights = layer._weights()
    with torch.no_grad():
        exact = fold.fold(weights, torch.float32, masked=False)
        half = fold.fold(weights, torch.bfloat16, masked=False)
    assert (exact.a.dtype, exact.c.dtype, half.a.dtype) == (
        torch.float32,
        torch.float32,
        torch.bfloat16,
    )
    assert torch.equal(exact.a.bfloat16(), half.a)  # rounded once
    assert torch.equal(exact.c, half.c)


def test_a_fold_goes_with_its_weights() -> None:
    layer = on_triton(6, 5, 2)
    with torch.no_grad():
        layer(X)
    assert layer.memory in fold._kept
    kept = len(fold._kept)
    del layer
    assert len(fold._kept) == kept - 1


def test_computed_weights_are_folded_in_every_call(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2)
    torch.nn.utils.parametrizations.weight_norm(layer.query, "kernel")
    with torch.no_grad():
        first = layer(X)
        assert torch.equal(layer(X), first)
        layer.query.parametrizations.kernel.original0.mul_(2)
        assert not torch.equal(layer(X), first)
