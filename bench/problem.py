"""A layer with its input, as files for all contestants, and the layer folded by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.shapes import Shape

Array = NDArray[np.float32]

# In the order of the flat parameter buffer, with their shapes; D = Dv = U.
WEIGHTS = {
    "memory": "SU",
    "query.kernel": "UHU",
    "query.bias": "HU",
    "key.kernel": "UHU",
    "key.bias": "HU",
    "value.kernel": "UHU",
    "value.bias": "HU",
    "output.kernel": "HUU",
    "output.bias": "U",
}


def weight_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all nine weights."""
    sizes = {"S": shape.memory_size, "U": shape.units, "H": shape.num_heads}
    return {name: tuple(sizes[axis] for axis in axes) for name, axes in WEIGHTS.items()}


def _split(flat: Array, shape: Shape) -> dict[str, Array]:
    weights, offset = {}, 0
    for name, sizes in weight_shapes(shape).items():
        size = int(np.prod(sizes))
        weights[name] = flat[offset : offset + size].reshape(sizes)
        offset += size
    return weights


@dataclass(frozen=True)
class Problem:
    """x and grad_y (B, T, U), and the weights by name."""

    shape: Shape
    x: Array
    grad_y: Array
    weights: dict[str, Array]

    @classmethod
    def draw(cls, shape: Shape, seed: int = 20) -> Problem:
        """Return a problem with random values and no zero bias, so that every term matters."""
        rng = np.random.default_rng(seed)
        units = shape.units
        scales = {
            "memory": 1.0,
            "output.kernel": (shape.num_heads * units) ** -0.5,
            **{f"{name}.kernel": units**-0.5 for name in ("query", "key", "value")},
            **{f"{name}.bias": 0.3 for name in ("query", "key", "value", "output")},
        }
        x, grad_y = rng.standard_normal((2, shape.batch, shape.steps, units), np.float32)
        weights = {
            name: np.float32(scales[name]) * rng.standard_normal(sizes, np.float32)
            for name, sizes in weight_shapes(shape).items()
        }
        return cls(shape, x, grad_y, weights)

    def save(self, folder: Path) -> None:
        """Write x.f32, grad_y.f32 and parameters.f32."""
        folder.mkdir(parents=True, exist_ok=True)
        self.x.tofile(folder / "x.f32")
        self.grad_y.tofile(folder / "grad_y.f32")
        flat = np.concatenate([self.weights[name].ravel() for name in WEIGHTS])
        flat.tofile(folder / "parameters.f32")

    @classmethod
    def load(cls, folder: Path, shape: Shape) -> Problem:
        """Read the files of `save`."""
        tokens = (shape.batch, shape.steps, shape.units)
        x, grad_y, flat = (
            np.fromfile(folder / f"{name}.f32", np.float32)
            for name in ("x", "grad_y", "parameters")
        )
        return cls(shape, x.reshape(tokens), grad_y.reshape(tokens), _split(flat, shape))

    def folded(self) -> dict[str, Array]:
        """Return A (U, H·S), c (H·S), B (H·S, U) and bo (U), computed in float64."""
        w: dict[str, Any] = {name: value.astype(np.float64) for name, value in self.weights.items()}
        units = self.shape.units
        keys = np.einsum("su,uhd->hsd", w["memory"], w["key.kernel"]) / np.sqrt(units)
        values = np.einsum("su,uhd->hsd", w["memory"], w["value.kernel"])
        values += w["value.bias"][:, None]
        a = np.einsum("uhd,hsd->uhs", w["query.kernel"], keys)
        c = np.einsum("hd,hsd->hs", w["query.bias"], keys)
        b = np.einsum("hsd,hdu->hsu", values, w["output.kernel"])
        arrays = {
            "a": a.reshape(units, -1),
            "c": c.ravel(),
            "b": b.reshape(-1, units),
            "bo": w["output.bias"],
        }
        return {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}


def result_sizes(shape: Shape, task: str) -> dict[str, int]:
    """Return the number of values of each part of a result, in the order of a result file."""
    tokens = shape.tokens * shape.units
    sizes = {"y": tokens}
    if task == "step":
        sizes["grad x"] = tokens
        for name, found in weight_shapes(shape).items():
            sizes[f"grad {name}"] = int(np.prod(found))
    return sizes


def largest_error(result: NDArray[Any], reference: NDArray[Any], sizes: Mapping[str, int]) -> float:
    """Return the largest error of a result, each part relative to the largest reference value.

    The true gradient of a key bias is 0, so its scale is that of the query bias. A result of
    another size, or with a NaN, has an infinite error.
    """
    if result.shape != reference.shape:
        return float("inf")
    ends = np.cumsum(list(sizes.values()))[:-1]
    parts = dict(zip(sizes, np.split(reference, ends), strict=True))
    scales = {name: float(np.abs(part).max()) for name, part in parts.items()}
    for name in parts:
        if name.endswith("key.bias"):
            scales[name] = scales[name.replace("key.bias", "query.bias")]
    errors = [
        float(np.abs(found - parts[name]).max()) / scales[name]
        for name, found in zip(parts, np.split(result, ends), strict=True)
    ]
    worst = max(errors)
    return worst if all(np.isfinite(errors)) else float("inf")
