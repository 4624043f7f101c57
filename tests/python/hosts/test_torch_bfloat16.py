"""The modules of memattn.torch in bfloat16 on the CPU: inference runs in the compiled kernels."""

import gc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from memattn.torch import CrossAttention, HierarchicalAttention, MemoryAugmentedAttention, half

Made = tuple[Any, list[torch.Tensor], dict[str, Any]]


def memory() -> Made:
    draw = torch.Generator().manual_seed(1)
    masks = {
        "attention_mask": torch.rand(3, 9, 20, generator=draw) < 0.8,
        "query_mask": torch.rand(3, 9, generator=draw) < 0.9,
        "use_causal_mask": True,
    }
    layer = MemoryAugmentedAttention(64, 20, 4, seed=1, dtype=torch.bfloat16)
    return layer, [torch.randn(3, 9, 64, generator=draw).bfloat16()], masks


def pair(kind: type) -> Made:
    draw = torch.Generator().manual_seed(1)
    inputs = [torch.randn(3, 30, 64, generator=draw).bfloat16() for _ in range(2)]
    mask = torch.rand(3, 30, 30, generator=draw) < 0.8
    names = ("source1_units", "source2_units")
    if kind is HierarchicalAttention:
        names = ("short_units", "long_units")
    layer = kind(64, 4, **dict.fromkeys(names, 64), seed=1, dtype=torch.bfloat16)
    return layer, inputs, {"attention_mask": mask, "use_causal_mask": True}


LAYERS: dict[str, Callable[[], Made]] = {
    "memory": memory,
    "cross": lambda: pair(CrossAttention),
    "hierarchical": lambda: pair(HierarchicalAttention),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def numpy_layer(layer: Any, precision: str) -> Callable[..., torch.Tensor]:
    """Returns the NumPy layer with the module's weights, as a function of tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        twin = layer.to_numpy()
    twin.precision = precision

    def call(*inputs: torch.Tensor, **masks: Any) -> torch.Tensor:
        arrays = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in masks.items()}
        y = twin(*(x.float().numpy() for x in inputs), **arrays)
        return torch.from_numpy(np.asarray(y))

    return call


@every_layer
@pytest.mark.parametrize("masked", [False, True])
def test_inference_has_the_bits_of_the_numpy_layer(name: str, masked: bool) -> None:
    layer, inputs, masks = LAYERS[name]()
    masks = masks if masked else {}
    with torch.no_grad():
        y = layer(*inputs, **masks)
    assert y.dtype == torch.bfloat16
    assert not y.requires_grad
    assert torch.equal(y, numpy_layer(layer, "bfloat16")(*inputs, **masks).bfloat16())
    # The kernels multiply in bfloat16, and not in float32.
    assert not torch.equal(y, numpy_layer(layer, "float32")(*inputs, **masks).bfloat16())


@every_layer
def test_the_relative_error_is_that_of_bfloat16(name: str) -> None:
    layer, inputs, masks = LAYERS[name]()
    exact = layer.to(torch.float64)
    expected = exact(*(x.double() for x in inputs), **masks)
    layer = layer.to(torch.bfloat16)  # float64 held the same values
    with torch.inference_mode():
        y = layer(*inputs, **masks).double()
    # Rounding to bfloat16 has a relative error of up to 4e-3, with a root mean square of 1.7e-3.
    assert (y - expected).norm() <= 7e-3 * expected.norm()
    assert (y - expected).norm() >= 1e-3 * expected.norm()


@every_layer
def test_scores_are_close_to_those_of_pytorchs_operators(name: str) -> None:
    layer, inputs, masks = LAYERS[name]()
    for choice in (True, "mean"):
        plain = layer(*inputs, **masks, return_attention_scores=choice)[1]
        with torch.no_grad():
            scores = layer(*inputs, **masks, return_attention_scores=choice)[1]
        pairs = zip(scores, plain, strict=True) if name == "hierarchical" else [(scores, plain)]
        for found, expected in pairs:
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            assert (found - expected).abs().max() <= 1e-2


def in_place(layer: Any) -> None:
    with torch.no_grad():
        layer.output.kernel.mul_(1.5)


def through_data(layer: Any) -> None:
    layer.output.kernel.data[0] = 7


def by_replacement(layer: Any) -> None:
    layer.output.kernel = torch.nn.Parameter(torch.ones_like(layer.output.kernel))


def by_load(layer: Any) -> None:
    layer.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})


@pytest.mark.parametrize("change", [in_place, through_data, by_replacement, by_load])
def test_changed_weights_are_seen(change: Callable[[Any], None]) -> None:
    layer, (x,), _ = memory()
    with torch.no_grad():
        before = layer(x)
        change(layer)
        y = layer(x)
    assert not torch.equal(y, before)
    assert torch.equal(y, numpy_layer(layer, "bfloat16")(x).bfloat16())


def test_weights_are_widened_once_and_released_with_the_module() -> None:
    layer, (x,), _ = memory()
    half._entries.clear()
    with torch.no_grad():
        layer(x)
        (first,) = half._entries.values()
        layer(x)
        (again,) = half._entries.values()
        assert again is first
        del layer, first, again
        gc.collect()
        other, (x,), _ = memory()
        other(x)
    assert len(half._entries) == 1


def refuse(*_: Any) -> None:
    raise AssertionError("the kernels ran")


@every_layer
def test_training_and_dropout_use_pytorchs_own_operators(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, inputs, masks = LAYERS[name]()
    monkeypatch.setattr(half, "attend", refuse)
    y = layer(*inputs, **masks)
    y.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    with torch.no_grad(), pytest.raises(AssertionError, match="the kernels ran"):
        layer(*inputs)
    layer.requires_grad_(False)
    with pytest.raises(AssertionError, match="the kernels ran"):
        layer(*inputs)
    layer.dropout = 0.5
    layer(*inputs)
    assert layer.explain_backend(*inputs).backend == "plain"
    layer.eval()
    assert layer.explain_backend(*inputs).backend == "cpu"
    with pytest.raises(AssertionError, match="the kernels ran"):
        layer(*inputs)


def test_other_strides_and_sizes_give_the_same_bits() -> None:
    layer, (x,), _ = memory()
    with torch.no_grad():
        y = layer(x)
        assert torch.equal(layer(x.transpose(0, 1).contiguous().transpose(0, 1)), y)
        assert torch.equal(layer(x[1]), y[1])
        assert layer(x[:0]).shape == (0, 9, 64)
        layer.output.kernel = torch.nn.Parameter(
            layer.output.kernel.transpose(0, 2).contiguous().transpose(0, 2)
        )
        assert torch.equal(layer(x), y)
