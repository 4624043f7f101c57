"""How a command ends otherwise than with its work done or a DataError."""

from __future__ import annotations

from pathlib import Path


class Stopped(Exception):  # noqa: N818  # it is none
    """A signal has ended a training, which can go on from its checkpoint.

    Attributes
    ----------
    number : int
        Of the signal.
    checkpoint : Path
        What there is of the training.
    """

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(number, checkpoint)
        self.number = number
        self.checkpoint = checkpoint
