"""Attention between two inputs in operations of Keras, by each of the routes.

Names and shapes are those of docs/siblings-math.md: B batch; T1 and T2 the steps of the query input
and of the key input; F1 and F2 their widths; U `units`, H heads, D key_dim, Dv value_dim. G1 and G2
are the widths in which a route uses the inputs: F of an input itself, U after its Dense layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memattn.keras.host import ops
from memattn.keras.softmax import FinitePart, Guard, as_it_is, masked_softmax, softmax
from memattn.layer_options import PairWay


@dataclass
class Dense:
    """A Dense layer before an attention; the bias is None without `use_bias`."""

    kernel: Any  # (F, U)
    bias: Any  # (U)


@dataclass
class SequenceWeights:
    """The weights of an attention as tensors of the compute dtype; missing ones are None.

    Without Dense layers, an attention uses its inputs as they are, and F is U. If both inputs are
    the same, `dense1` is `dense2`.
    """

    dtype: str  # of all weights
    dense1: Dense | None
    dense2: Dense | None
    query_kernel: Any  # (U, H, D)
    query_bias: Any  # (H, D)
    key_kernel: Any  # (U, H, D)
    key_bias: Any  # (H, D)
    value_kernel: Any  # (U, H, Dv)
    value_bias: Any  # (H, Dv)
    output_kernel: Any  # (H, Dv, U)
    output_bias: Any  # (U)

    @property
    def heads(self) -> int:
        """H."""
        return int(self.query_kernel.shape[1])


def attend(
    x1: Any,
    x2: Any,
    weights: SequenceWeights,
    way: PairWay,
    keep: Any = None,
    fully_masked: str = "zero",
    drop: Callable[[Any], Any] | None = None,
    *,
    folded: bool = True,
) -> tuple[Any, Callable[[], Any]]:
    """Run one attention: every step of `x1` reads the steps of `x2`.

    Parameters
    ----------
    x1 : tensor (B, T1, F1)
        The input that attends (queries).
    x2 : tensor (B, T2, F2)
        The input that is read; `x1` itself in a self-attention.
    weights : SequenceWeights
        The weights, in the dtype of the inputs.
    way : PairWay
        The products of a route; all routes give the same result up to rounding.
    keep : tensor of bool, optional
        Broadcasts to (B, T1, T2); True keeps. The values of masked steps affect nothing.
    fully_masked : {"zero", "uniform"}
        The scores of a step for which every step of `x2` is masked.
    drop : callable, optional
        Dropout, applied to the scores before the values are read.
    folded : bool
        Whether routes with logits "left" or read "source" compute the products A and C of weights.
        Otherwise rows are multiplied by the factors in turn, X1·Q and then Kᵀ, which is less work
        for few queries.

    Returns
    -------
    tensor (B, T1, U), and a function that returns the scores (B, H, T1, T2) before `drop`
    """
    scores, values = _scores(x1, x2, weights, way, keep, fully_masked, folded)
    used = scores if drop is None else drop(scores)
    # If each row of scores adds up to 1, the value bias is added once and not by the row's sum.
    whole = drop is None and (keep is None or fully_masked == "uniform") and x2.shape[1] != 0
    output = _read(used, values, weights, way, whole, folded)
    return output, lambda: _by_head(scores, way)


def attention_scores(
    x1: Any,
    x2: Any,
    weights: SequenceWeights,
    way: PairWay,
    keep: Any = None,
    fully_masked: str = "zero",
    *,
    folded: bool = True,
) -> Any:
    """Return only the scores of `attend`, (B, H, T1, T2), without reading values."""
    return _by_head(_scores(x1, x2, weights, way, keep, fully_masked, folded)[0], way)


def _by_head(scores: Any, way: PairWay) -> Any:
    return scores if way.logits == "project" else ops.transpose(scores, (0, 2, 1, 3))


def _scores(
    x1: Any,
    x2: Any,
    weights: SequenceWeights,
    way: PairWay,
    keep: Any,
    fully_masked: str,
    folded: bool,
) -> tuple[Any, Any]:
    """Return scores, (B, H, T1, T2) if projected, else (B, T1, H, T2), and the values."""
    if keep is None:
        s2 = _through(x2, weights.dense2) if way.dense2 else x2
        if x1 is x2 and way.dense1 == way.dense2:
            s1 = s2
        else:
            s1 = _through(x1, weights.dense1) if way.dense1 else x1
        logits = _logits(s1, s2, weights, way, folded)
        return softmax(logits, weights.dtype), _values(s2, weights, way)
    x1, x2 = _without_masked(x1, x2, keep, fully_masked)
    part1, part2 = FinitePart(), FinitePart()
    s1, s2 = part1(x1), part2(x2)
    if way.dense1:
        s1 = part1(_through(s1, weights.dense1))
    if way.dense2:
        s2 = part2(_through(s2, weights.dense2))
    logits = _logits(s1, s2, weights, way, folded, part1, part2)
    values = _values(s2, weights, way, part2)
    heads_axis = 1 if way.logits == "project" else 2
    poison1 = ops.expand_dims(ops.expand_dims(part1.poison, -1), heads_axis)
    poison2 = ops.expand_dims(ops.expand_dims(part2.poison, 1), 1)
    keep = ops.expand_dims(keep, heads_axis)
    logits = logits + (poison1 + poison2)
    return masked_softmax(logits, keep, weights.dtype, fully_masked, poison2), values


def _without_masked(x1: Any, x2: Any, keep: Any, fully_masked: str) -> tuple[Any, Any]:
    """Return both inputs with 0 for the steps that neither read nor are read.

    Multiplying them by 0 is not enough, since 0·NaN is NaN, forward and in gradients of weights.
    """
    reads = ops.any(keep, axis=-1)
    x1 = ops.where(ops.expand_dims(reads, -1), x1, 0.0)
    if fully_masked == "zero":  # with "uniform", a fully masked row reads all steps
        x2 = ops.where(ops.expand_dims(ops.any(keep, axis=1), -1), x2, 0.0)
    return x1, x2


def _through(x: Any, dense: Dense | None) -> Any:
    if dense is None:
        return x
    return _with(_times(x, dense.kernel), dense.bias)


def _kernel(raw: bool, dense: Dense | None, kernel: Any) -> Any:
    """Return a projection (G, H, D); for a raw input, with its Dense kernel multiplied in."""
    if not raw or dense is None:
        return kernel
    return _times(dense.kernel, kernel)


def _bias(raw: bool, dense: Dense | None, kernel: Any, bias: Any) -> Any:
    """Return the bias (H, D) of the projection that `_kernel` returns."""
    if bias is None or not raw or dense is None or dense.bias is None:
        return bias
    return bias + ops.einsum("u,uhd->hd", dense.bias, kernel)


def _query_and_key(weights: SequenceWeights, way: PairWay) -> tuple[Any, Any, Any]:
    """Return the scaled query kernel (G1, H, D), its bias (H, D), and the key kernel (G2, H, D).

    The key bias and the bias of the second Dense layer add the same number to all logits of a row,
    which the softmax cancels, so both are left out. Zero times the key bias is added, so that its
    gradient is 0 and not None.
    """
    scale = int(weights.query_kernel.shape[2]) ** -0.5
    kernel, bias = weights.query_kernel * scale, weights.query_bias
    if bias is not None:
        bias = bias * scale + weights.key_bias * 0.0
    query = _kernel(not way.dense1, weights.dense1, kernel)
    bias = _bias(not way.dense1, weights.dense1, kernel, bias)
    return query, bias, _kernel(not way.dense2, weights.dense2, weights.key_kernel)


def _logits(
    s1: Any,
    s2: Any,
    weights: SequenceWeights,
    way: PairWay,
    folded: bool,
    part1: Guard = as_it_is,
    part2: Guard = as_it_is,
) -> Any:
    query, bias, key = _query_and_key(weights, way)
    if way.logits == "project":
        queries = part1(_with(_times(s1, query), bias))
        keys = part2(_times(s2, key))
        return ops.einsum("bthd,bshd->bhts", queries, keys)
    if way.logits == "right":
        a = ops.einsum("fhd,ghd->fhg", query, key)
        keys = part2(ops.einsum("bsg,fhg->bhsf", s2, a), (1, 3))
        logits = ops.einsum("btf,bhsf->bths", s1, keys)
        if bias is None:
            return logits
        of_keys = ops.einsum("bsg,hg->bhs", s2, ops.einsum("hd,ghd->hg", bias, key))
        return logits + ops.expand_dims(of_keys, 1)
    if folded:
        a = ops.einsum("fhd,ghd->fhg", query, key)
        bias = None if bias is None else ops.einsum("hd,ghd->hg", bias, key)
        queries = part1(_with(_times(s1, a), bias))
    else:
        queries = part1(_with(_times(s1, query), bias))
        queries = part1(ops.einsum("bthd,ghd->bthg", queries, key))
    return ops.einsum("bthg,bsg->bths", queries, s2)


def _value_and_bias(weights: SequenceWeights, way: PairWay) -> tuple[Any, Any]:
    """Value kernel (G2, H, Dv) and bias (H, Dv)."""
    raw, kernel = not way.dense2, weights.value_kernel
    value = _kernel(raw, weights.dense2, kernel)
    return value, _bias(raw, weights.dense2, kernel, weights.value_bias)


def _values(s2: Any, weights: SequenceWeights, way: PairWay, part2: Guard = as_it_is) -> Any:
    """What scores read: (B, T2, H, Dv), (B, H, T2, U) or S2 itself."""
    if way.read == "source":
        return s2
    value, bias = _value_and_bias(weights, way)
    if way.read == "project":
        return part2(_with(_times(s2, value), bias))
    c = ops.einsum("ghd,hdu->hgu", value, weights.output_kernel)
    return part2(ops.einsum("bsg,hgu->bhsu", s2, c), (1, 3))


def _read(
    scores: Any, values: Any, weights: SequenceWeights, way: PairWay, whole: bool, folded: bool
) -> Any:
    output = weights.output_kernel
    if way.read == "project":
        found = ops.einsum("bhts,bshd->bthd", scores, values)
        return _with(_times(found, output, 2), weights.output_bias)
    value, bias = _value_and_bias(weights, way)
    if way.read == "value":
        read = ops.einsum("bths,bhsu->btu", scores, values)
    elif folded:
        c = ops.einsum("ghd,hdu->hgu", value, output)
        read = _times(ops.einsum("bths,bsg->bthg", scores, values), c, 2)
    else:
        found = ops.einsum("bths,bsg->bthg", scores, values)
        read = _times(ops.einsum("bthg,ghd->bthd", found, value), output, 2)
    if bias is None:
        return read
    if whole:
        return read + (ops.einsum("hd,hdu->u", bias, output) + weights.output_bias)
    e = ops.einsum("hd,hdu->hu", bias, output)
    return read + (ops.einsum("bth,hu->btu", ops.sum(scores, -1), e) + weights.output_bias)


def _times(x: Any, kernel: Any, axes: int = 1) -> Any:
    """Multiply the last `axes` of `x` with the first of the kernel, as a product of two matrices.

    The equivalent einsum is slower in TensorFlow, which computes a batched product.
    """
    shape, sizes = [int(size) for size in kernel.shape], ops.shape(x)
    inner = math.prod(shape[:axes])
    flat = ops.reshape(x, (-1, inner)) @ ops.reshape(kernel, (inner, math.prod(shape[axes:])))
    return ops.reshape(flat, (*sizes[: len(sizes) - axes], *shape[axes:]))


def _with(values: Any, bias: Any) -> Any:
    return values if bias is None else values + bias
