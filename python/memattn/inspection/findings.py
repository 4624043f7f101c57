"""Findings about layers of any class, and their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from memattn.arrays import Array
from memattn.inspection.pair_tokens import PairTokens
from memattn.inspection.tokens import Tokens

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# A head whose logits differ less than this between slots or steps reads all of them equally. Equal
# slots give the rounding of float32, 1e-7; a new layer of 512 units and 8 heads gives 4e-3.
UNIFORM_SPREAD = 1e-5
# A head counts as exploding if more than this share of the tokens read a single slot or step, up to
# float32's last bit. A head that does so for fewer tokens has learned to choose.
SATURATED_SHARE = 0.9
SHOWN = 8  # most names listed in a sentence


@dataclass(frozen=True)
class Finding:
    """A fault of a layer, or a note about it.

    Attributes
    ----------
    name : str
        A short name for programs, such as ``"identical-slots"``.
    severity : str
        ``"error"``: the layer does not work; ``"warning"``: a part of it does not; ``"note"``:
        worth knowing, but not a fault.
    found, meaning, advice : str
        What was found, what it means, and what to do.
    evidence : dict
        The numbers, as JSON-serialisable values.
    """

    name: str
    severity: Severity
    found: str
    meaning: str
    advice: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Diagnosis:
    """The result of `diagnose`.

    Attributes
    ----------
    findings : list of Finding
        The findings, most severe first.
    not_judged : dict
        Checks that could not be made, by name, with the reason.
    tokens : Tokens or PairTokens
        The inputs that were used.
    """

    findings: list[Finding]
    not_judged: dict[str, str]
    tokens: Tokens | PairTokens

    @property
    def healthy(self) -> bool:
        """Whether all findings are notes."""
        return all(finding.severity == "note" for finding in self.findings)


def non_finite_weights(weights: Mapping[str, Array]) -> list[Finding]:
    """Returns a finding if a weight is NaN or infinite."""
    counts = {name: int(np.sum(~np.isfinite(value))) for name, value in weights.items()}
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        return []
    places = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
    return [
        Finding(
            "non-finite-weights",
            "error",
            f"NaN or infinity in the weights: {places}",
            "The training has diverged, or the file is damaged. Every output that depends on such "
            "a value is NaN.",
            "Return to an earlier checkpoint. Train with a smaller learning rate or with clipped "
            "gradients (clip_by_global_norm). This file cannot be repaired.",
            {"counts": counts},
        )
    ]


def non_finite_output(tokens: Tokens | PairTokens) -> Finding:
    """Returns the finding that finite weights give a non-finite output."""
    return Finding(
        "non-finite-output",
        "error",
        f"the weights are finite, but the output for {tokens.source} is not",
        "Products of weights and tokens exceed the range of the layer's dtype.",
        "Return to an earlier checkpoint. Train with weight decay (AdamW), or scale the input "
        "down. This file cannot be repaired.",
        {},
    )


def untrained(weights: Mapping[str, Array]) -> list[Finding]:
    """Returns a note if all weights that are 0 in a new layer still are 0."""
    zeros = [name for name in weights if name.endswith(".bias") or name == "memory"]
    if not zeros or any(weights[name].any() for name in zeros):
        return []
    memory = "the memory and every bias are" if len(zeros) > 1 else "the memory is"
    return [
        Finding(
            "untrained",
            "note",
            f"{memory if 'memory' in weights else 'every bias is'} exactly 0, as in a new layer",
            "The layer has not been trained. It is new or frozen, or no loss depends on its "
            "output, so that it gets no gradient: fusionlab's SuperXTFT computes its memory layer "
            "and discards the result.",
            "If the model was trained, check that the layer's output is used.",
            {"zeros": zeros},
        )
    ]


def count_of(things: Sequence[object], noun: str) -> str:
    """Returns a count with its noun, such as ``"2 groups"``."""
    return f"{len(things):,} {noun}{'s' * (len(things) > 1)}"


def some_of(chosen: list[int], of: int, noun: str) -> str:
    """Returns the chosen indices in words, such as ``"2 of 4 heads (0, 3)"``."""
    return f"{len(chosen):,} of {of:,} {noun}s ({listed(list(map(str, chosen)))})"


def listed(names: list[str]) -> str:
    """Returns the first names, joined by commas."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
