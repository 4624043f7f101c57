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


def one_step_for_some(kind: str, keys: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a mask (1, 7, keys) where only every third query reads step 2 of the second input.

    Also return which queries the content of that step must not reach (7,), and the step itself in
    three sequences (3, keys).
    """
    other = np.arange(7) % 3 != 1
    keep = np.ones((1, 7, keys), bool)
    keep[0, other, 2] = False
    if kind == "hierarchical":
        other[2] = False  # the step is a query, too
    step = np.zeros((3, keys), bool)
    step[:, 2] = True
    return keep, other, step


def one_query_for_some() -> tuple[np.ndarray, np.ndarray]:
    """Return a mask (1, 7, 4) where query 3 reads odd steps, and (3, 7) marks it in sequence 1."""
    keep = np.ones((1, 7, 4), bool)
    keep[0, 3, ::2] = False
    query = np.zeros((3, 7), bool)
    query[1, 3] = True
    return keep, query


def assert_query_reaches_no_others(found: Any, clean: Any, query: np.ndarray, junk: str) -> None:
    """Compare (y, scores, gradients by name) of two calls that differ in `one_query_for_some`."""
    np.testing.assert_array_equal(found[0][~query], clean[0][~query], junk)
    np.testing.assert_array_equal(found[2]["x1"][~query], clean[2]["x1"][~query], junk)
    of_x2, expected = found[2]["x2"], clean[2]["x2"]
    np.testing.assert_array_equal(of_x2[::2], expected[::2], junk)
    np.testing.assert_array_equal(of_x2[1, ::2], expected[1, ::2], junk)
