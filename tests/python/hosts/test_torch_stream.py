"""Calls in PyTorch that process a sequence in parts, with `first_step`, on every backend."""

from typing import Any

import pytest
import torch
from torch import nn

from memattn.torch import MemoryAugmentedAttention

X = torch.randn(4, 13, 6, generator=torch.Generator().manual_seed(0))
PARTS = (slice(0, 1), slice(1, 6), slice(6, 13))


def small(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 9, 2, **{"seed": 1, **options})


def check_parts(run: Any, x: torch.Tensor, **tolerance: float) -> None:
    """Compares a causal call with its parts, for equality unless a tolerance is given."""
    whole = run(x, use_causal_mask=True)
    for steps in PARTS:
        part = run(x[:, steps], use_causal_mask=True, first_step=steps.start)
        if tolerance:
            torch.testing.assert_close(part, whole[:, steps], **tolerance)
        else:
            assert torch.equal(part, whole[:, steps])
    assert not torch.allclose(run(x[:, 6:], use_causal_mask=True), whole[:, 6:])


def test_calls_on_parts_have_the_bits_of_one_call() -> None:
    check_parts(small(), X)
    with torch.no_grad():
        check_parts(small(), X)


def test_bfloat16_parts_are_close_to_one_call() -> None:
    check_parts(small().bfloat16(), X.bfloat16(), rtol=2e-2, atol=2e-2)


def test_parts_work_under_vmap() -> None:
    def run(x: torch.Tensor, **call: Any) -> torch.Tensor:
        return torch.func.vmap(lambda row: small_layer(row, **call))(x)

    small_layer = small()
    check_parts(run, X, rtol=1e-5, atol=1e-5)


def test_one_compiled_graph_serves_a_stream() -> None:
    layer, graphs = small().eval(), []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph

    run = torch.compile(layer, fullgraph=True, backend=backend, dynamic=True)
    with torch.no_grad():
        whole = layer(X, use_causal_mask=True)
        for step in range(2, 13):
            x = X[:, step : step + 1]
            part = run(x, use_causal_mask=True, first_step=step)
            assert torch.equal(part, whole[:, step : step + 1])
    assert len(graphs) <= 2  # the first graph may have a fixed step


def test_gradients_of_parts_have_the_bits_of_one_call() -> None:
    layer = small()

    def gradient(part: slice) -> torch.Tensor:
        x = X[:, part].clone().requires_grad_()
        layer(x, use_causal_mask=True, first_step=part.start).square().sum().backward()
        return x.grad

    whole = gradient(slice(0, 13))
    for part in PARTS:
        assert torch.equal(gradient(part), whole[:, part])


def test_gradients_of_scores_use_first_step() -> None:
    layer = small(dropout=0.0)
    x = X[:, 6:].double().requires_grad_()

    def run(x: torch.Tensor) -> torch.Tensor:
        call = {"use_causal_mask": True, "first_step": 3, "return_attention_scores": True}
        y, scores = layer.double()(x, **call)
        return y.square().sum() + scores.square().sum()

    assert torch.autograd.gradcheck(run, (x,))


def test_dropout_of_parts_equals_that_of_one_call() -> None:
    layer = small(dropout=0.4).train()

    def run(rows: slice, steps: slice) -> torch.Tensor:
        torch.manual_seed(3)
        return layer(X[rows, steps], first_sequence=rows.start, first_step=steps.start)

    whole = run(slice(0, 4), slice(0, 13))
    for steps in PARTS:
        for rows in (slice(0, 1), slice(1, 4)):
            assert torch.equal(run(rows, steps), whole[rows, steps])


@pytest.mark.parametrize("name", ["first_step", "first_sequence"])
def test_invalid_first_steps_and_sequences_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: found -1, expected at least 0"):
        small()(X, **{name: -1})
    for value in (0.5, True):
        kind = type(value).__name__
        with pytest.raises(TypeError, match=f"{name}: found {kind}, expected an integer"):
            small()(X, **{name: value})


def test_an_exported_program_keeps_first_step() -> None:
    layer = small().eval()
    call = {"use_causal_mask": True, "first_step": 6}
    program = torch.export.export(nn.Sequential(layer)[0], (X[:, 6:],), call)
    assert torch.equal(program.module()(X[:, 6:], **call), layer(X, use_causal_mask=True)[:, 6:])


def test_unaligned_tensors_give_the_same_results() -> None:
    def unaligned(tensor: torch.Tensor) -> torch.Tensor:
        data = bytearray(b"\0") + tensor.detach().numpy().tobytes()
        moved = torch.frombuffer(data, dtype=tensor.dtype, offset=1).view(tensor.shape)
        assert moved.data_ptr() % moved.element_size() != 0
        return moved

    layer, other = small(), small()
    for parameter in other.parameters():
        parameter.data = unaligned(parameter)
    results = []
    for module, x in ((layer, X.clone()), (other, unaligned(X))):
        x.requires_grad_()
        y = module(x)
        y.backward(unaligned(X) if module is other else X)
        results.append([y.detach(), x.grad, *(p.grad for p in module.parameters())])
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


def test_path_is_the_old_name_of_route() -> None:
    with pytest.warns(DeprecationWarning, match="path: renamed route; removed in version 0.3"):
        assert small().path == small().route
    assert "route" in dir(small())
    assert "path" not in dir(small())  # or code that reads all names, as torch.jit does, would warn
