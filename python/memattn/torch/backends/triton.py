"""The folded memory layer on a GPU, by one fused Triton kernel forward and two backward.

``backend="auto"`` uses them only on the kinds of device in `TIMED`, on which they have been timed.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from memattn.torch import plain as operators
from memattn.torch.backends import fold, plain
from memattn.torch.backends.watchers import subclass, watcher
from memattn.torch.call import Call
from memattn.torch.kinds import MEMORY, Kind
from memattn.torch.precision import autocasts
from memattn.torch.scores import returned
from memattn.torch.weights import MemoryWeights, Weights

NAME = "triton"
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# Devices, by torch.cuda.get_device_name, on which `python -m bench.torch_gpu` found the kernels
# faster than the compiled plain backend. docs/pytorch.md has the figures of each.
TIMED: tuple[str, ...] = ()
_OLDEST = (8, 0)  # compute capability
_LN2 = math.log(2)


def _installed() -> bool:
    if "triton" in sys.modules:
        return sys.modules["triton"] is not None
    return importlib.util.find_spec("triton") is not None


_INSTALLED = _installed()


def _interpreted() -> bool:
    """Whether the kernels run on the CPU by Triton's interpreter, as in tests."""
    if not _INSTALLED:
        return False
    from memattn.torch.backends import triton_launch

    return triton_launch.INTERPRETED


def untimed(x: Tensor) -> str:
    """Return why ``"auto"`` uses the plain backend on a device, or an empty string."""
    if TIMED and x.is_cuda:
        name = torch.cuda.get_device_properties(x.device).name
        return "" if name in TIMED else f"the Triton kernels have not been timed on {name}"
    return "the Triton kernels have not been timed on this kind of device"


def fits(kind: Kind, inputs: Sequence[Tensor], weights: Weights, *, drops: bool) -> str:
    """Return why these kernels do not support a call, or an empty string if they do."""
    if kind is not MEMORY:
        return f"{kind.name} has no Triton kernel"
    if not _INSTALLED:
        return "Triton is not installed"
    x = inputs[0]
    if x.is_cuda and torch.version.cuda is not None:
        properties = torch.cuda.get_device_properties(x.device)
        if (properties.major, properties.minor) < _OLDEST:
            return f"the Triton kernels need compute capability 8.0, not {properties.major}.x"
    elif not (x.is_cpu and _interpreted()):
        return f"the Triton kernels need an NVIDIA GPU, not a tensor on {x.device.type}"
    assert isinstance(weights, MemoryWeights)
    if _dtype(x) not in DTYPES or x.dtype not in DTYPES or weights.memory.dtype not in DTYPES:
        return f"the Triton kernels take float32, bfloat16 and float16, not {x.dtype}"
    if not weights.folding_pays():
        return "the projected form is less work at these sizes, and the Triton kernels fold"
    if torch.compiler.is_compiling():
        if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
            return "exported graphs have PyTorch's own operators"
        return ""
    return watcher() or subclass((*inputs, *weights))


def attend(
    kind: Kind, inputs: Sequence[Tensor], weights: Weights, call: Call
) -> tuple[Tensor, ...]:
    """Return y and the scores that the call wants, connected to autograd if needed."""
    from memattn.torch.backends import triton_ops

    assert isinstance(weights, MemoryWeights)
    x = inputs[0]
    slots_masked = call.use_causal_mask or not call.attention_mask is call.value_mask is None
    folded = fold.fold(weights, _dtype(x), masked=slots_masked, keep=not call.training)
    options = _options(x, weights, call)
    if torch.compiler.is_compiling():
        outputs = triton_ops.attend(x, folded, options)
    elif torch.is_grad_enabled() and (x.requires_grad or folded.a.requires_grad or _more(folded)):
        outputs = _Attention.apply(call, options, x, *folded)
    else:
        outputs = forward(x, folded, options, keep=False)
    y, _, scores = outputs
    return (y,) if call.scores == "none" else (y, scores)


def forward(x: Tensor, folded: fold.Folded, options: Any, *, keep: bool) -> Any:
    """Return y, the `lse` argument of `backward`, and the scores."""
    from memattn.torch.backends import triton_launch

    with _device(x):
        return triton_launch.forward(x, folded, options, keep=keep)


def backward(*arguments: Any, needs_x: bool, needs_weights: bool) -> Any:
    """Return the gradients of x and of the fold."""
    from memattn.torch.backends import triton_launch

    with _device(arguments[0]):
        return triton_launch.backward(*arguments, needs_x=needs_x, needs_weights=needs_weights)


def _device(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which Triton launches kernels on the tensor's GPU."""
    context: AbstractContextManager[Any] = (
        torch.cuda.device(x.device) if x.is_cuda else nullcontext()
    )
    return context


def _more(folded: fold.Folded) -> bool:
    return any(part is not None and part.requires_grad for part in folded[1:])


def _dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of the products over tokens."""
    if autocasts(x) and not x.is_cpu:
        dtype: torch.dtype = torch.get_autocast_dtype(x.device.type)
        return dtype
    return x.dtype


def _options(x: Tensor, weights: MemoryWeights, call: Call) -> Any:
    from memattn.torch.backends.triton_launch import Options

    attention, query, value = call.attention_mask, call.query_mask, call.value_mask
    seed = None
    if call.drops:
        # One number per call from the device's generator, without waiting for the GPU. It seeds the
        # kernels' own Philox generator, which backward runs again.
        seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device=x.device)
    dtype = _dtype(x)
    return Options(
        attention_mask=(
            None if attention is None else attention.expand(*x.shape[:2], weights.memory.shape[0])
        ),
        query_mask=None if query is None else query.contiguous(),
        value_mask=None if value is None else value.contiguous(),
        dropout_seed=seed,
        heads=weights.query_kernel.shape[1],
        use_causal_mask=call.use_causal_mask,
        first_step=call.first_step,
        first_sequence=call.first_sequence,
        residual=call.residual,
        uniform_when_masked=call.uniform_when_masked,
        dropout=call.dropout if call.drops else 0.0,
        scores=call.scores,
        dtype=dtype,
        y_dtype=torch.promote_types(dtype, x.dtype) if call.residual else dtype,
        scores_dtype=torch.float32 if autocasts(x) and not x.is_cpu else dtype,
    )


class _Attention(torch.autograd.Function):  # type: ignore[misc]  # mypy has no types of torch here
    @staticmethod
    def forward(ctx: Any, call: Call, options: Any, x: Tensor, *parts: Tensor | None) -> Any:
        ctx.set_materialize_grads(False)
        y, lse, scores = forward(x, fold.Folded(*parts), options, keep=True)
        ctx.save_for_backward(x, *parts, lse)
        ctx.call, ctx.options = call, options
        ctx.mark_non_differentiable(lse)
        return y, lse, scores

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, _: Any, grad_scores: Tensor | None) -> Any:
        x, *parts, lse = ctx.saved_tensors
        folded, options = fold.Folded(*parts), ctx.options
        if options.scores == "none":
            grad_scores = None
        needs = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph: these gradients will be differentiated
            return None, None, *_differentiable(ctx, (grad_y, grad_scores), x, folded)
        if grad_y is None:
            grad_y = x.new_zeros((), dtype=options.y_dtype).expand(x.shape)
        grads = backward(
            *(grad_y, grad_scores, x, folded, lse, options),
            needs_x=needs[0],
            needs_weights=any(needs[1:]),
        )
        given = zip(grads, needs, strict=True)
        return None, None, *(grad if need else None for grad, need in given)


def _differentiable(
    ctx: Any, grads: Sequence[Tensor | None], x: Tensor, folded: fold.Folded
) -> list[Tensor | None]:
    """Return the gradients computed by PyTorch's own operators, with a graph of their own."""
    if ctx.call.drops:
        raise NotImplementedError(
            "MemoryAugmentedAttention: second derivatives through dropout are not supported; "
            "call eval() on the layer or make it with dropout=0"
        )
    options = ctx.options
    a, c, b, bias = folded
    a, c, b = ((part * scale).to(options.dtype) for part, scale in ((a, _LN2), (c, _LN2), (b, 1)))
    call = ctx.call._replace(attention_mask=options.attention_mask)
    y, scores = operators.read_folded(x.to(options.dtype), a, c, b, options.heads, call)
    if bias is not None:
        y = y + bias.to(y.dtype)
    if options.residual:
        y = y + x
    outputs = (y, *returned(scores, call))
    return plain.backward(outputs, grads[: len(outputs)], (x, *folded), ctx.needs_input_grad[2:])
