"""The fold always fits the current weights, however they changed, and is made only if needed."""

import copy
import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, Dataset

import memattn
from memattn.torch import MemoryAugmentedAttention, kernels

from .torch_pairs import CLASSES, inputs
from .torch_pairs import small as pair

X = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))


def small(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def folds() -> int:
    """Returns the number of folds made for the layers that still exist."""
    return sum(entry.hosted.folds for entry in kernels._entries.values())


@pytest.fixture(autouse=True)
def no_other_folds() -> None:
    gc.collect()
    kernels._entries.clear()


def assert_current(layer: MemoryAugmentedAttention) -> None:
    """Checks that a call gives the result of a new NumPy layer with the same weights."""
    with torch.no_grad():
        found = layer(X).numpy()
    assert (found == layer.to_numpy()(X.numpy())).all()


def by_optimizer(layer: MemoryAugmentedAttention) -> None:
    optimizer = torch.optim.Adam(layer.parameters())
    layer(X).square().sum().backward()
    optimizer.step()


def in_place(layer: MemoryAugmentedAttention) -> None:
    with torch.no_grad():
        layer.value.bias[1, 2] += 1


def through_data(layer: MemoryAugmentedAttention) -> None:
    layer.output.bias.data[3] = 7


def through_numpy(layer: MemoryAugmentedAttention) -> None:
    layer.query.bias.detach().numpy()[0, 0] = -2


def through_shared_memory(layer: MemoryAugmentedAttention) -> None:
    layer.share_memory()
    assert_current(layer)
    copied = torch.empty(0).set_(layer.memory.untyped_storage())
    copied[0] = 3


def by_replacement(layer: MemoryAugmentedAttention) -> None:
    layer.key.kernel = nn.Parameter(torch.ones(6, 2, 6))


def by_data_replacement(layer: MemoryAugmentedAttention) -> None:
    for _ in range(3):  # the allocator may reuse the first address
        layer.memory.data = layer.memory.data + 1


def by_load(layer: MemoryAugmentedAttention) -> None:
    layer.load_state_dict(small(seed=2).state_dict())


def by_assigning_load(layer: MemoryAugmentedAttention) -> None:
    layer.load_state_dict(small(seed=2).state_dict(), assign=True)


def by_conversion(layer: MemoryAugmentedAttention) -> None:
    layer.bfloat16().float()


def by_reset(layer: MemoryAugmentedAttention) -> None:
    layer.seed = 5
    layer.reset_parameters()


def by_vector(layer: MemoryAugmentedAttention) -> None:
    vector = torch.arange(sum(p.numel() for p in layer.parameters())) * 1e-3
    nn.utils.vector_to_parameters(vector, layer.parameters())


CHANGES = [
    *(by_optimizer, in_place, through_data, through_numpy, through_shared_memory, by_replacement),
    *(by_data_replacement, by_load, by_assigning_load, by_conversion, by_reset, by_vector),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_every_change_of_a_weight_is_seen(
    change: Callable[[MemoryAugmentedAttention], None],
) -> None:
    layer = small()
    assert_current(layer)
    before = layer(X).detach()
    change(layer)
    assert_current(layer)
    assert not torch.equal(layer(X), before)


def test_calls_fold_once_until_a_weight_changes() -> None:
    layer = small()
    for _ in range(3):
        layer(X)
        layer.eval()(X)
        with torch.inference_mode():
            layer(X)
    layer.train()(X).sum().backward()
    assert folds() == 1
    in_place(layer)
    layer(X)
    assert folds() == 2


def test_a_training_step_folds_once() -> None:
    layer = small(dropout=0.1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    for step in range(1, 5):
        loss = layer(layer(X)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert folds() == step
    assert len(kernels._entries) == 1


def test_changes_are_detected_by_the_bits_of_values() -> None:
    layer = small()
    with torch.no_grad():
        layer.output.bias.zero_()
        layer(X)
        layer.output.bias.neg_()
        layer(X)
        assert folds() == 2
        layer.output.bias[0] = torch.nan
        layer(X), layer(X)
        assert folds() == 3


def test_a_pending_backward_keeps_its_weights() -> None:
    layer, other = small(), small()
    x = X.clone().requires_grad_()
    y = layer(x)
    expected = torch.autograd.grad(other(x).sum(), x)[0]
    layer.memory.data += 1  # does not increment the version counter
    layer(X)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], expected)
    assert_current(layer)


def test_layers_with_a_shared_memory_follow_its_changes() -> None:
    first, second = small(), small(seed=2)
    second.memory = first.memory
    for _ in range(3):
        assert_current(first)
        assert_current(second)
    first(X), second(X)
    assert folds() == 2
    in_place(first)
    first.memory.data += 1
    assert_current(first)
    assert_current(second)


def test_folds_of_deleted_layers_are_released() -> None:
    for seed in range(20):
        small(seed=seed)(X)
    gc.collect()
    small()(X)
    assert len(kernels._entries) == 1


def test_changing_a_copy_does_not_affect_the_original() -> None:
    layer = small()
    layer(X)
    twin = copy.deepcopy(layer)
    in_place(twin)
    assert_current(layer)
    assert_current(twin)


def test_parametrized_weights_are_used_and_get_gradients() -> None:
    class Doubled(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return 2 * weight

    layer, plain = small(), small()
    with torch.no_grad():
        plain.query.kernel.mul_(2)
        plain.memory.mul_(2)
    parametrize.register_parametrization(layer.query, "kernel", Doubled())
    parametrize.register_parametrization(layer, "memory", Doubled())
    for _ in range(4):
        assert torch.equal(layer(X), plain(X))
    assert len(kernels._entries) <= 4
    layer(X).sum().backward()
    plain(X).sum().backward()
    original = layer.query.parametrizations.kernel.original
    torch.testing.assert_close(original.grad, 2 * plain.query.kernel.grad)
    nn.utils.parametrizations.spectral_norm(layer.value, "kernel")
    nn.utils.parametrizations.weight_norm(layer.output, "kernel")
    layer(X).sum().backward()


def test_threads_see_whole_states_while_a_weight_changes() -> None:
    layer = MemoryAugmentedAttention(32, 20, 4)
    x = torch.randn(16, 10, 32)
    states = [MemoryAugmentedAttention(32, 20, 4, seed=s).state_dict() for s in (1, 2)]
    # Only the last value of one weight changes, so a call sees one of two states.
    layer.load_state_dict(states[0])
    results = []
    for value in (1.0, 2.0):
        layer.output.bias.data[-1] = value
        with torch.no_grad():
            results.append(layer(x))
    wrong, stop = [], threading.Event()

    def compute() -> None:
        while not stop.is_set():
            with torch.no_grad():
                y = layer(x)
            if not any(torch.equal(y, result) for result in results):
                wrong.append(y)

    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(200):
        layer.output.bias.data[-1] = 1.0 + i % 2
        with torch.no_grad():
            layer(x)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_that_train_separate_layers_do_not_interfere() -> None:
    def train(layer: MemoryAugmentedAttention) -> None:
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            layer(X).square().sum().backward()
            optimizer.step()

    alone = small()
    train(alone)
    layers = [small() for _ in range(4)]
    threads = [threading.Thread(target=train, args=(layer,)) for layer in layers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(layer.memory, alone.memory) for layer in layers)


class Through(Dataset):
    """A dataset whose items are outputs of the layer, computed in the worker."""

    def __init__(self, layer: MemoryAugmentedAttention) -> None:
        self.layer = layer

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(X[index % 2])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_workers_compute_the_layer() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    big = torch.randn(4000, 3, 6)
    with torch.no_grad():
        layer(big)  # starts the thread pool before the fork
    expected = layer(X).detach()
    loader = DataLoader(Through(layer), batch_size=2, num_workers=2, multiprocessing_context="fork")
    for batch in loader:
        assert torch.equal(batch, expected)
    with torch.no_grad():
        layer(big)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_both_settings_limit_the_number_of_threads() -> None:
    layer = MemoryAugmentedAttention(64, 64, 8)
    x = torch.randn(64, 96, 64)

    def work_of_others() -> float:
        """Returns the share of the processor time that was used by other threads."""
        with torch.no_grad():
            layer(x)
            own, all_threads = time.thread_time(), time.process_time()
            for _ in range(8):
                layer(x)
            own, all_threads = time.thread_time() - own, time.process_time() - all_threads
        return 1 - own / all_threads

    own, theirs = memattn.num_threads(), torch.get_num_threads()
    try:
        memattn.set_num_threads(2)
        torch.set_num_threads(1)
        assert work_of_others() <= 0.2
        torch.set_num_threads(2)
        memattn.set_num_threads(1)
        assert work_of_others() <= 0.2
    finally:
        memattn.set_num_threads(own)
        torch.set_num_threads(theirs)


@pytest.mark.parametrize("kind", CLASSES)
def test_layers_of_two_inputs_follow_every_change(kind: str) -> None:
    layer = pair(kind).eval()
    x1, x2 = inputs(kind)

    def assert_current() -> None:
        with torch.no_grad():
            found = layer(x1, x2).numpy()
        assert (found == layer.to_numpy()(x1.numpy(), x2.numpy())).all()

    assert_current()
    for parameter in layer.parameters():
        parameter.data.view(-1)[-1] += 1  # does not increment the version counter
        assert_current()
        parameter.detach().numpy().flat[0] = -2
        assert_current()
    layer.load_state_dict(pair(kind, seed=2).state_dict(), assign=True)
    assert_current()
    layer.route = "right_read"
    with torch.no_grad():
        assert not torch.equal(layer(x1, x2), pair(kind, seed=2)(x1, x2))


@pytest.mark.parametrize("kind", CLASSES)
def test_training_layers_of_two_inputs_folds_once_a_step(kind: str) -> None:
    layer = pair(kind, dropout=0.1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
    for step in range(1, 5):
        loss = layer(*inputs(kind)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert folds() == step
    assert len(kernels._entries) == 1


@pytest.mark.parametrize("kind", CLASSES)
def test_a_pending_backward_of_two_inputs_keeps_its_weights(kind: str) -> None:
    layer, other = pair(kind), pair(kind)
    x1, x2 = inputs(kind)
    x1.requires_grad_()
    y = layer(x1, x2)
    expected = torch.autograd.grad(other(x1, x2).sum(), x1)[0]
    for parameter in layer.parameters():
        parameter.data += 1
    layer(x1, x2)
    assert torch.equal(torch.autograd.grad(y.sum(), x1)[0], expected)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_route_depends_on_the_training_mode(kind: str) -> None:
    layer = CLASSES[kind](6, 2, seed=1)
    twin = layer.to_numpy()
    sizes = (1, 9) if kind == "hierarchical" else (1, 9, 9)
    x1, x2 = torch.randn(2, 1, 9, 6, generator=torch.Generator().manual_seed(0))
    assert twin.route_of(*sizes, training=True) != twin.route_of(*sizes)
    results = []
    for training in (True, False):
        results.append(layer.train(training)(x1, x2).detach().numpy())
        assert (results[-1] == twin(x1.numpy(), x2.numpy(), training=training)).all()
    assert (results[0] != results[1]).any()
