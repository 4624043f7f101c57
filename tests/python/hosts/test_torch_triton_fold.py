"""When the Triton kernels fold: in each call, and in evaluation mode when a weight has changed."""

import copy
import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from memattn.torch import MemoryAugmentedAttention, plain
from memattn.torch.backends import fold

from .torch_triton import draw, on_triton

X = draw(2, 3, 6)


def serving() -> MemoryAugmentedAttention:
    """A layer in evaluation mode, which keeps its fold."""
    return on_triton(6, 5, 2).eval()


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
    """A layer of the same weights that keeps no fold."""
    twin = on_triton(6, 5, 2)
    twin.load_state_dict(copy.deepcopy(layer.state_dict()))
    return twin


def test_once_in_a_step(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2)
    for step in range(1, 4):
        layer(X).square().sum().backward()
        assert len(folds) == step


def test_never_again_in_inference(folds: list[Any]) -> None:
    layer = serving()
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
    layer = serving().requires_grad_(False)
    with torch.inference_mode():
        layer(X)
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert len(folds) == 1
    assert x.grad is not None


@pytest.mark.parametrize("name", ["memory", "query.bias", "key.kernel", "output.bias"])
def test_again_when_a_weight_has_changed(name: str) -> None:
    layer = serving()
    with torch.no_grad():
        before = layer(X)
        layer.get_parameter(name).add_(draw(*layer.get_parameter(name).shape))
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_again_when_a_weight_is_another_or_elsewhere() -> None:
    layer = serving()
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
    layer = serving()
    with torch.no_grad():
        before = layer(X)
        layer.memory.data.add_(1)  # as a replayed graph writes
        assert torch.equal(layer(X), before)
        layer.eval()
        after = layer(X)
        assert torch.equal(after, twin_of(layer)(X))
        assert not torch.equal(after, before)


@pytest.mark.parametrize("training", [True, False])
def test_rollouts_see_a_fused_optimizer(training: bool) -> None:
    layer = on_triton(6, 5, 2).train(training)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        with torch.no_grad():
            before = layer(X)
            assert torch.equal(before, twin_of(layer)(X))
        layer(X).square().sum().backward()
        version = layer.memory._version
        optimizer.step()
        assert layer.memory._version == version, "it counts: the loop would not show a stale fold"
        optimizer.zero_grad()


def test_training_mode_sees_what_no_version_counts(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2).requires_grad_(False)
    for call in range(1, 4):
        layer.memory.data.add_(1)  # as a collective of torch.distributed writes
        assert torch.equal(layer(X), twin_of(layer)(X))
        assert len(folds) == 2 * call


def add_in_place(layer: Any) -> None:
    layer.memory.add_(1)


def put_elsewhere(layer: Any) -> None:
    layer.memory.data = draw(5, 6, seed=3)


@pytest.mark.parametrize("change", [add_in_place, put_elsewhere])
def test_a_weight_that_changes_while_it_is_folded(
    change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another thread may change it."""
    layer = serving()
    fold.forget()
    storage = StorageWeakRef(layer.memory.untyped_storage())
    real = plain.fold

    def meanwhile(weights: Any) -> Any:
        folded = real(weights)
        change(layer)
        return folded

    with torch.no_grad():
        with monkeypatch.context() as patch:
            patch.setattr(plain, "fold", meanwhile)
            before = layer(X)
        kept = [one for folds in fold._kept.values() for one in folds.values()]
        # Else another storage could get the name of this one.
        assert all(one.storages[0].cdata == storage.cdata for one in kept)
        assert len(kept) == 1
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_a_mode_that_is_set_while_a_weight_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = serving()
    real = plain.fold

    def meanwhile(weights: Any) -> Any:
        folded = real(weights)
        weights.memory.data.add_(1)
        layer.eval()
        return folded

    with torch.no_grad():
        with monkeypatch.context() as patch:
            patch.setattr(plain, "fold", meanwhile)
            layer(X)
        assert torch.equal(layer(X), twin_of(layer)(X))


def in_other_memory(layer: Any, memory: bytearray) -> None:
    memory[:] = bytearray(draw(5, 6, seed=3).numpy().tobytes())
    layer.memory.data = torch.frombuffer(memory, dtype=torch.float32).view(5, 6)


def in_another_order(layer: Any, _: bytearray) -> None:
    layer.query.kernel.data = layer.query.kernel.data.permute(2, 1, 0)


@pytest.mark.parametrize("change", [in_other_memory, in_another_order])
def test_other_weights_at_the_same_address(change: Callable[[Any, bytearray], None]) -> None:
    """As freed memory of a GPU comes back."""
    layer = serving()
    memory = bytearray(layer.memory.detach().numpy().tobytes())
    layer.memory.data = torch.frombuffer(memory, dtype=torch.float32).view(5, 6)

    def named() -> list[tuple[int, int]]:
        return [(weight._version, weight.data_ptr()) for weight in layer.parameters()]

    with torch.no_grad():
        before, names = layer(X), named()
        change(layer, memory)
        assert named() == names
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_another_parameter_of_the_same_memory() -> None:
    """Each has a version counter of its own."""
    layer = serving()
    with torch.no_grad():
        layer.memory.add_(1)
        before, old = layer(X), layer.memory
        layer.memory = torch.nn.Parameter(old.data)
        while layer.memory._version < old._version:
            layer.memory.add_(1)
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_weights_may_be_swapped() -> None:
    """Conversions do so where PyTorch is told to: it refuses where anybody refers to a weight."""
    layer = serving()
    with torch.no_grad():
        before = layer(X)
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            layer.bfloat16()
            layer.float()
            layer(X)
            layer.load_state_dict(on_triton(6, 5, 2, seed=9).state_dict())
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)
        after = layer(X)
    assert not torch.equal(after, before)
    with torch.no_grad():
        assert torch.equal(after, twin_of(layer)(X))


def test_a_captured_graph_owns_its_fold(folds: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept tensors may be freed before a replay, and those of a capture have no values yet."""
    layer = serving().requires_grad_(False)
    layer(X)
    (kept,) = fold._kept.values()
    with monkeypatch.context() as patch:
        patch.setattr(fold, "_capturing", lambda memory: True)
        for call in range(2, 4):
            layer(X)
            assert len(folds) == call
        assert list(fold._kept.values()) == [kept]
    layer(X)
    assert len(folds) == 3


def test_each_dtype_has_its_fold_and_the_dtype_of_the_weights_is_exact() -> None:
    layer = on_triton(6, 5, 2).bfloat16()
    weights = layer._weights()
    with torch.no_grad():
        exact = fold.fold(weights, torch.float32, masked=False, keep=True)
        half = fold.fold(weights, torch.bfloat16, masked=False, keep=True)
    assert (exact.a.dtype, exact.c.dtype, half.a.dtype) == (
        torch.float32,
        torch.float32,
        torch.bfloat16,
    )
    assert torch.equal(exact.a.bfloat16(), half.a)  # rounded once
    assert torch.equal(exact.c, half.c)


def test_a_fold_goes_when_another_comes_and_with_the_mode() -> None:
    fold.forget()
    first, second = serving(), serving()
    with torch.no_grad():
        first(X)
        second(X)
        assert len(fold._kept) == 2
        del first
        gc.collect()
        second(X)  # kept
        third = serving()
        assert not fold._kept
        for layer in (second, third):
            layer(X)
        del second, layer
        gc.collect()
        third(X, value_mask=torch.ones(2, 5).bool())
    assert len(fold._kept) == 1


def test_nothing_is_held_of_the_weights() -> None:
    layer = serving()
    with torch.no_grad():
        layer(X)
    storages = [
        storage for kept in fold._kept.values() for one in kept.values() for storage in one.storages
    ]
    assert storages
    del layer
    gc.collect()
    assert all(storage.expired() for storage in storages)


def test_computed_weights_are_folded_in_every_call(folds: list[Any]) -> None:
    layer = serving()
    torch.nn.utils.parametrizations.weight_norm(layer.query, "kernel")
    with torch.no_grad():
        first = layer(X)
        assert torch.equal(layer(X), first)
        assert len(folds) == 2
        layer.query.parametrizations.kernel.original0.mul_(2)
        assert not torch.equal(layer(X), first)
