"""Finds faults of a layer of two inputs that keep it from learning or being used, with advice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.weights import PROJECTIONS
from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.inspection.findings import (
    SATURATED_SHARE,
    SEVERITIES,
    UNIFORM_SPREAD,
    Diagnosis,
    Finding,
    listed,
    non_finite_output,
    non_finite_weights,
    some_of,
    untrained,
)
from memattn.inspection.fold import Array64
from memattn.inspection.pair_fold import PairHead, fold_pair_heads, part_name
from memattn.inspection.pair_overview import choose_pair_tokens
from memattn.inspection.pair_reading import AttentionReading, read_pair
from memattn.inspection.pair_tokens import PairTokens
from memattn.inspection.similarity import alike_groups

# A head counts as constant if its values are smaller than this, relative to the constant or to the
# values of the strongest head.
CONSTANT_VALUES = 1e-5
# A head has collapsed to one direction if its second singular value is smaller than this fraction
# of its first. A new matrix of at least 3 directions has some 1e-1.
ONE_DIRECTION = 1e-4
MOST_DIRECTIONS = 3  # a single direction is a fault only if the head's shape allows this many

_TRAIN = "Train longer or with less weight decay. If nothing changes, use fewer heads."


def diagnose_pair(
    layer: CrossAttention | HierarchicalAttention,
    tokens: PairTokens | object | None = None,
) -> Diagnosis:
    """Checks a CrossAttention or HierarchicalAttention for faults without changing it.

    Parameters
    ----------
    layer : CrossAttention or HierarchicalAttention
        The layer.
    tokens : tuple of two arrays (B, T, F), or PairTokens, optional
        Typical inputs of the layer. Default: standard normal steps, always the same.

    Raises
    ------
    DataError
        If the tokens do not fit the layer or are not finite.
    """
    chosen = choose_pair_tokens(layer, tokens)
    weights = layer.weights
    not_judged: dict[str, str] = {}
    findings = non_finite_weights(weights)
    if findings:
        not_judged["all others"] = "weights are not finite"
        return Diagnosis(findings, not_judged, chosen)
    reading = read_pair(layer, chosen)
    if not reading.finite:
        not_judged["all others"] = "the layer's output is not finite"
        return Diagnosis([non_finite_output(chosen)], not_judged, chosen)
    for one in reading.attentions:
        findings += _attention(weights, one, chosen, not_judged)
    findings += untrained(weights)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(findings, not_judged, chosen)


def _attention(
    weights: Mapping[str, Array],
    reading: AttentionReading,
    tokens: PairTokens,
    not_judged: dict[str, str],
) -> list[Finding]:
    """Returns the findings about one attention of a layer."""
    name = reading.name
    heads = fold_pair_heads(weights, name)
    findings = _values(heads, name) + _identical(weights, name) + _one_direction(heads, name)
    which = f" of the {name} side" if name else ""
    if tokens.steps[1 if name != "short" else 0] == 1:
        reason = "there is only one key step, which gets the full score"
        not_judged[f"uniform-attention, query-ignored, exploding-logits{which}"] = reason
        return [*findings, _single_step(name)]
    flat = np.flatnonzero(reading.logit_spread <= UNIFORM_SPREAD).tolist()
    findings += _uniform(reading, flat)
    if reading.query_spread is None:
        not_judged[f"query-ignored{which}"] = "there is only one query step"
    else:
        blind = np.flatnonzero(reading.query_spread <= UNIFORM_SPREAD).tolist()
        findings += _blind(reading, [head for head in blind if head not in flat], len(heads))
    findings += _exploding(reading)
    return findings


def _finding(
    attention: str,
    name: str,
    severity: Any,
    found: str,
    meaning: str,
    advice: str,
    evidence: dict[str, Any],
) -> Finding:
    """Returns a finding that names the side of a hierarchical layer."""
    if attention:
        found, evidence = f"{attention} side: {found}", {"side": attention, **evidence}
    return Finding(name, severity, found, meaning, advice, evidence)


def _single_step(name: str) -> Finding:
    return _finding(
        name,
        "single-step",
        "note",
        "there is only one key step in this data",
        "A softmax over one step is 1, so the output does not depend on the query.",
        "Pass longer sequences if the layer should choose between steps.",
        {},
    )


def _uniform(reading: AttentionReading, flat: list[int]) -> list[Finding]:
    heads = len(reading.logit_spread)
    if not flat:
        return []
    spread = float(reading.logit_spread[flat].max())
    evidence = {
        "heads": flat,
        "logit_spread": spread,
        "entropy": float(reading.entropy[flat].min()),
    }
    if len(flat) == heads:
        return [
            _finding(
                reading.name,
                "uniform-attention",
                "error",
                "every query step attends to all key steps equally, in every head",
                f"Logits differ by only {spread:.1g} between key steps. So the output does not "
                "depend on the query: it is the same mean of the values for every step.",
                "First check the data: the key steps may all be equal. Otherwise the query or key "
                "kernel, or a Dense layer before it, is close to zero: train longer, or with less "
                "weight decay.",
                evidence,
            )
        ]
    return [
        _finding(
            reading.name,
            "uniform-heads",
            "warning",
            f"{some_of(flat, heads, 'head')} attend to all key steps equally",
            "Such a head adds the same mean of the values for every query step; its query or key "
            "kernel is close to zero.",
            _TRAIN,
            evidence,
        )
    ]


def _blind(reading: AttentionReading, blind: list[int], heads: int) -> list[Finding]:
    assert reading.query_spread is not None
    if not blind:
        return []
    evidence = {"heads": blind, "query_spread": float(reading.query_spread[blind].max())}
    every = len(blind) == heads
    return [
        _finding(
            reading.name,
            "query-ignored" if every else "query-ignoring-heads",
            "error" if every else "warning",
            "the scores do not depend on the query, in any head"
            if every
            else f"the scores of {some_of(blind, heads, 'head')} do not depend on the query",
            "All query steps of a sequence have the same scores, computed from the keys and the "
            "query bias alone. So the output does not depend on the query."
            if every
            else "Such a head has the same scores for all query steps of a sequence, computed "
            "from the keys and the query bias alone.",
            "First check the data: the query steps may all be equal. Otherwise the query kernel, "
            "or the Dense layer before it, is close to zero: train longer, or with less weight "
            "decay.",
            evidence,
        )
    ]


def _values(heads: Sequence[PairHead], name: str) -> list[Finding]:
    sizes = [float(head.values[0]) for head in heads]
    largest = max(sizes)
    flat = [
        h
        for h, size in enumerate(sizes)
        if size <= CONSTANT_VALUES * max(largest, heads[h].constant)
    ]
    if not flat:
        return []
    evidence = {"heads": flat, "values": [sizes[h] for h in flat]}
    if len(flat) == len(heads):
        what = f"the {name} input" if name else "the second input"
        return [
            _finding(
                name,
                "source-not-read",
                "error",
                f"the output does not depend on the values: no head passes on {what}",
                "The value or output kernel, or the Dense layer before it, is close to zero. So "
                f"the output is constant, and {what} gets no gradient.",
                "Check that the layer was trained and that its output is used. Train longer or "
                "with less weight decay.",
                evidence,
            )
        ]
    return [
        _finding(
            name,
            "constant-heads",
            "warning",
            f"{some_of(flat, len(heads), 'head')} add the same whatever they read",
            "Such a head only adds a constant; its value or output kernel is close to zero.",
            _TRAIN,
            evidence,
        )
    ]


def _identical(weights: Mapping[str, Array], name: str) -> list[Finding]:
    parts = [np.moveaxis(weights[part_name(name, f"{r}.kernel")], 1, 0) for r in PROJECTIONS[:3]]
    parts.append(weights[part_name(name, "output.kernel")])
    rows: Array64 = np.concatenate(
        [np.asarray(part, np.float64).reshape(len(part), -1) for part in parts], axis=1
    )
    # Heads of zeros are identical too, but are reported as more serious findings.
    groups = [group for group in alike_groups(rows) if rows[group].any()]
    if not groups:
        return []
    count = sum(map(len, groups))
    which = listed([" = ".join(map(str, group)) for group in groups])
    return [
        _finding(
            name,
            "identical-heads",
            "warning",
            f"{count:,} of {len(rows):,} heads have equal kernels ({which})",
            "Equal heads have equal scores and equal gradients, so training can never separate "
            "them: each group does the work of one head.",
            "Initialise the kernels of each head with a different seed, or use fewer heads.",
            {"groups": groups},
        )
    ]


def _one_direction(heads: Sequence[PairHead], name: str) -> list[Finding]:
    found = []
    for h, head in enumerate(heads):
        for what in ("logits", "values"):
            singular: Array64 = getattr(head, what)
            if len(singular) >= MOST_DIRECTIONS and singular[1] + singular[0] > 0:
                ratio = float(singular[1] / singular[0])
                if ratio <= ONE_DIRECTION:
                    found.append((h, what, ratio))
    if not found:
        return []
    which = listed([f"{what} of head {h}" for h, what, _ in found])
    return [
        _finding(
            name,
            "one-direction-heads",
            "warning",
            f"collapsed to one direction of the input: {which}",
            "The logit matrix or the value matrix of the head has rank 1 up to rounding: its "
            f"second singular value is {max(f[2] for f in found):.1g} times its first. Such a head "
            "compares or passes on a single number of each step.",
            "Train with less weight decay or a smaller learning rate, or use smaller heads.",
            {"heads": [h for h, _, _ in found], "parts": [what for _, what, _ in found]},
        )
    ]


def _exploding(reading: AttentionReading) -> list[Finding]:
    heads = len(reading.saturated)
    hard = np.flatnonzero(reading.saturated >= SATURATED_SHARE).tolist()
    if not hard:
        return []
    share = float(reading.saturated[hard].min())
    return [
        _finding(
            reading.name,
            "exploding-logits",
            "warning",
            f"{some_of(hard, heads, 'head')} attend to a single key step in at least "
            f"{100 * share:.0f} % of the query steps",
            "The softmax is saturated: its gradient is 0 up to rounding, so queries and keys no "
            "longer learn, and small changes of the input flip the output.",
            "Return to an earlier checkpoint and train with a smaller learning rate, clipped "
            "gradients or weight decay on query and key kernels; or normalise the inputs.",
            {"heads": hard, "saturated": [float(reading.saturated[h]) for h in hard]},
        )
    ]
