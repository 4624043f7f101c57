"""Masks, softmax with its gradient, and dropout in PyTorch's own operators, for every layer.

Below, Q is the number of query steps, and K that of slots or key steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memattn.torch.call import Call


def kept(call: Call, queries: int, keys: int, device: torch.device) -> Tensor | None:
    """Return the AND of all masks, which broadcasts to (B, Q, K), or None without any."""
    masks = [] if call.attention_mask is None else [call.attention_mask]
    if call.query_mask is not None:
        masks.append(call.query_mask[:, :, None])
    if call.value_mask is not None:
        masks.append(call.value_mask[:, None, :])
    if call.use_causal_mask:
        steps = torch.arange(queries, device=device) + call.first_step
        places = torch.arange(keys, device=device)
        masks.append((places <= steps[:, None])[None])
    if not masks:
        return None
    keep = masks[0]
    for mask in masks[1:]:
        keep = keep & mask
    return keep


def softmax(logits: Tensor, keep: Tensor | None, call: Call) -> Tensor:
    """Return the scores (B, Q, H, K): the softmax of the logits over the kept keys."""
    if keep is None:
        return torch.softmax(logits, -1)
    keep = keep[:, :, None]
    some = keep.any(-1, keepdim=True)
    # The logits of a fully masked row become 0 and not -inf: the NaN of its softmax would reach
    # the gradients even if the result is not used.
    logits = torch.where(keep, logits, torch.where(some, -torch.inf, 0.0).to(logits.dtype))
    scores = torch.softmax(logits, -1)
    return scores if call.uniform_when_masked else torch.where(some, scores, 0)


def dropped(scores: Tensor, call: Call) -> Tensor:
    """Return the scores, with dropout in training."""
    return torch.dropout(scores, call.dropout, train=True) if call.drops else scores


def returned(scores: Tensor, call: Call) -> tuple[Tensor, ...]:
    """Return scores (B, Q, H, K) as the call wants them: (B, H, Q, K), their mean, or none."""
    if call.scores == "none":
        return ()
    return (scores.mean(2) if call.scores == "mean" else scores.transpose(1, 2),)


def logits_gradient(grad_scores: Tensor, scores: Tensor, keep: Tensor | None, call: Call) -> Tensor:
    """Return the gradient of the logits (B, Q, H, K) from that of the returned scores."""
    if call.scores == "mean":
        grad = grad_scores.unsqueeze(2) / scores.shape[2]
    else:
        grad = grad_scores.transpose(1, 2)
    # dL = P ∘ (dP − rowsum(P ∘ dP)), and 0 where P does not depend on L
    gradient = scores * (grad - (scores * grad).sum(-1, keepdim=True))
    if keep is None:
        return gradient
    return torch.where(keep.any(-1)[:, :, None, None], gradient, 0)
