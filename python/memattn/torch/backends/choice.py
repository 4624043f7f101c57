"""Chooses the backend of a call, and explains the choice."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from torch import Tensor

from memattn.torch.backends import cpu, plain, triton
from memattn.torch.kinds import Kind
from memattn.torch.weights import Weights

Wanted = Literal["auto", "plain", "triton"]
VARIABLE = "MEMATTN_TORCH_BACKEND"
_NAMES = ("auto", "plain", "triton")
# Read once, as PyTorch reads its variables, since a compiled graph could not follow a change.
_environment = os.environ.get(VARIABLE, "auto")


class BackendChoice(NamedTuple):
    """The backend that computes a call, and the reason."""

    backend: str  # "cpu", "plain" or "triton"
    reason: str

    def __str__(self) -> str:
        return f"{self.backend}: {self.reason}"


def as_wanted(value: Any) -> Wanted:
    """Return a value of the property `backend`, checked.

    Raises
    ------
    ValueError
        If it is not a backend.
    """
    if value not in _NAMES:
        raise ValueError(f'backend: found {value!r}, expected "auto", "plain" or "triton"')
    return cast(Wanted, value)


def choose(
    wanted: Wanted, kind: Kind, inputs: Sequence[Tensor], weights: Weights, *, drops: bool
) -> tuple[Any, str]:
    """Return the backend of a call, and the reason; `drops` says whether it has dropout.

    Raises
    ------
    ValueError
        If the environment variable does not name a backend.
    """
    said = f'backend="{wanted}"'
    if wanted == "auto" and _environment != "auto":
        if _environment not in _NAMES:
            expected = '"auto", "plain" or "triton"'
            raise ValueError(f"{VARIABLE}: found {_environment!r}, expected {expected}")
        wanted = cast(Wanted, _environment)
        said = f"{VARIABLE}={wanted}"
    if wanted == "plain":
        return plain, said
    on_cpu = inputs[0].is_cpu
    against = ""
    if wanted == "triton" or not on_cpu:
        if wanted == "auto":
            against = triton.untimed(inputs[0])
        against = against or triton.fits(kind, inputs, weights, drops=drops)
        if not against:
            return triton, said if wanted == "triton" else "this kind of device has been timed"
    if on_cpu:
        unfit = cpu.fits(kind, inputs, weights, drops=drops)
        if not unfit:
            return cpu, cpu.reason(inputs) + (f"; {against}" if against else "")
        against = f"{unfit}; {against}" if against else unfit
    return plain, against
