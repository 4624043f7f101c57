"""How much of each axis a program of the Triton kernels holds at a time, by the layer's shape.

Never by the number of tokens: a token has the same bits in every batch. The blocks are those that
ptxas compiles for sm_80 and sm_90 without spilling registers, or nearly so, and whose shared memory
fits; `tests/python/hosts/test_torch_triton_compiled.py` holds them to that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch


class Blocks(NamedTuple):
    """The sides of a program's tiles, and how it runs."""

    tokens: int
    slots: int
    outputs: int  # units that it computes
    units: int  # units that it sums over at a time
    warps: int
    stages: int = 2

    def constants(self, but: str = "") -> dict[str, Any]:
        """Return the constants of a kernel that lacks the one named `but`."""
        sides = {"BN": self.tokens, "BS": self.slots, "BO": self.outputs, "BK": self.units}
        sides.pop(but, None)
        return {**sides, "num_warps": self.warps, "num_stages": self.stages}

    def of_scores(self) -> Blocks:
        """Return the blocks of the kernel that writes scores, whose sums have the same order."""
        return self._replace(slots=min(self.slots, 64))


def power_of_2(size: int) -> int:
    """Return the next power of 2, or 16: the smallest side of a tensor core's matrices."""
    return max(16, 1 << (size - 1).bit_length())


def forward_blocks(units: int, slots: int, dtype: torch.dtype) -> Blocks:
    """Return the blocks of forward."""
    u, s = power_of_2(units), power_of_2(slots)
    if dtype == torch.float32:
        return Blocks(32, min(s, 32), min(u, 128), min(u, 32), 4)
    s = min(s, 256)
    outputs = min(u, 32768 // s, 256)
    wide = max(s, outputs) > 64
    return Blocks(64, s, outputs, min(u, 16384 // s), 8 if wide else 4)


def backward_blocks(units: int, slots: int, dtype: torch.dtype) -> tuple[Blocks, Blocks]:
    """Return the blocks of the gradients of tokens, and of those of weights."""
    u, s = power_of_2(units), power_of_2(slots)
    if dtype == torch.float32:
        blocks = Blocks(32, min(s, 32), min(u, 64), min(u, 32), 4)
        return blocks, blocks
    wide = 8 if max(min(s, 128), min(u, 128)) > 64 else 4
    tokens = Blocks(64, min(s, 128), min(u, 128), min(u, 128), wide)
    return tokens, tokens._replace(slots=min(s, 64))
