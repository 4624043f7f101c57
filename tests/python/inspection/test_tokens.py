"""Tokens from arrays and files, and errors for those that do not fit the layer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention
from memattn.errors import DataError
from memattn.inspection import read_tokens, reference_tokens
from memattn.inspection.tokens import MAX_REFERENCE_TOKENS, TOKENS_A_SLOT, as_tokens

Write = Callable[[str | bytes], Path]

LAYER = MemoryAugmentedAttention(3, 4, 2, seed=0)
VALUES = np.arange(30.0).reshape(2, 5, 3)


def test_reference_tokens_are_always_the_same() -> None:
    one, two = reference_tokens(LAYER), reference_tokens(LAYER)
    np.testing.assert_array_equal(one.values, two.values)
    assert one.is_reference
    assert one.values.shape == (len(one), 3)
    assert abs(one.values.mean()) < 0.05
    assert abs(one.values.std() - 1) < 0.05


def test_reference_tokens_grow_with_the_slots_up_to_a_limit() -> None:
    many = MemoryAugmentedAttention(2, 500, 1, seed=0)
    assert len(reference_tokens(many)) >= TOKENS_A_SLOT * 500
    most = MemoryAugmentedAttention(1, 100_000, 1, seed=0)
    assert len(reference_tokens(most)) == MAX_REFERENCE_TOKENS


@pytest.mark.parametrize("values", [VALUES, VALUES[0], VALUES.astype(int), VALUES > 3])
def test_arrays_of_two_and_three_axes_are_tokens(values: np.ndarray) -> None:
    tokens = as_tokens(values, LAYER)
    np.testing.assert_array_equal(tokens.values, values.reshape(-1, 3))
    assert tokens.steps == 5
    assert not tokens.is_reference


def test_chunks_hold_every_token_once() -> None:
    tokens = as_tokens(VALUES, LAYER)
    chunks = list(tokens.chunks(4))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(chunks), tokens.values)


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (np.zeros((5, 4)), "shape", r"shape \(5, 4\), expected tokens of the layer's 3 units"),
        (np.zeros(3), "shape", r"shape \(3,\)"),
        (np.zeros((1, 2, 3, 3)), "shape", "shape"),
        (np.zeros((0, 3)), "shape", r"shape \(0, 3\)"),
        (np.zeros((2, 3), complex), "not-a-number", "complex128"),
        (np.array([["a", "b", "c"]]), "not-a-number", "<U1"),
        (np.array([[1, 2, 3], [1, np.nan, 3]]), "not-finite", "in token 1"),
        (np.array([[1, 2, 1e300]]), "not-finite", "numbers that float32 can hold"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(values: np.ndarray, kind: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        as_tokens(values, LAYER)
    assert caught.value.kind == kind


def test_a_non_finite_token_far_into_the_array_is_found() -> None:
    values = np.zeros((700_000, 3), np.float32)
    values[654_321, 2] = np.inf
    with pytest.raises(DataError, match="in token 654321,"):
        as_tokens(values, LAYER)


def test_csv_rows_are_steps_and_numeric_columns_units(write_csv: Write) -> None:
    path = write_csv("time,a,note,b,c\n2024-01-01,1,x,2,3\n2024-01-02,4,y,5,6\n")
    tokens = read_tokens(path, LAYER)
    np.testing.assert_array_equal(tokens.values, [[1, 2, 3], [4, 5, 6]])
    assert tokens.steps == 2
    assert tokens.source == "2 rows of data.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", r'2 columns of numbers \("a", "b"\), expected 3, one for each unit'),
        ("a,b,c,d\n1,2,3,4\n", "4 columns of numbers"),
        ("a,b,c\nx,y,z\n", "0 columns of numbers, expected 3"),
        ("a,b,c\n1,2,3\n1,,3\n", "empty cell"),
    ],
)
def test_a_csv_file_that_does_not_fit_is_refused(write_csv: Write, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_tokens(write_csv(text), LAYER)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.NPY"])
def test_array_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        (np.savez if name == "x.npz" else np.save)(file, VALUES)
    tokens = read_tokens(path, LAYER)
    np.testing.assert_array_equal(tokens.values, VALUES.reshape(-1, 3))
    assert tokens.steps == 5
    assert tokens.source == f"10 tokens of {name}"
