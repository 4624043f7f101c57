"""memattn through its Python face, into an array that is given."""

from __future__ import annotations

import numpy as np

import memattn
from bench.peers.worker import Model
from bench.problem import Problem


def versions() -> dict[str, str]:
    """What runs."""
    return {"memattn": memattn.__version__, "numpy": np.__version__}


def load(problem: Problem, mode: str, task: str, form: str) -> Model:
    """Make ready mode "python"; only task "forward"."""
    shape = problem.shape
    layer = memattn.MemoryAugmentedAttention(shape.units, shape.memory_size, shape.num_heads)
    layer.set_weights(list(problem.weights.values()))
    x, out = problem.x.copy(), np.empty_like(problem.x)
    return Model(lambda: layer(x, out=out), lambda y: [y])
