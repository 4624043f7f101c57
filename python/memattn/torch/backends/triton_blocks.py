"""Block sizes of the Triton kernels, along each axis.

They depend on the layer and the kind of GPU, never on the number of tokens, so that a token gives
the same bits in every batch. Registers limit the blocks: with these sizes, ptxas spills almost none
for sm_80 and sm_90, as ``tests/python/hosts/test_torch_triton_graphs.py`` checks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

# Bytes of shared memory for two stages of loads, available on server GPUs from sm_80. One stage
# needs less than the 99 KiB of sm_86, sm_89 and sm_120.
ROOMY = 160 * 1024


class Blocks(NamedTuple):
    """The tile sizes of a program, and its launch options."""

    tokens: int
    slots: int
    outputs: int  # units that a program computes
    units: int  # units per step of a sum over units
    warps: int
    stages: int  # loads in flight while products are computed

    def constants(self, but: str = "") -> dict[str, Any]:
        """Return the constants of a kernel, without the one named `but`."""
        sides = {"BN": self.tokens, "BS": self.slots, "BO": self.outputs, "BK": self.units}
        sides.pop(but, None)
        return {**sides, "num_warps": self.warps, "num_stages": self.stages}

    def of_scores(self) -> Blocks:
        """Return the blocks of the kernel that writes scores, with sums in the same order."""
        return self._replace(tokens=min(self.tokens, 64), slots=min(self.slots, 64))


def power_of_2(size: int) -> int:
    """Return the next power of 2, at least 16, the smallest side of a tensor core's matrices."""
    return max(16, 1 << (size - 1).bit_length())


def forward_blocks(
    units: int, slots: int, dtype: torch.dtype, *, roomy: bool, busy: bool
) -> Blocks:
    """Return the blocks of the forward kernel; `busy` is a call with masks or dropout."""
    u, s = power_of_2(units), power_of_2(slots)
    if dtype == torch.float32:  # without tensor cores, whole rows of tiles are kept in registers
        return Blocks(32, min(s, 32), min(u, 128), min(u, 32), 4, 1)
    s = min(s, 256)
    outputs = min(u, 32768 // s, 256)
    wide = max(s, outputs)
    # Twice as many tokens per program halve the reads of A and B from L2, but leave no registers
    # for masks.
    return Blocks(
        tokens=128 if wide == 128 and not busy else 64,
        slots=s,
        outputs=outputs,
        units=min(u, 16384 // s),
        warps=8 if wide > 64 else 4,
        stages=2 if roomy else 1,
    )


def backward_blocks(
    units: int, slots: int, dtype: torch.dtype, *, roomy: bool
) -> tuple[Blocks, Blocks]:
    """Return the blocks of `tokens_kernel` and of `weights_kernel`."""
    u, s = power_of_2(units), power_of_2(slots)
    if dtype == torch.float32:
        blocks = Blocks(32, min(s, 32), min(u, 64), min(u, 32), 4, 1)
        return blocks, blocks
    s, u = min(s, 128), min(u, 128)
    of_tokens = Blocks(64, s, u, u, 8 if max(s, u) > 64 else 4, 2 if roomy else 1)
    return of_tokens, of_tokens._replace(slots=min(s, 64))
