"""The layers' `precision`: bfloat16 products in Python."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import memattn
from memattn import MemoryAugmentedAttention


def relative(found: np.ndarray, expected: np.ndarray, base: float | np.ndarray = 0.0) -> float:
    """Return the relative L2 error."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - base))


def layer(**options: object) -> MemoryAugmentedAttention:
    """Return a layer whose attention is seen beside the residual."""
    return MemoryAugmentedAttention(64, 20, 4, seed=1, **options)  # type: ignore[arg-type]


def tokens() -> np.ndarray:
    """Return inputs (5, 11, 64)."""
    return np.random.default_rng(1).standard_normal((5, 11, 64), np.float32)


def test_bfloat16_is_near_float64_and_not_float32() -> None:
    plain, rounded = layer(), layer(precision="bfloat16")
    exact = layer(dtype="float64")
    exact.set_weights(plain.get_weights())
    x = tokens()
    assert relative(rounded(x), exact(x)) <= 2e-3
    assert relative(rounded(x), exact(x), x) <= 6e-3
    assert relative(rounded(x), exact(x)) > 10 * relative(plain(x), exact(x))


def test_it_is_changed_by_assignment() -> None:
    changed, x = layer(), tokens()
    plain = changed(x)
    changed.precision = "bfloat16"
    assert changed.precision == "bfloat16"
    np.testing.assert_array_equal(changed(x), layer(precision="bfloat16")(x))
    changed.precision = "float32"
    np.testing.assert_array_equal(changed(x), plain)


def test_training_and_backward_are_float32() -> None:
    plain, rounded, x = layer(dropout=0.5), layer(dropout=0.5, precision="bfloat16"), tokens()
    np.testing.assert_array_equal(rounded(x, training=True), plain(x, training=True))
    found = rounded.backward(x, x, training=True)
    for name, expected in plain.backward(x, x, training=True).items():
        np.testing.assert_array_equal(found[name], expected)


def test_config_copies_pickles_and_files_keep_it(tmp_path: Path) -> None:
    rounded, x = layer(precision="bfloat16"), tokens()
    assert "precision" not in layer().get_config()
    assert rounded.get_config()["precision"] == "bfloat16"
    assert "precision='bfloat16'" in repr(rounded)
    rounded.save(tmp_path / "layer.safetensors")
    others = [
        MemoryAugmentedAttention.from_config(rounded.get_config()),
        copy.deepcopy(rounded),
        pickle.loads(pickle.dumps(rounded)),
        memattn.load(tmp_path / "layer.safetensors"),
    ]
    for other in others:
        assert other.precision == "bfloat16"
        np.testing.assert_array_equal(other(x), rounded(x))


def test_wrong_values_are_refused() -> None:
    expected = 'precision: found \'float16\', expected "float32" or "bfloat16"'
    with pytest.raises(ValueError, match=expected):
        layer(precision="float16")
    with pytest.raises(ValueError, match=expected):
        layer().precision = "float16"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="with weights of float64"):
        layer(dtype="float64", precision="bfloat16")
    double = layer(dtype="float64")
    with pytest.raises(ValueError, match="with weights of float64"):
        double.precision = "bfloat16"
    assert double.precision == "float32"
