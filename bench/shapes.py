"""The shapes that are measured, and what is counted at each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """Sizes of one layer and its input: B batch, T steps, U units, S memory_size, H num_heads."""

    name: str
    batch: int
    steps: int
    units: int
    memory_size: int
    num_heads: int

    @property
    def tokens(self) -> int:
        """N = B·T."""
        return self.batch * self.steps

    @property
    def flops(self) -> int:
        """4·N·U·H·S: those of the two products of the folded form, the softmax left out."""
        return 4 * self.tokens * self.units * self.num_heads * self.memory_size

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """(B, T, U, S, H)."""
        return (self.batch, self.steps, self.units, self.memory_size, self.num_heads)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("token", 1, 1, 64, 20, 4),
        Shape("docs", 32, 10, 64, 20, 4),
        Shape("guide", 4, 15, 64, 30, 4),
        Shape("xtft", 32, 10, 32, 100, 4),
        Shape("big", 64, 96, 128, 128, 8),
        Shape("wide", 8, 256, 512, 256, 8),
    )
}

# A training step is forward and backward with the gradients of x and of all nine weights. One token
# is not what anybody trains on.
TASKS = {
    "forward": tuple(SHAPES),
    "step": tuple(name for name in SHAPES if name != "token"),
}
