"""The attention between the steps of two inputs: selectivity and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.fold import Array64
from memattn.inspection.pair_fold import attention_names
from memattn.inspection.pair_tokens import PairTokens
from memattn.inspection.reading import SATURATED_REST, VALUES_A_CALL

MAP_STEPS = 512  # the mean scores of all pairs of steps are kept up to this many steps


@dataclass(frozen=True)
class AttentionReading:
    """Statistics of the scores of one attention, the only one of a layer or one of two sides.

    Attributes
    ----------
    name : str
        ``"short"`` or ``"long"``, or nothing for the only one.
    entropy : array (H,)
        Mean entropy of a step's scores, in nats; log T2 if it attends to all steps equally.
    logit_spread : array (H,)
        Root mean square deviation of a query step's logits from their mean over key steps.
    query_spread : array (H,) or None
        The same over query steps: 0 if logits do not depend on the query. None if sequences have
        one query step.
    saturated : array (H,)
        Share of query steps that attend to a single key step, up to float32's last bit.
    scores : array (T1, T2) or None
        The mean over sequences and heads; None above `MAP_STEPS` steps.
    """

    name: str
    entropy: Array64
    logit_spread: Array64
    query_spread: Array64 | None
    saturated: Array64
    scores: Array64 | None

    @property
    def effective_steps(self) -> Array64:
        """The effective number of steps that a step reads, by head (H,): exp(mean entropy)."""
        return np.exp(self.entropy)


@dataclass(frozen=True)
class PairReading:
    """Statistics of a layer of two inputs for some sequences.

    Attributes
    ----------
    attentions : list of AttentionReading
    output_norm : float
        Root mean square norm of a step of the output.
    output_variation : float
        Root mean square distance of a step of the output from the mean of its sequence.
    finite : bool
        Whether all outputs and scores are finite.
    """

    attentions: list[AttentionReading]
    output_norm: float
    output_variation: float
    finite: bool


def read_pair(layer: CrossAttention | HierarchicalAttention, tokens: PairTokens) -> PairReading:
    """Runs the layer on the sequences in parts and accumulates statistics."""
    names = attention_names(layer.weights)
    heads = layer.get_config()["num_heads"]
    steps1, steps2 = tokens.steps
    sums = [_Sums.zeros(heads, steps1, steps2) for _ in names]
    squares = variation = 0.0
    finite = True
    size = max(1, VALUES_A_CALL // (heads * max(steps1 * steps2, 1)))
    with np.errstate(all="ignore"):
        for first, second in tokens.chunks(size):
            x1, x2 = (np.ascontiguousarray(x, layer.dtype) for x in (first, second))
            y, scores = layer(x1, x2, return_attention_scores=True)
            wide = y.astype(np.float64)
            finite = finite and bool(np.isfinite(wide).all())
            squares += float((wide**2).sum())
            variation += float(((wide - wide.mean(axis=1, keepdims=True)) ** 2).sum())
            each = scores if isinstance(scores, tuple) else (scores,)
            for one, sum_ in zip(each, sums, strict=True):
                finite = finite and bool(np.isfinite(one).all())
                sum_.add(one.astype(np.float64))
        rows = len(tokens) * steps1
        return PairReading(
            [
                sum_.reading(name, len(tokens), steps1)
                for name, sum_ in zip(names, sums, strict=True)
            ],
            float(np.sqrt(squares / rows)),
            float(np.sqrt(variation / rows)),
            finite,
        )


@dataclass
class _Sums:
    """Sums over the sequences so far."""

    entropy: Array64
    logit_squares: Array64
    query_squares: Array64
    saturated: Array64
    scores: Array64 | None

    @classmethod
    def zeros(cls, heads: int, steps1: int, steps2: int) -> _Sums:
        scores = np.zeros((steps1, steps2)) if max(steps1, steps2) <= MAP_STEPS else None
        each = [np.zeros(heads) for _ in range(4)]
        return cls(each[0], each[1], each[2], each[3], scores)

    def add(self, scores: Array64) -> None:
        """Adds the scores of some sequences (B, H, T1, T2)."""
        logs = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
        rest = scores.sum(axis=3) - scores.max(axis=3)
        self.entropy -= (scores * logs).sum(axis=(0, 2, 3))
        self.logit_squares += logs.var(axis=3).sum(axis=(0, 2))
        self.query_squares += logs.var(axis=2).mean(axis=2).sum(axis=0) * scores.shape[2]
        self.saturated += (rest <= SATURATED_REST).sum(axis=(0, 2))
        if self.scores is not None:
            self.scores += scores.sum(axis=0).mean(axis=0)

    def reading(self, name: str, sequences: int, steps1: int) -> AttentionReading:
        """Returns the statistics of `sequences` sequences with `steps1` query steps each."""
        rows = sequences * steps1
        return AttentionReading(
            name,
            self.entropy / rows,
            np.sqrt(self.logit_squares / rows),
            None if steps1 == 1 else np.sqrt(self.query_squares / rows),
            self.saturated / rows,
            None if self.scores is None else self.scores / sequences,
        )
