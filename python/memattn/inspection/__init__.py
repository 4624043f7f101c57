"""Seeing into a memory: what is in a layer, what is read of it, whether it is ill, and its repair.

>>> from memattn import MemoryAugmentedAttention
>>> from memattn.inspection import diagnose, inspect_layer, repair
>>> layer = MemoryAugmentedAttention(16, 8, 2, seed=0)
>>> inspect_layer(layer).reading.usage.shape  # heads, slots
(2, 8)
>>> diagnose(layer).healthy
True

What is given as tokens, to all of them, is what the layer reads in use, (N, U) or (B, T, U). The
commands `memattn inspect` and `memattn doctor` are these functions on files. docs/collapse.md tells
of the disease that they were made for.
"""

from __future__ import annotations

from memattn.inspection.diagnosis import Diagnosis, Finding, diagnose
from memattn.inspection.overview import Cost, Inspection, cost_of, inspect_layer
from memattn.inspection.reading import Reading
from memattn.inspection.similarity import Similarity
from memattn.inspection.symmetry import Repair, repair
from memattn.inspection.tokens import Tokens, read_tokens, reference_tokens

__all__ = [
    "Cost",
    "Diagnosis",
    "Finding",
    "Inspection",
    "Reading",
    "Repair",
    "Similarity",
    "Tokens",
    "cost_of",
    "diagnose",
    "inspect_layer",
    "read_tokens",
    "reference_tokens",
    "repair",
]
