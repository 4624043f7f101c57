"""The option `precision` of the layers: bfloat16 products in Python."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import memattn
from memattn import CrossAttention, HierarchicalAttention, MemoryAugmentedAttention

Made: TypeAlias = Callable[..., Any]


def relative(found: np.ndarray, expected: np.ndarray, base: float | np.ndarray = 0.0) -> float:
    """Return the relative L2 error."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - base))


def layer(**options: object) -> MemoryAugmentedAttention:
    """Return a layer whose attention is visible beside the residual."""
    return MemoryAugmentedAttention(64, 20, 4, seed=1, **options)  # type: ignore[arg-type]


def cross(**options: object) -> CrossAttention:
    """Return a layer for the inputs of `tokens`."""
    return CrossAttention(64, 4, seed=1, **options)  # type: ignore[arg-type]


def hierarchical(**options: object) -> HierarchicalAttention:
    """Return a layer for the inputs of `tokens`."""
    return HierarchicalAttention(64, 4, seed=1, **options)  # type: ignore[arg-type]


def header_of(path: Path) -> dict[str, Any]:
    """Return the header of a safetensors file."""
    content = path.read_bytes()
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header


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


@pytest.mark.parametrize("made", [cross, hierarchical])
def test_layers_of_two_inputs_have_bfloat16(made: Made) -> None:
    plain, rounded, exact = made(), made(precision="bfloat16"), made(dtype="float64")
    exact.set_weights(plain.get_weights())
    x, other = tokens(), tokens()[::-1].copy()
    expected = exact(x, other)
    assert 1e-4 < relative(rounded(x, other), expected) <= 6e-3
    plain.precision = "bfloat16"
    np.testing.assert_array_equal(plain(x, other), rounded(x, other))
    again = pickle.loads(pickle.dumps(rounded))
    assert again.precision == "bfloat16"
    np.testing.assert_array_equal(again(x, other), rounded(x, other))
    with pytest.raises(ValueError, match="with weights of float64"):
        exact.precision = "bfloat16"


def test_precision_can_be_assigned() -> None:
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


def test_config_copies_pickles_and_files_keep_the_precision(tmp_path: Path) -> None:
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


def test_invalid_precisions_are_refused() -> None:
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


@pytest.mark.parametrize("made", [layer, cross, hierarchical])
def test_a_file_of_half_the_size_holds_the_rounded_weights(made: Made, tmp_path: Path) -> None:
    plain = made()
    plain.save(tmp_path / "whole.safetensors")
    plain.save(tmp_path / "half.safetensors", dtype="bfloat16")
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    loaded = memattn.load(tmp_path / "half.safetensors")
    assert loaded.dtype == "float32"
    assert loaded.precision == "float32"
    for name, expected in plain.weights.items():
        found = loaded.weights[name]
        assert not np.any(found.view(np.uint32) & 0xFFFF)  # bfloat16 numbers
        assert np.all(np.abs(found - expected) <= 2.0**-8 * np.abs(expected))
    header = header_of(tmp_path / "half.safetensors")
    assert header.pop("__metadata__")["format_version"] == "2"
    assert {one["dtype"] for one in header.values()} == {"BF16"}
    # Values that are already rounded do not change.
    loaded.save(tmp_path / "again.safetensors", dtype="bfloat16")
    again = (tmp_path / "again.safetensors").read_bytes()
    assert again == (tmp_path / "half.safetensors").read_bytes()


def test_files_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    with pytest.raises(ValueError, match="found 'float16', expected"):
        layer().save(path, dtype="float16")
    with pytest.raises(ValueError, match=r'found \'bfloat16\', expected "float64"'):
        layer(dtype="float64").save(path, dtype="bfloat16")
    large = layer()
    large.set_weights({"output.bias": np.full(64, 3.4e38, np.float32)})
    with pytest.raises(ValueError, match="values that bfloat16 can hold"):
        large.save(path, dtype="bfloat16")
    assert not path.exists()
    layer().save(path, dtype="bfloat16")
    path.write_bytes(path.read_bytes().replace(b'"dtype":"BF16"', b'"dtype":"F16" ', 1))
    with pytest.raises(memattn.FormatError, match="the dtype of format_version 2"):
        memattn.load(path)
