"""JAX with jit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from bench.pairs import PairProblem
from bench.peers import jax_pairs
from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"jax": jax.__version__, "jaxlib": jax.lib.__version__}


def _published(x: Any, *weights: Any) -> Any:
    """Return the result as published, with a single memory instead of one tiled over the batch."""
    memory, wq, bq, wk, bk, wv, bv, wo, bo = weights
    query = (jnp.einsum("btu,uhd->bthd", x, wq) + bq) * wq.shape[-1] ** -0.5
    key = jnp.einsum("su,uhd->shd", memory, wk) + bk
    value = jnp.einsum("su,uhd->shd", memory, wv) + bv
    scores = jax.nn.softmax(jnp.einsum("bthd,shd->bhts", query, key))
    return x + jnp.einsum("bthd,hdu->btu", jnp.einsum("bhts,shd->bthd", scores, value), wo) + bo


def _two_products(x: Any, a: Any, c: Any, b: Any, bo: Any, heads: int) -> Any:
    tokens = x.reshape(-1, x.shape[-1])
    logits = tokens @ a + c
    scores = jax.nn.softmax(logits.reshape(len(tokens), heads, -1)).reshape(logits.shape)
    return (tokens + scores @ b + bo).reshape(x.shape)


def _folded(x: Any, *weights: Any) -> Any:
    memory, wq, bq, wk, _, wv, bv, wo, bo = weights
    units = memory.shape[1]
    key = jnp.einsum("su,uhd->hsd", memory, wk) * units**-0.5
    value = jnp.einsum("su,uhd->hsd", memory, wv) + bv[:, None]
    a = jnp.einsum("uhd,hsd->uhs", wq, key).reshape(units, -1)
    c = jnp.einsum("hd,hsd->hs", bq, key).ravel()
    b = jnp.einsum("hsd,hdu->hsu", value, wo).reshape(-1, units)
    return _two_products(x, a, c, b, bo, bq.shape[0])


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "jit"."""
    if isinstance(problem, PairProblem):
        return jax_pairs.load(problem, task, form)
    x = jnp.asarray(problem.x)
    weights = [jnp.asarray(problem.weights[name]) for name in WEIGHTS]
    if task == "step":
        layer = _published if form == "published" else _folded
        grad_y = jnp.asarray(problem.grad_y)

        def gradients(x: Any, *weights: Any) -> Any:
            y, pull = jax.vjp(layer, x, *weights)
            return (y, *pull(grad_y))

        step = jax.jit(gradients)
        return Model(lambda: jax.block_until_ready(step(x, *weights)), list)
    if form == "published":
        # The compiler sees the weights as constants.
        forward = jax.jit(lambda x: _published(x, *weights))
    else:
        arrays = problem.folded()
        a, c, b, bo = (jnp.asarray(arrays[name]) for name in ("a", "c", "b", "bo"))
        heads = problem.shape.num_heads
        forward = jax.jit(lambda x: _two_products(x, a, c, b, bo, heads))
    return Model(lambda: forward(x).block_until_ready(), lambda y: [y])
