"""A layer of two inputs with its inputs, as files for all contestants, and folded by hand.

The counterpart of problem.py for CrossAttention and HierarchicalAttention. Symbols follow
docs/siblings-math.md: T1, T2 steps and F1, F2 widths of the two inputs; D = Dv = U.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.problem import Array
from bench.shapes import PairShape

HEADS = {
    "query.kernel": "UHU",
    "query.bias": "HU",
    "key.kernel": "UHU",
    "key.bias": "HU",
    "value.kernel": "UHU",
    "value.bias": "HU",
    "output.kernel": "HUU",
    "output.bias": "U",
}
ATTENTIONS = {"cross": 1, "hierarchical": 2}
Einsum = Callable[..., Any]


def weight_shapes(shape: PairShape) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights, in the order of the flat parameter buffer."""
    sizes = {"U": shape.units, "H": shape.num_heads}
    heads = {name: tuple(sizes[axis] for axis in axes) for name, axes in HEADS.items()}
    widths = (shape.width1, shape.width2)
    cross = shape.layer == "cross"
    shapes: dict[str, tuple[int, ...]] = {}
    denses = ("source1", "source2") if cross else ("short.dense", "long.dense")
    for name, width in zip(denses, widths, strict=True):
        shapes |= {f"{name}.kernel": (width, shape.units), f"{name}.bias": (shape.units,)}
    if cross:
        return shapes | heads
    for side in ("short", "long"):
        shapes |= {f"{side}.{name}": sizes for name, sizes in heads.items()}
    return shapes


def result_sizes(shape: PairShape, task: str) -> dict[str, int]:
    """Return the number of values of each part of a result, in the order of a result file."""
    sizes = {"y": shape.batch * shape.steps1 * shape.units}
    if task == "step":
        sizes["grad x1"] = shape.batch * shape.steps1 * shape.width1
        sizes["grad x2"] = shape.batch * shape.steps2 * shape.width2
        for name, found in weight_shapes(shape).items():
            sizes[f"grad {name}"] = int(np.prod(found))
    return sizes


@dataclass(frozen=True)
class Attention:
    """An attention of a layer: its weights under the names of CrossAttention, and its inputs."""

    weights: dict[str, Any]
    x1: Any
    x2: Any
    one_source: bool

    @property
    def num_heads(self) -> int:
        """Return H."""
        heads: int = self.weights["output.kernel"].shape[0]
        return heads


def attentions(shape: PairShape, x1: Any, x2: Any, weights: Mapping[str, Any]) -> list[Attention]:
    """Return the attentions whose results a layer adds; arrays may be of any framework."""
    if shape.layer == "cross":
        return [Attention(dict(weights), x1, x2, one_source=False)]
    found = []
    for side, x in (("short", x1), ("long", x2)):
        heads = {name: weights[f"{side}.{name}"] for name in HEADS}
        for kind in ("kernel", "bias"):
            dense = weights[f"{side}.dense.{kind}"]
            heads |= {f"source1.{kind}": dense, f"source2.{kind}": dense}
        found.append(Attention(heads, x, x, one_source=True))
    return found


@dataclass(frozen=True)
class Way:
    """A way of docs/siblings-math.md that is folded by hand."""

    dense1: bool
    dense2: bool
    left: bool  # otherwise right
    source: bool  # otherwise value


# By the library's names of the routes.
WAYS = {
    "left_read": Way(False, False, True, True),
    "right_read": Way(False, False, False, True),
    "right_value": Way(False, False, False, False),
    "right_value_dense2": Way(False, True, False, False),
    "left_read_dense": Way(True, True, True, True),
    "left_read_dense1": Way(True, False, True, True),
}


def fold(w: Mapping[str, Any], way: Way, einsum: Einsum) -> dict[str, Any]:
    """Return the products of weights that a way needs, with the einsum of NumPy, PyTorch or JAX.

    ``w1, b1`` and ``w2, b2`` are the Denses that remain; ``a`` (G1, H, G2) with ``a0`` (H, G2), or
    for the right ``k`` (G2, H, G1) with ``k0`` (G2, H); ``c`` (H, G2, U), or ``v`` (G2, H, U); and
    ``o`` (U), the part that every token gets, since without masks a row of scores sums to 1.
    """
    parts: dict[str, Any] = {}
    query, bias = w["query.kernel"], w["query.bias"]
    key, value, constant = w["key.kernel"], w["value.kernel"], w["value.bias"]
    if way.dense1:
        parts |= {"w1": w["source1.kernel"], "b1": w["source1.bias"]}
    else:
        bias = bias + einsum("u,uhd->hd", w["source1.bias"], query)
        query = einsum("fu,uhd->fhd", w["source1.kernel"], query)
    if way.dense2:
        parts |= {"w2": w["source2.kernel"], "b2": w["source2.bias"]}
    else:
        constant = constant + einsum("u,uhd->hd", w["source2.bias"], value)
        key = einsum("fu,uhd->fhd", w["source2.kernel"], key)
        value = einsum("fu,uhd->fhd", w["source2.kernel"], value)
    key = key * key.shape[-1] ** -0.5
    if way.left:
        parts["a"] = einsum("fhd,ghd->fhg", query, key)
        parts["a0"] = einsum("hd,ghd->hg", bias, key)
    else:
        parts["k"] = einsum("ghd,fhd->ghf", key, query)
        parts["k0"] = einsum("ghd,hd->gh", key, bias)
    name, order = ("c", "hgu") if way.source else ("v", "ghu")
    parts[name] = einsum(f"ghd,hdu->{order}", value, w["output.kernel"])
    parts["o"] = w["output.bias"] + einsum("hd,hdu->u", constant, w["output.kernel"])
    return parts


@dataclass(frozen=True)
class PairProblem:
    """x1 (B, T1, F1), x2 (B, T2, F2), grad_y (B, T1, U), the weights by name, and the routes.

    `routes` has the cheapest route of each attention, by task.
    """

    shape: PairShape
    x1: Array
    x2: Array
    grad_y: Array
    weights: dict[str, Array]
    routes: dict[str, list[str]]

    @classmethod
    def draw(cls, shape: PairShape, seed: int = 20) -> PairProblem:
        """Return a problem with random values and no zero bias, so that every term matters."""
        rng = np.random.default_rng(seed)

        def scale(name: str, sizes: tuple[int, ...]) -> float:
            if name.endswith("bias"):
                return 0.3
            inputs = sizes[0] * sizes[1] if name.endswith("output.kernel") else sizes[0]
            return 1 / math.sqrt(inputs)

        weights = {
            name: np.float32(scale(name, sizes)) * rng.standard_normal(sizes, np.float32)
            for name, sizes in weight_shapes(shape).items()
        }
        x1, x2, grad_y = (rng.standard_normal(sizes, np.float32) for sizes in _inputs(shape))
        return cls(shape, x1, x2, grad_y, weights, {task: shape.routes(task) for task in TASKS})

    def save(self, folder: Path) -> None:
        """Write x1.f32, x2.f32, grad_y.f32, parameters.f32 and routes.json."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("x1", "x2", "grad_y"):
            getattr(self, name).tofile(folder / f"{name}.f32")
        flat = np.concatenate([weight.ravel() for weight in self.weights.values()])
        flat.tofile(folder / "parameters.f32")
        (folder / "routes.json").write_text(json.dumps(self.routes))

    @classmethod
    def load(cls, folder: Path, shape: PairShape) -> PairProblem:
        """Read the files of `save`."""
        inputs = [
            np.fromfile(folder / f"{name}.f32", np.float32).reshape(sizes)
            for name, sizes in zip(("x1", "x2", "grad_y"), _inputs(shape), strict=True)
        ]
        flat = np.fromfile(folder / "parameters.f32", np.float32)
        weights, offset = {}, 0
        for name, sizes in weight_shapes(shape).items():
            size = int(np.prod(sizes))
            weights[name] = flat[offset : offset + size].reshape(sizes)
            offset += size
        routes = json.loads((folder / "routes.json").read_text())
        return cls(shape, inputs[0], inputs[1], inputs[2], weights, routes)

    def attentions(self) -> list[Attention]:
        """Return its attentions."""
        return attentions(self.shape, self.x1, self.x2, self.weights)

    def folded(self) -> list[dict[str, Array]]:
        """Return the folded weights of each attention for a forward pass, computed in float64."""
        found = []
        for part, route in zip(self.attentions(), self.routes["forward"], strict=True):
            wide = {name: value.astype(np.float64) for name, value in part.weights.items()}
            arrays = fold(wide, WAYS[route], lambda *args: np.einsum(*args, optimize=True))
            found.append(
                {name: np.ascontiguousarray(value, np.float32) for name, value in arrays.items()}
            )
        return found


TASKS = ("forward", "step")


def _inputs(shape: PairShape) -> tuple[tuple[int, ...], ...]:
    return (
        (shape.batch, shape.steps1, shape.width1),
        (shape.batch, shape.steps2, shape.width2),
        (shape.batch, shape.steps1, shape.units),
    )
