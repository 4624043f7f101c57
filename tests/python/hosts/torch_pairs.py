"""Shared by the tests of modules of two inputs: small modules, inputs and masks."""

from typing import Any

import numpy as np
import torch

from memattn.torch import CrossAttention, HierarchicalAttention

from .. import pairs

CLASSES: dict[str, Any] = {"cross": CrossAttention, "hierarchical": HierarchicalAttention}
PairModule = CrossAttention | HierarchicalAttention


def small(kind: str, **options: Any) -> PairModule:
    """Returns a module of 6 units and 2 heads, for inputs 5 and 3 wide, with nonzero biases."""
    first, second = pairs.WIDTHS[kind]
    module = CLASSES[kind](6, 2, **{first: 5, second: 3, "seed": 1, **options})
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "bias" in name and not parameter.is_meta:
                values = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
                parameter.copy_(values)
    return module


def inputs(kind: str, dtype: torch.dtype = torch.float32, **sizes: int) -> list[torch.Tensor]:
    """Returns inputs for `small`, those of `pairs.inputs` as tensors."""
    arrays = pairs.inputs(kind, dtype=str(dtype).removeprefix("torch."), **sizes)
    return [torch.from_numpy(array) for array in arrays]


def tensors(call: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call, with arrays converted to tensors."""
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in call.items()
    }


def every_mask(kind: str, first: torch.Tensor, second: torch.Tensor) -> dict[str, Any]:
    """Returns all masks of a call, as arrays, with some fully masked steps."""
    masks: dict[str, Any] = dict(pairs.step_masks(kind, first.numpy(), second.numpy()))
    shape = (first.shape[0], first.shape[1], second.shape[1])
    masks["attention_mask"] = np.random.default_rng(5).random(shape) < 0.8
    return {**masks, "use_causal_mask": True}


def flat(outputs: Any) -> list[torch.Tensor]:
    """Returns the results of a call as a list: y and the scores of each side."""
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    y, scores = outputs
    return [y, *(scores if isinstance(scores, tuple) else (scores,))]
