"""The memory layer in operations of Keras: the folded and the projected route, with masks.

Names and shapes are those of docs/math.md: B batch, T steps, U width of the input, S slots,
H heads, D key_dim, Dv value_dim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memattn.keras.host import ops
from memattn.keras.softmax import FinitePart, Guard, as_it_is, masked_softmax, softmax
from memattn.layer_options import Route


@dataclass
class Weights:
    """The layer's weights as tensors of the compute dtype; biases are None without `use_bias`."""

    dtype: str  # of all weights
    memory: Any  # (S, M); M is U unless the input has another width
    query_kernel: Any  # (U, H, D)
    query_bias: Any  # (H, D)
    key_kernel: Any  # (M, H, D)
    key_bias: Any  # (H, D)
    value_kernel: Any  # (M, H, Dv)
    value_bias: Any  # (H, Dv)
    output_kernel: Any  # (H, Dv, U)
    output_bias: Any  # (U)

    @property
    def heads(self) -> int:
        """H."""
        return int(self.query_kernel.shape[1])

    @property
    def slots(self) -> int:
        """S."""
        return int(self.memory.shape[0])


def attend(
    x: Any,
    weights: Weights,
    route: Route,
    keep: Any = None,
    fully_masked: str = "zero",
    drop: Callable[[Any], Any] | None = None,
) -> tuple[Any, Any]:
    """Read the memory for every token.

    Parameters
    ----------
    x : tensor (B, T, U)
        The input.
    weights : Weights
        The weights, in the dtype of `x`.
    route : {"folded", "projected"}
        The route; both give the same result up to rounding.
    keep : tensor of bool, optional
        Broadcasts to (B, T, S); True keeps.
    fully_masked : {"zero", "uniform"}
        The scores of a token whose slots are all masked.
    drop : callable, optional
        Dropout, applied to the scores before the values are read.

    Returns
    -------
    tensor (B, T, U), and the scores (B, T, H, S) before `drop`
    """
    batch, steps, width = ops.shape(x)
    heads, slots = weights.heads, weights.slots
    by_token = (batch, steps, heads, slots)
    part = None
    if keep is not None:
        part = FinitePart()
        # A token that reads nothing may be NaN, and must not reach the gradients of the weights.
        x = ops.where(ops.any(keep, axis=-1, keepdims=True), x, 0.0)
    tokens = ops.reshape(x, (-1, width))
    by_route = _folded if route == "folded" else _projected
    logits, read = by_route(tokens, weights, part or as_it_is)
    if part is None:
        scores = softmax(ops.reshape(logits, (-1, heads, slots)), weights.dtype)
    else:
        logits = ops.reshape(logits, by_token)
        keep = ops.expand_dims(keep, -2)
        logits = logits + part.poison
        scores = masked_softmax(logits, keep, weights.dtype, fully_masked, part.poison)
    used = scores if drop is None else drop(scores)
    output = read(ops.reshape(used, (-1, heads * slots)))
    if weights.output_bias is not None:
        output = output + weights.output_bias
    return ops.reshape(output, (batch, steps, width)), ops.reshape(scores, by_token)


def _keys_and_values(weights: Weights, part: Guard) -> tuple[Any, Any, Any]:
    """Scaled keys (H, S, D), values (H, S, Dv), and what biases add to the logits, (H, S) or None.

    The key bias adds the same number to the logits of all slots, which the softmax cancels, so it
    is left out. Zero times the key bias is added, so that its gradient is 0 and not None.
    """
    scale = int(weights.query_kernel.shape[2]) ** -0.5
    memory = part(weights.memory, (1,))
    keys = part(ops.einsum("su,uhd->hsd", memory, weights.key_kernel) * scale, (0, 2))
    values = ops.einsum("su,uhd->hsd", memory, weights.value_kernel)
    if weights.query_bias is None:
        return keys, part(values, (0, 2)), None
    values = part(values + ops.expand_dims(weights.value_bias, 1), (0, 2))
    nothing = ops.expand_dims(ops.sum(weights.key_bias * 0.0, -1), 1)
    return keys, values, ops.einsum("hd,hsd->hs", weights.query_bias, keys) + nothing


def _folded(tokens: Any, weights: Weights, part: Guard) -> tuple[Any, Callable[[Any], Any]]:
    """Logits (N, H·S) of tokens (N, U), and what reads with scores of that shape."""
    keys, values, offset = _keys_and_values(weights, part)
    width, columns = int(weights.query_kernel.shape[0]), weights.heads * weights.slots
    a = part(ops.einsum("uhd,hsd->uhs", weights.query_kernel, keys), (0, 1))
    b = part(ops.einsum("hsd,hdu->hsu", values, weights.output_kernel), (0, 2))
    a, b = ops.reshape(a, (width, columns)), ops.reshape(b, (columns, width))
    logits = tokens @ a  # ops.matmul makes float32 of float64 on PyTorch
    if offset is not None:
        logits = logits + ops.reshape(offset, (columns,))
    return logits, lambda scores: scores @ b


def _projected(tokens: Any, weights: Weights, part: Guard) -> tuple[Any, Callable[[Any], Any]]:
    """As `_folded`, by way of the queries (N, H, D) and what each head read (N, H, Dv)."""
    keys, values, offset = _keys_and_values(weights, part)
    heads, slots = weights.heads, weights.slots
    queries = ops.einsum("nu,uhd->nhd", tokens, weights.query_kernel)
    logits = ops.einsum("nhd,hsd->nhs", queries, keys)
    if offset is not None:
        logits = logits + offset

    def read(scores: Any) -> Any:
        by_head = ops.reshape(scores, (-1, heads, slots))
        found = ops.einsum("nhs,hsd->nhd", by_head, values)
        return ops.einsum("nhd,hdu->nu", found, weights.output_kernel)

    return logits, read
