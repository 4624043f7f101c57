"""Numbers for masked steps and slots: whatever these hold must not matter, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np

SOME_JUNK = ("nan", "-inf", "largest")  # each another way to fail
JUNK = ("nan", "inf", "-inf", "largest", "-largest", "nearly", "1e30", "denormal", "mixed")


def filled(array: np.ndarray, where: np.ndarray, junk: str) -> np.ndarray:
    """Return the array with junk in the rows (...,) of (..., width) that `where` picks."""
    limits = np.finfo(array.dtype)
    numbers: dict[str, Any] = {
        "nan": np.nan,
        "inf": np.inf,
        "-inf": -np.inf,
        "largest": limits.max,
        "-largest": -limits.max,
        "nearly": limits.max * array.dtype.type(0.999),  # 3.4e38 of float32
        "1e30": 1e30,
        "denormal": limits.smallest_subnormal,
    }
    values = np.array(list(numbers.values()) if junk == "mixed" else [numbers[junk]], array.dtype)
    found = array.copy()
    rows = found[where]
    found[where] = np.resize(values, rows.shape)
    return found


def one_step_for_some(queries: int, keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask (1, queries, keys) where every third query reads step 2, and which do."""
    reads_it = np.arange(queries) % 3 == 1
    keep = np.ones((1, queries, keys), bool)
    keep[0, ~reads_it, 2] = False
    return keep, reads_it
