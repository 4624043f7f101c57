"""The attention of tokens: shares of slots, selectivity, and the output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memattn.inspection.fold import Array64
from memattn.inspection.tokens import Tokens
from memattn.layer import MemoryAugmentedAttention

VALUES_A_CALL = 2**21  # most scores or token values in memory at once, unless one token has more

# A token reads a single slot if the other slots together get less than this, half an ulp of 1 in
# float32. Then the score is 1, and the gradient through the softmax, P·(1 − P), is 0.
SATURATED_REST = 2.0**-24


@dataclass(frozen=True)
class Reading:
    """Statistics of the scores and the output for N tokens; not finite where scores are not.

    Attributes
    ----------
    usage : array (H, S)
        Mean score: the share of a head's attention that goes to a slot. The shares of a head sum to
        1.
    peak : array (H, S)
        Largest score of a token.
    entropy : array (H,)
        Mean entropy of a token's scores, in nats; log S if it reads all slots equally.
    logit_spread : array (H,)
        Root mean square deviation of a token's logits from their mean over the slots: 0, up to
        rounding, if logits do not differ between slots.
    saturated : array (H,)
        Share of tokens that read a single slot, up to float32's last bit.
    token_norm : float
        Largest norm of a token.
    output_norm : float
        Root mean square norm of the layer's output.
    added_constant, added_variation : float
        The attention output: the norm of its mean over tokens, and the root mean square distance
        from the mean.
    finite : bool
        Whether all outputs and scores are finite.
    """

    usage: Array64
    peak: Array64
    entropy: Array64
    logit_spread: Array64
    saturated: Array64
    token_norm: float
    output_norm: float
    added_constant: float
    added_variation: float
    finite: bool

    @property
    def effective_slots(self) -> Array64:
        """The effective number of slots per token, by head (H,): exp(mean entropy)."""
        return np.exp(self.entropy)

    @property
    def share(self) -> Array64:
        """Usage as the mean over heads (S,)."""
        return self.usage.mean(axis=0)  # type: ignore[no-any-return]


def read_memory(layer: MemoryAugmentedAttention, tokens: Tokens) -> Reading:
    """Runs the layer on the tokens in parts and accumulates statistics."""
    config = layer.get_config()
    heads, slots, units = config["num_heads"], config["memory_size"], config["units"]
    usage, peak = np.zeros((heads, slots)), np.zeros((heads, slots))
    entropy, spread, saturated = np.zeros(heads), np.zeros(heads), np.zeros(heads)
    added, added_squares, output_squares, token_norm = np.zeros(units), 0.0, 0.0, 0.0
    finite = True
    size = max(1, VALUES_A_CALL // max(heads * slots, units))
    with np.errstate(all="ignore"):
        for chunk in tokens.chunks(size):
            x = np.ascontiguousarray(chunk, layer.dtype)[None]
            y, scores = layer(x, return_attention_scores=True)
            wide = scores[0].astype(np.float64)  # (H, n, S)
            finite = finite and bool(np.isfinite(y).all() and np.isfinite(wide).all())
            logs = np.log(np.maximum(wide, np.finfo(np.float64).tiny))
            most = wide.max(axis=2)
            usage += wide.sum(axis=1)
            peak = np.maximum(peak, wide.max(axis=1))
            entropy -= (wide * logs).sum(axis=(1, 2))
            spread += logs.var(axis=2).sum(axis=1)
            saturated += (wide.sum(axis=2) - most <= SATURATED_REST).sum(axis=1)
            z = y[0].astype(np.float64)
            change = z - x[0] if config["residual"] else z
            added += change.sum(axis=0)
            added_squares += float((change**2).sum())
            output_squares += float((z**2).sum())
            token_norm = max(token_norm, float(np.linalg.norm(x[0].astype(float), axis=1).max()))
        n = len(tokens)
        constant = float(np.linalg.norm(added / n))
        variation = float(np.sqrt(max(added_squares / n - constant**2, 0.0)))
        return Reading(
            usage=usage / n,
            peak=peak,
            entropy=entropy / n,
            logit_spread=np.sqrt(spread / n),
            saturated=saturated / n,
            token_norm=token_norm,
            output_norm=float(np.sqrt(output_squares / n)),
            added_constant=constant,
            added_variation=variation,
            finite=finite,
        )
