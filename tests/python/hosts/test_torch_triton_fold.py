"""The Triton kernels fold in each training call, and in evaluation mode after a weight changed."""

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
    """Return a layer in evaluation mode, which keeps its fold."""
    return on_triton(6, 5, 2).eval()


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The list of the dtypes of all folds."""
    seen = []
    real = plain.fold

    def watched(weights: Any) -> Any:
        seen.append(weights.memory.dtype)
        return real(weights)

    monkeypatch.setattr(plain, "fold", watched)
    return seen


def twin_of(layer: MemoryAugmentedAttention) -> MemoryAugmentedAttention:
    """Return a layer with the same weights that keeps no fold."""
    twin = on_triton(6, 5, 2)
    twin.load_state_dict(copy.deepcopy(layer.state_dict()))
    return twin


def test_a_training_step_folds_once(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2)
    for step in range(1, 4):
        layer(X).square().sum().backward()
        assert len(folds) == step


def test_inference_folds_once(folds: list[Any]) -> None:
    layer = serving()
    with torch.no_grad():
        first = layer(X)
        assert torch.equal(layer(X), first)
        layer(X, value_mask=torch.ones(2, 5).bool())  # masked calls have a fold of their own
        layer(X, value_mask=torch.ones(2, 5).bool())
    with torch.inference_mode():
        assert torch.equal(layer(X), first)
    assert len(folds) == 2
    layer.requires_grad_(False)  # with frozen weights, the input may still need a gradient
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert len(folds) == 2


def test_a_fold_from_inference_mode_is_used_for_gradients(folds: list[Any]) -> None:
    layer = serving().requires_grad_(False)
    with torch.inference_mode():
        layer(X)
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert len(folds) == 1
    assert x.grad is not None


@pytest.mark.parametrize("name", ["memory", "query.bias", "key.kernel", "output.bias"])
def test_a_changed_weight_is_folded_again(name: str) -> None:
    layer = serving()
    with torch.no_grad():
        before = layer(X)
        layer.get_parameter(name).add_(draw(*layer.get_parameter(name).shape))
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_a_replaced_or_moved_weight_is_folded_again() -> None:
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


def test_setting_the_mode_folds_again_after_unversioned_writes() -> None:
    layer = serving()
    with torch.no_grad():
        before = layer(X)
        layer.memory.data.add_(1)  # without a new version, as a replayed graph writes
        assert torch.equal(layer(X), before)
        layer.eval()
        after = layer(X)
        assert torch.equal(after, twin_of(layer)(X))
        assert not torch.equal(after, before)


@pytest.mark.parametrize("training", [True, False])
def test_calls_without_gradients_see_a_fused_optimizer(training: bool) -> None:
    layer = on_triton(6, 5, 2).train(training)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        with torch.no_grad():
            before = layer(X)
            assert torch.equal(before, twin_of(layer)(X))
        layer(X).square().sum().backward()
        version = layer.memory._version
        optimizer.step()
        assert layer.memory._version == version, "a new version would hide a stale fold"
        optimizer.zero_grad()


def test_training_mode_sees_unversioned_writes(folds: list[Any]) -> None:
    layer = on_triton(6, 5, 2).requires_grad_(False)
    for call in range(1, 4):
        layer.memory.data.add_(1)  # without a new version, as collectives write
        assert torch.equal(layer(X), twin_of(layer)(X))
        assert len(folds) == 2 * call


def add_in_place(layer: Any) -> None:
    layer.memory.add_(1)


def put_elsewhere(layer: Any) -> None:
    layer.memory.data = draw(5, 6, seed=3)


@pytest.mark.parametrize("change", [add_in_place, put_elsewhere])
def test_a_weight_that_changes_during_the_fold_is_folded_again(
    change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may change a weight meanwhile."""
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
        # While the old storage is referenced, no other storage gets its address.
        assert all(one.storages[0].cdata == storage.cdata for one in kept)
        assert len(kept) == 1
        after = layer(X)
        assert not torch.equal(after, before)
        assert torch.equal(after, twin_of(layer)(X))


def test_setting_the_mode_during_a_fold_discards_it(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_other_weights_at_the_same_address_are_folded_again(
    change: Callable[[Any, bytearray], None],
) -> None:
    """Freed GPU memory may be reused for another weight."""
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


def test_another_parameter_with_the_same_memory_is_folded_again() -> None:
    """Two parameters with the same memory have separate version counters."""
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


def test_weights_can_be_swapped() -> None:
    """PyTorch can swap weights in conversions, but refuses if there are references to them."""
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
    """Kept tensors may be freed before a replay, and tensors of a capture have no values yet."""
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


def test_each_dtype_has_its_fold_rounded_once() -> None:
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


def test_folds_of_deleted_layers_are_released() -> None:
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


def test_folds_do_not_keep_weights_alive() -> None:
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
