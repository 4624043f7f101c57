"""Launches the Triton kernels: chooses blocks and grids, and allocates outputs.

`forward` and `backward` are also the bodies of the operators in ``triton_ops.py``, which pass them
the kernels in a form that torch.compile can trace.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.jit import JITFunction

from memattn.torch.backends.fold import Folded
from memattn.torch.backends.triton_backward import tokens_kernel, weights_kernel
from memattn.torch.backends.triton_blocks import ROOMY, backward_blocks, forward_blocks
from memattn.torch.backends.triton_forward import forward_kernel, scores_kernel

INTERPRETED = not isinstance(forward_kernel, JITFunction)  # TRITON_INTERPRET=1 at the import
# Programs for the gradients of weights: enough to fill the largest GPUs twice. The number does not
# depend on the device, so that the parts of the sums, and their bits, depend only on the shape.
_PROGRAMS = 264


class Options(NamedTuple):
    """The other arguments of a call, in types that an operator accepts."""

    attention_mask: Tensor | None  # bool (B, T, S), possibly with strides of 0
    query_mask: Tensor | None  # bool (B, T), contiguous
    value_mask: Tensor | None  # bool (B, S), contiguous
    dropout_seed: Tensor | None  # int64 (1,), with dropout
    heads: int
    use_causal_mask: bool
    first_step: int
    first_sequence: int
    residual: bool
    uniform_when_masked: bool
    dropout: float
    scores: str  # "none", "each" or "mean"
    dtype: torch.dtype  # of the products
    y_dtype: torch.dtype
    scores_dtype: torch.dtype


def _precision() -> str:
    """Return the precision of float32 products, which follows PyTorch's own setting."""
    # Reading `allow_tf32` raises if the program has used the newer setting.
    return "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "ieee"


def _roomy(x: Tensor) -> bool:
    if not x.is_cuda:
        return True
    room: int = torch.cuda.get_device_properties(x.device).shared_memory_per_block_optin
    return room >= ROOMY


def _last_axis_whole(x: Tensor) -> Tensor:
    """Return a tensor whose last stride is 1; the kernels accept any other strides."""
    return x if x.stride(2) == 1 else x.contiguous()


def _masks(options: Options, unused: Tensor) -> tuple[list[Any], list[Any]]:
    """Return the masks as bytes for the kernels, and the strides of the first one."""
    present = options.attention_mask, options.query_mask, options.value_mask
    masks = [unused if mask is None else mask.view(torch.uint8) for mask in present]
    first = options.attention_mask
    return masks, [0, 0, 0] if first is None else list(first.stride())


def _constants(options: Options, units: int, slots: int) -> dict[str, Any]:
    return {
        "U": units,
        "S": slots,
        "H": options.heads,
        "UNIFORM": options.uniform_when_masked,
        "AMASK": options.attention_mask is not None,
        "QMASK": options.query_mask is not None,
        "VMASK": options.value_mask is not None,
        "CAUSAL": options.use_causal_mask,
        "PRECISION": _precision(),
    }


def _places(options: Options) -> list[Any]:
    """Return the first step and sequence, the threshold of dropout, and its factor 1/(1 − r)."""
    rate = options.dropout
    threshold = round(rate * 2**23)
    return [options.first_step, options.first_sequence, threshold, 1.0 / (1.0 - rate)]


def forward(
    x: Tensor,
    folded: Folded,
    options: Options,
    *,
    keep: bool,
    kernels: tuple[Any, Any] = (forward_kernel, scores_kernel),
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y (B, T, U), `lse` (H, N) for backward, and the scores; empty if not wanted."""
    x, folded = _last_axis_whole(x), folded.to(options.dtype)
    batch, steps, units = x.shape
    tokens, slots = batch * steps, folded.c.shape[0] // options.heads
    wants = options.scores != "none"
    y = x.new_empty((batch, steps, units), dtype=options.y_dtype)
    lse = folded.c.new_empty((options.heads, tokens) if keep or wants else (0, 0))
    shape: tuple[Any, ...] = (0,)
    if wants:
        mean = (batch, steps, slots)
        shape = mean if options.scores == "mean" else (batch, options.heads, steps, slots)
    scores = x.new_empty(shape, dtype=options.scores_dtype)
    if isinstance(tokens, int) and tokens == 0:
        return y, lse, scores
    masks, mask_strides = _masks(options, x)
    seed = options.dropout_seed
    constants = _constants(options, units, slots)
    busy = options.use_causal_mask or any(part is not None for part in options[:4])
    blocks = forward_blocks(units, slots, folded.a.dtype, roomy=_roomy(x), busy=busy)
    grid = triton.cdiv(tokens, blocks.tokens), triton.cdiv(units, blocks.outputs), 1
    kernels[0][grid](
        *[
            *(x, folded.a, folded.c, folded.b),
            folded.c if folded.bias is None else folded.bias,
            *masks,
            x if seed is None else seed,
            *(y, lse, tokens, steps, x.stride(0), x.stride(1)),
            *mask_strides,
            *_places(options),
        ],
        KEEP_LSE=keep or wants,
        BIAS=folded.bias is not None,
        RESIDUAL=options.residual,
        DROPS=seed is not None,
        **constants,
        **blocks.constants(),
    )
    if wants:
        small = blocks.of_scores()
        grid = triton.cdiv(tokens, small.tokens), triton.cdiv(slots, small.slots), 1
        kernels[1][grid](
            *[
                *(x, folded.a, folded.c, *masks, lse, scores, tokens, steps),
                *(x.stride(0), x.stride(1), *mask_strides, options.first_step),
            ],
            MEAN=options.scores == "mean",
            **constants,
            **small.constants("BO"),
        )
    return y, lse, scores


def backward(
    grad_y: Tensor,
    grad_scores: Tensor | None,
    x: Tensor,
    folded: Folded,
    lse: Tensor,
    options: Options,
    *,
    needs_x: bool,
    needs_weights: bool,
    kernels: tuple[Any, Any] = (tokens_kernel, weights_kernel),
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, a, c, b and of the bias; those of weights are float32.

    Gradients that are not needed are empty.
    """
    x, grad_y = _last_axis_whole(x), _last_axis_whole(grad_y)
    folded = folded.to(options.dtype)
    batch, steps, units = x.shape
    heads = options.heads
    tokens, slots = batch * steps, folded.c.shape[0] // heads
    single = folded.c.new_empty
    dx = x.new_empty((batch, steps, units) if needs_x else (0,))
    if isinstance(tokens, int) and tokens == 0:
        sizes = [(units, heads * slots), (heads * slots,), (heads * slots, units), (units,)]
        zeros = [single(size if needs_weights else (0,)).zero_() for size in sizes]
        return dx, zeros[0], zeros[1], zeros[2], zeros[3]
    delta = single((heads, tokens))
    masks, mask_strides = _masks(options, x)
    seed = options.dropout_seed
    of_scores = [0, 0, 0, 0]
    if grad_scores is not None:
        strides = list(grad_scores.stride())
        of_scores = [strides[0], 0, *strides[1:]] if options.scores == "mean" else strides
    pointers = [x, grad_y, folded.a, folded.c, folded.b, *masks, x if seed is None else seed, lse]
    strides = [
        *(x.stride(0), x.stride(1), grad_y.stride(0), grad_y.stride(1)),
        *mask_strides,
        *of_scores,
        *_places(options),
    ]
    constants = {
        **_constants(options, units, slots),
        "DROPS": seed is not None,
        "GRAD_SCORES": grad_scores is not None,
        "SCORES_FACTOR": 1.0 / heads if options.scores == "mean" else 1.0,
    }
    more = x if grad_scores is None else grad_scores
    of_tokens, of_weights = backward_blocks(units, slots, folded.a.dtype, roomy=_roomy(x))
    columns = triton.cdiv(units, of_tokens.outputs) if needs_x else 1
    kernels[0][triton.cdiv(tokens, of_tokens.tokens), columns, 1](
        *[*pointers, more, dx, delta, tokens, steps, *strides],
        NEEDS_X=needs_x,
        RESIDUAL=options.residual,
        **constants,
        **of_tokens.constants(),
    )
    if not needs_weights:
        return dx, single(0), single(0), single(0), single(0)
    programs = heads * triton.cdiv(slots, of_weights.slots)
    columns = triton.cdiv(units, of_weights.outputs)
    most = max(1, triton.cdiv(_PROGRAMS, programs * columns))
    tiles = triton.cdiv(tokens, of_weights.tokens)
    part = triton.cdiv(tiles, most) * of_weights.tokens
    parts = triton.cdiv(tokens, part)
    da = single((parts, heads * slots, units))
    db = single((parts, heads * slots, units))
    dc = single((parts, heads * slots))
    kernels[1][programs, parts, columns](
        *[*pointers, delta, more, da, dc, db, tokens, steps, part, *strides],
        **constants,
        **of_weights.constants(),
    )
    dbias = grad_y.sum((0, 1), dtype=torch.float32)
    return dx, da.sum(0).t(), dc.sum(0), db.sum(0), dbias
