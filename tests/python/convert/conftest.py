"""Fixtures for the tests of memattn.convert."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memattn import MemoryAugmentedAttention

from .support import GOLDEN


@pytest.fixture
def golden() -> Path:
    """The folder of files that Keras 2.15 with fusionlab and Keras 3 wrote."""
    return GOLDEN


@pytest.fixture
def layer() -> MemoryAugmentedAttention:
    """A layer whose sizes all differ, so that a transposed array has the wrong shape."""
    return MemoryAugmentedAttention(
        6, 5, 2, key_dim=3, value_dim=4, dropout=0.25, fully_masked="uniform", seed=11
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Returns a function that writes bytes to a file and returns its path."""

    def call(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return call
