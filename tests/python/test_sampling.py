"""Tests of the samples of cases."""

import itertools

import pytest

from . import sampling


@pytest.mark.parametrize("sizes", [(3,), (2, 2), (2, 3, 4), (2, 2, 2, 2, 2), (5, 1, 3)])
def test_a_pairwise_sample_has_every_pair_and_is_small(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = [[f"{axis}{value}" for value in range(size)] for axis, size in enumerate(sizes)]
    product = list(itertools.product(*axes))
    monkeypatch.setattr(sampling, "LONG", False)
    sample = sampling.pairwise(*axes)
    assert set(sample) <= set(product)
    assert len(sample) == len(set(sample))
    for some_axes in itertools.combinations(range(len(sizes)), min(2, len(sizes))):
        wanted = itertools.product(*(axes[axis] for axis in some_axes))
        assert {tuple(row[axis] for axis in some_axes) for row in sample} == set(wanted)
    largest, second = sorted([*sizes, 1])[-1:-3:-1]
    assert len(sample) <= largest * second + len(sizes)
    monkeypatch.setattr(sampling, "LONG", True)
    assert sampling.pairwise(*axes) == product


def test_some_cases_are_every_step_th(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LONG", False)
    assert sampling.some(range(7), 3) == [0, 3, 6]
    monkeypatch.setattr(sampling, "LONG", True)
    assert sampling.some(range(7), 3) == list(range(7))
