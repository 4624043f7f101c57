"""MemoryAugmentedAttention in PyTorch's own operators, for all devices, dtypes and exporters.

The shapes are those of docs/math.md: B batch, T steps, U units, S slots, H heads, D key_dim and
Dv value_dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memattn.torch.call import Call
from memattn.torch.precision import exact, without_autocast
from memattn.torch.scores import dropped, kept, logits_gradient, returned, softmax
from memattn.torch.weights import MemoryWeights


def attend(x: Tensor, weights: MemoryWeights, call: Call) -> tuple[Tensor, ...]:
    """Return y (B, T, U) and, when the call wants them, the scores (B, H, T, S) or (B, T, S).

    Products of weights are computed in at least float32 and without autocast. They are cheap
    compared to products with tokens, and rounding them to half precision would change every logit.
    Products with tokens run in the dtype of `x`, or in that of autocast.
    """
    read = _folded if weights.folding_pays() else _projected
    y, scores = read(x, weights, call)
    if weights.output_bias is not None:
        y = y + weights.output_bias.to(y.dtype)
    if call.residual:
        y = y + x
    return (y, *returned(scores, call))


def _folded(x: Tensor, weights: MemoryWeights, call: Call) -> tuple[Tensor, Tensor]:
    """Return the attention output (B, T, U) and the scores (B, T, H, S) by the folded route."""
    with without_autocast(x):
        a, c, b = (part.to(x.dtype) for part in fold(weights))
    return read_folded(x, a, c, b, weights.query_kernel.shape[1], call)


def fold(weights: MemoryWeights) -> tuple[Tensor, Tensor, Tensor]:
    """Return A (U, H·S), c (H·S,) and B (H·S, U), in at least float32."""
    keys, values = _project_memory(weights)
    # A_h = Wq_h·K_hᵀ / √D, c_h = bq_h·K_hᵀ / √D, B_h = V_h·Wo_h
    a = torch.einsum("uhd,shd->uhs", exact(weights.query_kernel), keys).flatten(1)
    c = _logits_bias(weights, keys).flatten()
    b = torch.einsum("she,heu->hsu", values, exact(weights.output_kernel)).flatten(0, 1)
    return a, c, b


def read_folded(
    x: Tensor, a: Tensor, c: Tensor, b: Tensor, heads: int, call: Call
) -> tuple[Tensor, Tensor]:
    """Return what is read (B, T, U), and the scores (B, T, H, S), from a fold."""
    slots = c.shape[0] // heads
    keep = kept(call, x.shape[1], slots, x.device)
    logits = (torch.matmul(_reading(x, keep), a) + c).unflatten(-1, (heads, slots))
    scores = softmax(logits, keep, call)
    return torch.matmul(dropped(scores, call).to(x.dtype).flatten(-2), b), scores


def _projected(x: Tensor, weights: MemoryWeights, call: Call) -> tuple[Tensor, Tensor]:
    """Return the same by the projected route, which is less work if key_dim is small."""
    with without_autocast(x):
        keys, values = (part.to(x.dtype) for part in _project_memory(weights))
    keep = kept(call, x.shape[1], keys.shape[0], x.device)
    query = torch.einsum("btu,uhd->bthd", _reading(x, keep), weights.query_kernel)
    if weights.query_bias is not None:
        query = query + weights.query_bias.to(query.dtype)
    scores = softmax(torch.einsum("bthd,shd->bths", query, keys), keep, call)
    read = torch.einsum("bths,she->bthe", dropped(scores, call).to(x.dtype), values)
    return torch.einsum("bthe,heu->btu", read, weights.output_kernel), scores


def _project_memory(weights: MemoryWeights) -> tuple[Tensor, Tensor]:
    """Return K_h / √D (S, H, D), without the key bias, and V_h (S, H, Dv)."""
    memory = exact(weights.memory)
    keys = torch.einsum("su,uhd->shd", memory, exact(weights.key_kernel))
    values = torch.einsum("su,uhe->she", memory, exact(weights.value_kernel))
    if weights.value_bias is not None:
        values = values + exact(weights.value_bias)
    if weights.key_bias is not None and weights.key_bias.requires_grad:
        # The softmax cancels the key bias. Adding zero times it makes its gradient 0 and not None,
        # for which DistributedDataParallel would wait.
        keys = keys + 0 * exact(weights.key_bias)
    return keys * weights.query_kernel.shape[2] ** -0.5, values


def _logits_bias(weights: MemoryWeights, keys: Tensor) -> Tensor:
    """Return c (H, S) from K_h / √D."""
    if weights.query_bias is None:
        return keys.new_zeros(keys.shape[1], keys.shape[0])
    return torch.einsum("hd,shd->hs", exact(weights.query_bias), keys)


def _reading(x: Tensor, keep: Tensor | None) -> Tensor:
    """Return x with zeros for tokens that read nothing: 0·NaN would reach gradients of weights."""
    return x if keep is None else torch.where(keep.any(-1, keepdim=True), x, 0)


def scores_gradients(
    grad_scores: Tensor, x: Tensor, weights: MemoryWeights, call: Call
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the gradients of x and of the weights that come from the returned scores alone.

    The kernels' backward pass starts from y, which is enough for most losses. Written out, since
    autograd does not work inside a custom operator. docs/math.md has the formulas.
    """
    factor = weights.query_kernel.shape[2] ** -0.5
    memory = weights.memory
    keep = kept(call, x.shape[1], memory.shape[0], x.device)
    x = _reading(x, keep)
    if keep is not None:  # slots that no token reads are zeros, too
        memory = torch.where(keep.flatten(0, 1).any(0)[:, None], memory, 0)
    weights = weights._replace(memory=memory)
    keys, _ = _project_memory(weights)
    a = torch.einsum("uhd,shd->uhs", weights.query_kernel, keys)
    logits = torch.einsum("btu,uhs->bths", x, a) + _logits_bias(weights, keys)
    d_logits = logits_gradient(grad_scores, softmax(logits, keep, call), keep, call)
    # dA_h = Xᵀ·dL, dc_h = colsum(dL), dK_h = (dA_hᵀ·Wq_h + dc_hᵀ·bq_h)/√D
    d_a = torch.einsum("btu,bths->uhs", x, d_logits)
    d_c = d_logits.sum((0, 1))
    d_keys = torch.einsum("uhs,uhd->shd", d_a, weights.query_kernel)
    if weights.query_bias is not None:
        d_keys = d_keys + torch.einsum("hs,hd->shd", d_c, weights.query_bias)
    d_keys = d_keys * factor
    return torch.einsum("bths,uhs->btu", d_logits, a), {
        "memory": torch.einsum("shd,uhd->su", d_keys, weights.key_kernel),
        "query_kernel": torch.einsum("uhs,shd->uhd", d_a, keys),
        "query_bias": torch.einsum("hs,shd->hd", d_c, keys),
        "key_kernel": torch.einsum("su,shd->uhd", weights.memory, d_keys),
    }
