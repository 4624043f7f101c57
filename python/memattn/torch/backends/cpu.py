"""The compiled kernels of this library, on CPU tensors; bfloat16 is for inference only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from memattn.torch import function, half, kernels, ops
from memattn.torch.backends.watchers import watcher
from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.weights import Weights

NAME = "cpu"
forward, backward = kernels.forward, kernels.backward


def fits(kind: Kind, inputs: Sequence[Tensor], weights: Weights, *, drops: bool) -> str:
    """Return why these kernels do not support a call, or an empty string if they do."""
    if torch.compiler.is_compiling():
        if not kernels.fit(inputs, weights):
            return _unfit(inputs, weights, drops)
        return "ONNX has standard operators only" if torch.onnx.is_in_onnx_export() else ""
    if function.applies(inputs, weights) or (not drops and half.applies(inputs, weights)):
        return ""
    return watcher() or _unfit(inputs, weights, drops)


def reason(inputs: Sequence[Tensor]) -> str:
    """Return the reason to use these kernels for a call that they support."""
    if inputs[0].dtype is torch.bfloat16:
        return "bfloat16 on the CPU, without gradients"
    return "float32 or float64 on the CPU"


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y and the scores that the call wants, connected to autograd if needed."""
    if torch.compiler.is_compiling():
        return ops.attend(kind, inputs, weights, call)
    if inputs[0].dtype is torch.bfloat16:
        return half.attend(kind, inputs, weights, call)
    return function.attend(kind, inputs, weights, call)


def _unfit(inputs: Sequence[Tensor], weights: Weights, drops: bool) -> str:
    if inputs[0].dtype is torch.bfloat16:
        if half.learns(inputs, weights):
            return "the kernels of the CPU compute no gradients in bfloat16"
        if drops:  # PyTorch draws the dropout, as in bfloat16 training
            return "the kernels of the CPU have no dropout in bfloat16"
    if inputs[0].dtype not in kernels.DTYPES:
        return f"the kernels of the CPU take float32 and float64, not {inputs[0].dtype}"
    return "the tensors differ in dtype, or one is a subclass of Tensor"
