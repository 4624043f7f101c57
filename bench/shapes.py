"""The shapes that are measured, and the operations counted at each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """The sizes of a layer and its input: B batch, T steps, U units, S memory_size, H num_heads."""

    name: str
    batch: int
    steps: int
    units: int
    memory_size: int
    num_heads: int
    layer = "memory"

    @property
    def axes(self) -> dict[str, int]:
        """Return its sizes by symbol."""
        return dict(zip("BTUSH", self.sizes, strict=True))

    @property
    def tokens(self) -> int:
        """Return N = B·T."""
        return self.batch * self.steps

    @property
    def flops(self) -> int:
        """Return 4·N·U·H·S, the flops of the folded form's two products without the softmax."""
        return 4 * self.tokens * self.units * self.num_heads * self.memory_size

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Return (B, T, U, S, H)."""
        return (self.batch, self.steps, self.units, self.memory_size, self.num_heads)


@dataclass(frozen=True)
class PairShape:
    """The sizes of a layer of two inputs: T1 and T2 steps and F1 and F2 widths of the inputs."""

    name: str
    layer: str  # "cross", or "hierarchical" with steps2 equal to steps1
    batch: int
    steps1: int
    steps2: int
    width1: int
    width2: int
    units: int
    num_heads: int

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int, int]:
        """Return (B, T1, T2, F1, F2, U, H)."""
        widths = (self.width1, self.width2)
        return (self.batch, self.steps1, self.steps2, *widths, self.units, self.num_heads)

    @property
    def axes(self) -> dict[str, int]:
        """Return its sizes by symbol."""
        return dict(zip(("B", "T1", "T2", "F1", "F2", "U", "H"), self.sizes, strict=True))

    def routes(self, task: str) -> list[str]:
        """Return the cheapest route of each attention, by the library's rule."""
        from memattn.layer_options import PairSizes  # environments of peers lack it

        heads = (self.num_heads, self.units, self.units)
        cross = self.layer == "cross"
        widths = (self.width1, self.width2)
        pairs = [widths] if cross else [(width, width) for width in widths]
        return [
            PairSizes(self.units, *pair, *heads, not cross).cheapest_route(
                self.batch, self.steps1, self.steps2, task == "step"
            )
            for pair in pairs
        ]


MEMORY_SHAPES = {
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

PAIR_SHAPES = {
    shape.name: shape
    for shape in (
        PairShape("cross", "cross", 32, 10, 10, 64, 64, 64, 4),
        PairShape("cross96", "cross", 8, 96, 96, 128, 128, 128, 8),
        PairShape("cross512", "cross", 4, 512, 512, 128, 128, 128, 8),
        PairShape("cross1", "cross", 1, 1, 96, 64, 64, 64, 4),
        PairShape("cross-xtft", "cross", 32, 10, 10, 4, 64, 32, 4),
        PairShape("hier-xtft", "hierarchical", 32, 10, 10, 4, 2, 32, 4),
        PairShape("hier", "hierarchical", 32, 10, 10, 64, 64, 64, 4),
    )
}

AnyShape = Shape | PairShape
SHAPES: dict[str, AnyShape] = {**MEMORY_SHAPES, **PAIR_SHAPES}
LAYERS = ("memory", "cross", "hierarchical")

# A training step is forward and backward with the gradients of the inputs and of all weights.
# Nobody trains on one token.
TASKS = {
    "forward": tuple(SHAPES),
    "step": tuple(name for name in SHAPES if name != "token"),
}
