"""Finds faults of a layer that keep it from learning or being used, with advice for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memattn.arrays import Array
from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.findings import (
    SATURATED_SHARE,
    SEVERITIES,
    SHOWN,
    UNIFORM_SPREAD,
    Diagnosis,
    Finding,
    count_of,
    listed,
    non_finite_output,
    non_finite_weights,
    some_of,
    untrained,
)
from memattn.inspection.fold import FoldedHead, fold_heads, logit_range, spread
from memattn.inspection.overview import choose_tokens, dead_slots
from memattn.inspection.pair_diagnosis import diagnose_pair
from memattn.inspection.pair_tokens import PairTokens
from memattn.inspection.reading import Reading, read_memory
from memattn.inspection.similarity import alike_groups
from memattn.inspection.tokens import Tokens
from memattn.layer import MemoryAugmentedAttention

# A head counts as constant if its output differs less than this between slots, relative to its
# size.
CONSTANT_SPREAD = 1e-5


def diagnose(
    layer: MemoryAugmentedAttention | CrossAttention | HierarchicalAttention,
    tokens: Tokens | PairTokens | object | None = None,
) -> Diagnosis:
    """Checks a layer for faults without changing it.

    Parameters
    ----------
    layer : MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        The layer.
    tokens : array (N, U) or (B, T, U), or Tokens, optional
        Typical inputs; for a layer of two inputs a tuple of two arrays (B, T, F), or PairTokens.
        Default: standard normal tokens, always the same.

    Raises
    ------
    DataError
        If the tokens do not fit the layer or are not finite.
    """
    if not isinstance(layer, MemoryAugmentedAttention):
        return diagnose_pair(layer, tokens)
    chosen = choose_tokens(layer, tokens)
    weights = layer.weights
    not_judged: dict[str, str] = {}
    findings = non_finite_weights(weights)
    if findings:
        not_judged["all others"] = "weights are not finite"
        return Diagnosis(findings, not_judged, chosen)
    reading = read_memory(layer, chosen)
    if not reading.finite:
        not_judged["all others"] = "the layer's output is not finite"
        return Diagnosis([non_finite_output(chosen)], not_judged, chosen)
    heads = list(fold_heads(weights))
    if len(weights["memory"]) == 1:
        findings.append(_single_slot())
        not_judged["all others"] = "there is one slot"
        return Diagnosis(findings, not_judged, chosen)
    groups = alike_groups(weights["memory"])
    findings += _alike_slots(weights["memory"], groups)
    findings += untrained(weights)
    findings += _uniform(reading)
    if len(groups) != 1 or len(groups[0]) < len(weights["memory"]):
        findings += _constant_heads(heads)
    findings += _exploding(heads, reading)
    dead = dead_slots(reading, chosen)
    if dead is None:
        not_judged["dead-slots"] = f"{len(chosen):,} tokens are too few for so many slots"
    elif dead:
        findings.append(_dead(reading, dead))
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(findings, not_judged, chosen)


def _single_slot() -> Finding:
    return Finding(
        "single-slot",
        "note",
        "the memory has one slot",
        "A softmax over one slot is 1, so the layer adds the same to every token.",
        "Choose a larger memory_size if the layer should remember anything.",
        {},
    )


def _alike_slots(memory: Array, groups: list[list[int]]) -> list[Finding]:
    if not groups:
        return []
    m = np.asarray(memory, np.float64)
    exact = all(np.array_equal(m[slot], m[group[0]]) for group in groups for slot in group)
    distance = max(float(np.abs(m[group] - m[group[0]]).max()) for group in groups)
    count, every = sum(map(len, groups)), len(groups[0]) == len(m)
    how = "equal to the last bit" if exact else f"equal up to {distance:.1g}"
    which = (
        f"all {len(m):,} slots are"
        if every
        else f"{count:,} of {len(m):,} slots, in {count_of(groups, 'group')}, are"
    )
    zeros = every and not m.any()
    meaning = (
        "Equal slots get equal scores and equal gradients, so training can never separate them"
    )
    return [
        Finding(
            "identical-slots" if exact else "nearly-identical-slots",
            "error" if every else "warning",
            f"{which} {how}" + (", and zero" if zeros else ""),
            f"{meaning}: the layer can only add a constant to its input. The published layer "
            "starts like this, from a memory of zeros."
            if every
            else f"{meaning}, and each group acts as one slot: "
            + listed([" = ".join(map(str, group[:SHOWN])) for group in groups]),
            "Break the symmetry: memattn doctor FILE --repair OUT, then train further. Create new "
            'layers with memory_initializer="normal".',
            {"slots": count, "of": len(m), "groups": groups, "largest_difference": distance},
        )
    ]


def _uniform(reading: Reading) -> list[Finding]:
    heads, slots = reading.usage.shape
    flat = np.flatnonzero(reading.logit_spread <= UNIFORM_SPREAD).tolist()
    if not flat:
        return []
    evidence = {
        "heads": flat,
        "logit_spread": float(reading.logit_spread[flat].max()),
        "entropy": float(reading.entropy[flat].min()),
        "log_slots": float(np.log(slots)),
        "added_constant": reading.added_constant,
        "added_variation": reading.added_variation,
    }
    level = f"entropy {evidence['entropy']:.6g} of at most log {slots} = {np.log(slots):.6g}"
    if len(flat) == heads:
        return [
            Finding(
                "uniform-attention",
                "error",
                f"every token reads all slots equally, in every head ({level})",
                "The scores do not depend on the input, so the layer adds the same to every token "
                f"(norm {reading.added_constant:.3g}, varying by {reading.added_variation:.1g}).",
                "If identical slots were found, they are the cause. Otherwise the query or key "
                "kernels are close to zero: train longer, or with less weight decay.",
                evidence,
            )
        ]
    return [
        Finding(
            "uniform-heads",
            "warning",
            f"{some_of(flat, heads, 'head')} read all slots equally ({level})",
            "Such a head adds the same to every token; its query or key kernel is close to zero.",
            "Train longer or with less weight decay. If nothing changes, use fewer heads.",
            evidence,
        )
    ]


def _constant_heads(heads: Sequence[FoldedHead]) -> list[Finding]:
    sizes = [float(np.sqrt((head.b**2).sum(axis=1).mean())) for head in heads]
    spreads = [spread(head.b) for head in heads]
    flat = [h for h, size in enumerate(sizes) if spreads[h] <= CONSTANT_SPREAD * size]
    if not flat:
        return []
    return [
        Finding(
            "constant-heads",
            "warning",
            f"{some_of(flat, len(heads), 'head')} add the same whichever slot is read",
            "The slots that such a head reads make no difference: its value or output kernel is "
            "close to zero, or ignores the directions in which the slots differ.",
            "Train longer or with less weight decay. If nothing changes, use fewer heads.",
            {
                "heads": flat,
                "size": [sizes[h] for h in flat],
                "spread": [spreads[h] for h in flat],
            },
        )
    ]


def _exploding(heads: Sequence[FoldedHead], reading: Reading) -> list[Finding]:
    hard = np.flatnonzero(reading.saturated >= SATURATED_SHARE).tolist()
    if not hard:
        return []
    bounds = [logit_range(heads[h].a, heads[h].c, reading.token_norm) for h in hard]
    share = float(reading.saturated[hard].min())
    return [
        Finding(
            "exploding-logits",
            "warning",
            f"{some_of(hard, len(heads), 'head')} read a single slot for at least "
            f"{100 * share:.0f} % of the tokens; logits may be {max(bounds):.3g} apart",
            "The softmax is saturated: its gradient is 0 up to rounding, so queries and keys no "
            "longer learn, and small changes of the input flip the output.",
            "Return to an earlier checkpoint and train with a smaller learning rate, clipped "
            "gradients or weight decay on query and key kernels; or normalise the input.",
            {
                "heads": hard,
                "saturated": [float(reading.saturated[h]) for h in hard],
                "largest_gap_bound": bounds,
                "token_norm": reading.token_norm,
            },
        )
    ]


def _dead(reading: Reading, dead: list[int]) -> Finding:
    slots = reading.peak.shape[1]
    most = float(reading.peak[:, dead].max())
    return Finding(
        "dead-slots",
        "warning",
        f"{some_of(dead, slots, 'slot')} are read by no token: their largest score is {most:.1g}, "
        f"an equal share would be {1 / slots:.1g}",
        "A slot that is not read adds nothing. Its gradient is proportional to its score, so "
        "training hardly changes it.",
        "Check with typical inputs: --data. If the slots stay dead, a smaller memory_size is "
        "enough; or train with dropout or a smaller learning rate.",
        {"slots": dead, "of": slots, "largest_score": most},
    )
