"""memattn through its Python package, into a given array."""

from __future__ import annotations

import numpy as np

import memattn
from bench.pairs import PairProblem
from bench.peers.worker import Model
from bench.problem import Problem


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"memattn": memattn.__version__, "numpy": np.__version__}


def _load_pair(problem: PairProblem) -> Model:
    """Return a model of a layer of two inputs."""
    shape = problem.shape
    layer: memattn.CrossAttention | memattn.HierarchicalAttention
    widths = (shape.width1, shape.width2)
    if shape.layer == "cross":
        layer = memattn.CrossAttention(
            shape.units, shape.num_heads, source1_units=widths[0], source2_units=widths[1]
        )
    else:
        layer = memattn.HierarchicalAttention(
            shape.units, shape.num_heads, short_units=widths[0], long_units=widths[1]
        )
    layer.set_weights(problem.weights)
    x1, x2, out = problem.x1, problem.x2, np.empty_like(problem.grad_y)
    return Model(lambda: layer(x1, x2, out=out), lambda y: [y])


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "python"; only task "forward"."""
    if isinstance(problem, PairProblem):
        return _load_pair(problem)
    shape = problem.shape
    layer = memattn.MemoryAugmentedAttention(shape.units, shape.memory_size, shape.num_heads)
    layer.set_weights(list(problem.weights.values()))
    x, out = problem.x.copy(), np.empty_like(problem.x)
    return Model(lambda: layer(x, out=out), lambda y: [y])
