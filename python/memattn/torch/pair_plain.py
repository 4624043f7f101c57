"""CrossAttention and HierarchicalAttention in PyTorch's own operators, by the cheapest route.

The shapes are those of docs/siblings-math.md: B batch, T1 and T2 steps, F1 and F2 widths of the
inputs, U units, H heads, D key_dim and Dv value_dim. G1 and G2 are the widths in which a route uses
the inputs: F of an input itself, U after its Dense layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memattn.layer_options import PAIR_WAYS, PairRoute, PairSizes, PairWay
from memattn.torch.call import Call
from memattn.torch.precision import exact, without_autocast
from memattn.torch.scores import dropped, kept, logits_gradient, returned, softmax
from memattn.torch.weights import CrossWeights, HierarchicalWeights


def attend_cross(inputs: Sequence[Tensor], weights: CrossWeights, call: Call) -> tuple[Tensor, ...]:
    """Return y (B, T1, U) and, when the call wants them, the scores (B, H, T1, T2) or (B, T1, T2).

    As in `plain.attend`, products of weights are computed in at least float32 and without autocast.
    """
    x1, x2 = inputs
    y, scores = _attention(x1, x2, weights, call, one_source=False)
    return (y, *returned(scores, call))


def attend_hierarchical(
    inputs: Sequence[Tensor], weights: HierarchicalWeights, call: Call
) -> tuple[Tensor, ...]:
    """Return y (B, T, U) and, when the call wants them, the scores of both sides."""
    terms: list[Tensor] = []
    scores: list[Tensor] = []
    for x, side, side_call in _sides(inputs, weights, call):
        term, its_scores = _attention(x, x, side, side_call, one_source=True)
        terms.append(term)
        scores.extend(returned(its_scores, call))
    return (terms[0] + terms[1], *scores)


def _sides(
    inputs: Sequence[Tensor], weights: HierarchicalWeights, call: Call
) -> list[tuple[Tensor, CrossWeights, Call]]:
    """Return input, weights and call of both sides; a masked step neither reads nor is read."""
    masks = (call.query_mask, call.value_mask)
    return [
        (x, side, call._replace(query_mask=mask, value_mask=mask))
        for x, side, mask in zip(inputs, weights.sides(), masks, strict=True)
    ]


def sizes_of(weights: CrossWeights, *, one_source: bool) -> PairSizes:
    """Return the sizes from which the route is chosen."""
    units, heads, key_dim = weights.query_kernel.shape
    return PairSizes(
        units=units,
        source1_units=weights.source1_kernel.shape[0],
        source2_units=weights.source2_kernel.shape[0],
        num_heads=heads,
        key_dim=key_dim,
        value_dim=weights.value_kernel.shape[2],
        one_source=one_source,
    )


def _example(size: int) -> int:
    """Return a size as a number; for a symbolic size, that of the exporter's example.

    Reading the example adds no guard, so the graph still accepts other sizes. Only the cost of
    routes depends on it.
    """
    node = getattr(size, "node", None)
    hint = getattr(node, "hint", None)
    return int(size if hint is None else hint)


def _cheapest(x1: Tensor, x2: Tensor, training: bool, *sizes: Any) -> PairRoute:
    tokens = _example(x1.shape[0]), _example(x1.shape[1]), _example(x2.shape[1])
    return PairSizes(*sizes).cheapest_route(*tokens, training)


# torch.compile calls this function with its example tensors and uses the result as a constant.
# torch.compiler.assume_constant_result sets the same mark, but imports torch._dynamo, which takes
# as long as PyTorch.
_cheapest._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _way(x1: Tensor, x2: Tensor, weights: CrossWeights, call: Call, one_source: bool) -> PairWay:
    """Return the products of the forced route, or of the cheapest."""
    if call.route != "auto":
        return PAIR_WAYS[call.route]
    sizes = sizes_of(weights, one_source=one_source)
    return PAIR_WAYS[_cheapest(x1, x2, call.training, *sizes)]


class _Projections(NamedTuple):
    """The matrices from the inputs, as the route uses them, to queries, keys and values."""

    query: Tensor  # (G1, H, D)
    query_bias: Tensor | None  # (H, D)
    key: Tensor  # (G2, H, D), divided by √D; the key bias has no effect
    value: Tensor  # (G2, H, Dv)
    value_bias: Tensor | None  # (H, Dv)


def _projections(weights: CrossWeights, way: PairWay) -> _Projections:
    query, query_bias = _through(weights.query_kernel, weights.query_bias, weights, 1, way.dense1)
    value, value_bias = _through(weights.value_kernel, weights.value_bias, weights, 2, way.dense2)
    key, _ = _through(weights.key_kernel, None, weights, 2, way.dense2)
    if weights.key_bias is not None and weights.key_bias.requires_grad:
        key = key + 0 * exact(weights.key_bias)  # as in plain.py: its gradient is 0 and not None
    return _Projections(
        query, query_bias, key * weights.query_kernel.shape[2] ** -0.5, value, value_bias
    )


def _through(
    kernel: Tensor, bias: Tensor | None, weights: CrossWeights, source: int, dense: bool
) -> tuple[Tensor, Tensor | None]:
    """Return a projection: itself after the Dense layer, or with the Dense layer multiplied in."""
    kernel, bias = exact(kernel), None if bias is None else exact(bias)
    if dense:
        return kernel, bias
    of_dense, dense_bias = weights[2 * source - 2 : 2 * source]
    folded = torch.einsum("fu,uhd->fhd", exact(of_dense), kernel)
    if bias is not None:
        bias = bias + torch.einsum("u,uhd->hd", exact(dense_bias), kernel)
    return folded, bias


def _dense(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    s = torch.matmul(x, kernel)
    return s if bias is None else s + bias.to(s.dtype)


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a + b.to(a.dtype)


def _silenced(x1: Tensor, x2: Tensor, keep: Tensor | None, call: Call) -> tuple[Tensor, Tensor]:
    """Return the inputs with zeros for query steps that read nothing and key steps never read.

    Then the values of such steps, such as NaN, enter no product and get no gradient.
    """
    if keep is None:
        return x1, x2
    reads, is_read = keep.any(2), keep.any(1)
    if call.uniform_when_masked:  # a fully masked query reads all keys equally
        is_read = is_read | ~reads.all(1, keepdim=True)
    return torch.where(reads[..., None], x1, 0), torch.where(is_read[..., None], x2, 0)


def _attention(
    x1: Tensor, x2: Tensor, weights: CrossWeights, call: Call, *, one_source: bool
) -> tuple[Tensor, Tensor]:
    """Return the result (B, T1, U), and the scores (B, T1, H, T2), of one attention."""
    way = _way(x1, x2, weights, call, one_source)
    dtype = x1.dtype
    keep = kept(call, x1.shape[1], x2.shape[1], x1.device)
    left, right = _silenced(x1, x2, keep, call)
    with without_autocast(x1):
        projections = _projections(weights, way)
    one_dense = one_source and left is right  # the same values after the same Dense layer
    if way.dense2:
        right = _dense(right, weights.source2_kernel, weights.source2_bias)
    if way.dense1:
        both = one_dense and way.dense2
        left = right if both else _dense(left, weights.source1_kernel, weights.source1_bias)
    scores = softmax(_logits(left, right, projections, way, dtype), keep, call)
    whole = keep is None and not call.drops  # whether each row of scores adds up to 1
    falling = dropped(scores, call).to(dtype)
    y = _read(falling, right, projections, weights, way, dtype, whole=whole)
    return _plus(y, weights.output_bias), scores


def _logits(
    left: Tensor, right: Tensor, projections: _Projections, way: PairWay, dtype: torch.dtype
) -> Tensor:
    """Return the logits (B, T1, H, T2)."""
    query, bias, key, _, _ = projections
    if way.logits == "project":
        queries = _plus(torch.einsum("btu,uhd->bthd", left, query.to(dtype)), bias)
        keys = torch.einsum("bsv,vhd->bshd", right, key.to(dtype))
        return torch.einsum("bthd,bshd->bths", queries, keys)
    with without_autocast(left):  # A_h = r·Q_h·K_hᵀ, a_h = r·K_h·cq_h
        a = torch.einsum("uhd,vhd->uhv", query, key).to(dtype)
        a_bias = None if bias is None else torch.einsum("hd,vhd->hv", bias, key).to(dtype)
    if way.logits == "left":
        queries = _plus(torch.einsum("btu,uhv->bthv", left, a), a_bias)
        return torch.einsum("bthv,bsv->bths", queries, right)
    keys = torch.einsum("bsv,uhv->bshu", right, a)
    logits = torch.einsum("btu,bshu->bths", left, keys)
    if a_bias is None:
        return logits
    return logits + torch.einsum("bsv,hv->bhs", right, a_bias)[:, None]


def _read(
    scores: Tensor,
    right: Tensor,
    projections: _Projections,
    weights: CrossWeights,
    way: PairWay,
    dtype: torch.dtype,
    *,
    whole: bool,
) -> Tensor:
    """Return the attention output (B, T1, U), without the output bias."""
    _, _, _, value, bias = projections
    output = exact(weights.output_kernel)
    if way.read == "project":
        values = _plus(torch.einsum("bsv,vhe->bshe", right, value.to(dtype)), bias)
        context = torch.einsum("bths,bshe->bthe", scores, values)
        return torch.einsum("bthe,heu->btu", context, output.to(dtype))
    with without_autocast(right):  # C_h = V_h·Wo_h, e_h = cv_h·Wo_h
        c = torch.einsum("vhe,heu->hvu", value, output).to(dtype)
        e = None if bias is None else torch.einsum("he,heu->hu", bias, output).to(dtype)
    if way.read == "value":
        values = _plus(torch.einsum("bsv,hvu->bshu", right, c), e)
        return torch.einsum("bths,bshu->btu", scores, values)
    y = torch.einsum("bthv,hvu->btu", torch.einsum("bths,bsv->bthv", scores, right), c)
    if e is None:
        return y
    return y + (e.sum(0) if whole else torch.einsum("bth,hu->btu", scores.sum(-1), e))


def cross_scores_gradients(
    grad_scores: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    weights: CrossWeights,
    call: Call,
) -> tuple[list[Tensor | float], dict[str, Tensor]]:
    """Return the gradients of inputs and weights that come from the returned scores alone.

    Written out for the reason given in `plain.scores_gradients`. docs/siblings-math.md has the
    formulas.
    """
    (grad,) = grad_scores
    if grad is None:
        return [0.0, 0.0], {}
    x1, x2 = inputs
    keep = kept(call, x1.shape[1], x2.shape[1], x1.device)
    x1, x2 = _silenced(x1, x2, keep, call)
    s1 = _dense(x1, weights.source1_kernel, weights.source1_bias)
    s2 = _dense(x2, weights.source2_kernel, weights.source2_bias)
    key = weights.key_kernel * weights.query_kernel.shape[2] ** -0.5
    queries = _plus(torch.einsum("btu,uhd->bthd", s1, weights.query_kernel), weights.query_bias)
    keys = torch.einsum("bsv,vhd->bshd", s2, key)
    scores = softmax(torch.einsum("bthd,bshd->bths", queries, keys), keep, call)
    d_logits = logits_gradient(grad, scores, keep, call)
    # dq = dL·k, dk = dLᵀ·q
    d_queries = torch.einsum("bths,bshd->bthd", d_logits, keys)
    d_keys = torch.einsum("bths,bthd->bshd", d_logits, queries)
    d_s1 = torch.einsum("bthd,uhd->btu", d_queries, weights.query_kernel)
    d_s2 = torch.einsum("bshd,uhd->bsu", d_keys, key)
    factor = weights.query_kernel.shape[2] ** -0.5
    of_inputs: list[Tensor | float] = [
        torch.matmul(d_s1, weights.source1_kernel.T),
        torch.matmul(d_s2, weights.source2_kernel.T),
    ]
    return of_inputs, {
        "source1_kernel": torch.einsum("btf,btu->fu", x1, d_s1),
        "source1_bias": d_s1.sum((0, 1)),
        "source2_kernel": torch.einsum("btf,btu->fu", x2, d_s2),
        "source2_bias": d_s2.sum((0, 1)),
        "query_kernel": torch.einsum("btu,bthd->uhd", s1, d_queries),
        "query_bias": d_queries.sum((0, 1)),
        "key_kernel": torch.einsum("bsu,bshd->uhd", s2, d_keys) * factor,
    }


def hierarchical_scores_gradients(
    grad_scores: Sequence[Tensor | None],
    inputs: Sequence[Tensor],
    weights: HierarchicalWeights,
    call: Call,
) -> tuple[list[Tensor | float], dict[str, Tensor]]:
    """Return the gradients that come from the returned scores of both sides alone."""
    of_inputs: list[Tensor | float] = []
    of_weights: dict[str, Tensor] = {}
    sides = zip(("short", "long"), _sides(inputs, weights, call), grad_scores, strict=True)
    for name, (x, side, side_call), grad in sides:
        (as_query, as_key), found = cross_scores_gradients([grad], [x, x], side, side_call)
        of_inputs.append(as_query + as_key)
        if found:
            for part in ("kernel", "bias"):
                both = found.pop(f"source1_{part}") + found.pop(f"source2_{part}")
                found[f"dense_{part}"] = both
        of_weights |= {f"{name}_{part}": gradient for part, gradient in found.items()}
    return of_inputs, of_weights
