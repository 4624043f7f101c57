"""Converts arguments to NumPy arrays for the compiled part, without a copy if possible."""

from __future__ import annotations

from operator import index
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.uint8]


def as_array(where: str, value: object) -> Array:
    """Return an object with the buffer protocol, DLPack or ``__array__`` as an array.

    Memory is shared if the object allows it.

    Raises
    ------
    TypeError
        If the value is not an array, or is on another device.
    """
    if isinstance(value, np.ndarray):
        return value
    try:
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        array = np.asarray(value)
    except Exception as error:
        msg = f"{where}: found {type(value).__name__} that gives no array ({error})"
        raise TypeError(f"{msg}, expected an array in main memory") from error
    if array.dtype == object:
        found = f"{type(value).__name__} of objects"
        raise TypeError(f"{where}: found {found}, expected an array of numbers")
    return array


def as_numbers(where: str, value: object, dtype: np.dtype[Any]) -> Array:
    """Return the value as a C-contiguous, aligned array of `dtype`, copied only if necessary.

    Raises
    ------
    TypeError
        If the value does not hold real numbers.
    """
    array = as_array(where, value)
    if array.dtype.kind not in "fiub" and not np.can_cast(array.dtype, dtype, "same_kind"):
        raise TypeError(f"{where}: found dtype {array.dtype}, expected real numbers")
    array = np.asarray(array, dtype=dtype, order="C")
    return array if array.flags.aligned else array.copy()


def as_mask(where: str, value: object) -> Mask:
    """Return a mask of booleans or integers as C-contiguous bytes; 1 allows attention.

    Raises
    ------
    TypeError
        If the mask holds floats, since an additive mask of 0 and -inf would mean the opposite.
    """
    array = as_array(where, value)
    if array.dtype.kind not in "biu":
        found = f"dtype {array.dtype}"
        raise TypeError(f"{where}: found {found}, expected booleans, True where a slot may be read")
    if array.dtype != bool:
        array = array != 0
    return np.asarray(array, order="C").view(np.uint8)


def as_place(where: str, value: SupportsIndex, size: int) -> int:
    """Return the position of a call's first step or sequence; the call has `size` of them.

    Raises
    ------
    TypeError
        If the value is not an integer; booleans are refused.
    ValueError
        If it is negative, or the last position exceeds 63 bits.
    """
    place = _as_integer(where, value)
    if not 0 <= place < 2**63 - size:
        raise ValueError(f"{where}: found {place}, expected at least 0 and below 2**63 - {size}")
    return place


def as_count(where: str, value: SupportsIndex) -> int:
    """Return a number of sequences or steps.

    Raises
    ------
    TypeError
        If the value is not an integer; booleans are refused.
    ValueError
        If it is negative or exceeds 63 bits.
    """
    count = _as_integer(where, value)
    if not 0 <= count < 2**63:
        raise ValueError(f"{where}: found {count}, expected at least 0 and below 2**63")
    return count


def check_shape(where: str, found: tuple[int, ...], expected: tuple[int | str, ...]) -> None:
    """Raise ValueError unless the shapes agree; a name in `expected` stands for any size."""
    if found == expected or (
        len(found) == len(expected)
        and all(
            isinstance(want, str) or have == want
            for have, want in zip(found, expected, strict=True)
        )
    ):
        return
    text = ", ".join(str(size) for size in expected) + ("," if len(expected) == 1 else "")
    raise ValueError(f"{where}: found shape {found}, expected ({text})")


def _as_integer(where: str, value: SupportsIndex) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return index(value)
    except TypeError:
        found = type(value).__name__
        raise TypeError(f"{where}: found {found}, expected an integer, at least 0") from None
