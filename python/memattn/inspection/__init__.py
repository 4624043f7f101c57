"""Inspection of a layer: its contents, its attention, its faults, and the repair of a memory.

>>> from memattn import MemoryAugmentedAttention
>>> from memattn.inspection import diagnose, inspect_layer, repair
>>> layer = MemoryAugmentedAttention(16, 8, 2, seed=0)
>>> inspect_layer(layer).reading.usage.shape  # heads, slots
(2, 8)
>>> diagnose(layer).healthy
True

All functions take typical inputs of the layer as `tokens`: (N, U) or (B, T, U), or for a
CrossAttention or HierarchicalAttention a tuple of both inputs, each (B, T, F). The commands
`memattn inspect` and `memattn doctor` run these functions on files. docs/collapse.md describes the
fault that they were made for.
"""

from __future__ import annotations

from memattn.inspection.diagnosis import diagnose
from memattn.inspection.findings import Diagnosis, Finding
from memattn.inspection.overview import Cost, Inspection, cost_of, inspect_layer
from memattn.inspection.pair_overview import PairInspection
from memattn.inspection.pair_tokens import PairTokens, read_pair_tokens, reference_pair_tokens
from memattn.inspection.reading import Reading
from memattn.inspection.similarity import Similarity
from memattn.inspection.symmetry import Repair, repair
from memattn.inspection.tokens import Tokens, read_tokens, reference_tokens

__all__ = [
    "Cost",
    "Diagnosis",
    "Finding",
    "Inspection",
    "PairInspection",
    "PairTokens",
    "Reading",
    "Repair",
    "Similarity",
    "Tokens",
    "cost_of",
    "diagnose",
    "inspect_layer",
    "read_pair_tokens",
    "read_tokens",
    "reference_pair_tokens",
    "reference_tokens",
    "repair",
]
