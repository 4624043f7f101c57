"""CrossAttention and HierarchicalAttention in JAX, as published and folded by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from bench.pairs import WAYS, PairProblem, Way, attentions, fold
from bench.peers.worker import Model


def _published(x1: Any, x2: Any, w: Mapping[str, Any]) -> Any:
    """Return the result as published."""
    s1 = x1 @ w["source1.kernel"] + w["source1.bias"]
    s2 = s1 if x2 is None else x2 @ w["source2.kernel"] + w["source2.bias"]
    query = jnp.einsum("btu,uhd->bthd", s1, w["query.kernel"]) + w["query.bias"]
    key = jnp.einsum("bsu,uhd->bshd", s2, w["key.kernel"]) + w["key.bias"]
    value = jnp.einsum("bsu,uhd->bshd", s2, w["value.kernel"]) + w["value.bias"]
    query *= query.shape[-1] ** -0.5
    scores = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", query, key))
    read = jnp.einsum("bhts,bshd->bthd", scores, value)
    return jnp.einsum("bthd,hdu->btu", read, w["output.kernel"]) + w["output.bias"]


def _folded(x1: Any, x2: Any, w: Mapping[str, Any], way: Way) -> Any:
    """Return the result in the cheapest way, with the weights from `fold`."""
    s1 = x1 @ w["w1"] + w["b1"] if way.dense1 else x1
    if x2 is None and way.dense1 == way.dense2:
        s2 = s1
    else:
        x2 = x1 if x2 is None else x2
        s2 = x2 @ w["w2"] + w["b2"] if way.dense2 else x2
    if way.left:
        query = jnp.einsum("btf,fhg->bthg", s1, w["a"]) + w["a0"]
        logits = jnp.einsum("bthg,bsg->bths", query, s2)
    else:
        key = jnp.einsum("bsg,ghf->bhsf", s2, w["k"])
        logits = jnp.einsum("btf,bhsf->bths", s1, key)
        logits += jnp.einsum("bsg,gh->bhs", s2, w["k0"])[:, None]
    scores = jax.nn.softmax(logits)
    if way.source:
        read = jnp.einsum("bths,bsg->bthg", scores, s2)
        return jnp.einsum("bthg,hgu->btu", read, w["c"]) + w["o"]
    value = jnp.einsum("bsg,ghu->bhsu", s2, w["v"])
    return jnp.einsum("bths,bhsu->btu", scores, value) + w["o"]


def load(problem: PairProblem, task: str, form: str) -> Model:
    """Prepare mode "jit"."""
    shape, routes = problem.shape, problem.routes[task]
    inputs = jnp.asarray(problem.x1), jnp.asarray(problem.x2)
    weights = {name: jnp.asarray(value) for name, value in problem.weights.items()}

    def layer(x1: Any, x2: Any, weights: Any, folded: Any = None) -> Any:
        results = []
        parts = attentions(shape, x1, x2, weights)
        for place, (part, route) in enumerate(zip(parts, routes, strict=True)):
            second = None if part.one_source else part.x2
            if form == "published":
                results.append(_published(part.x1, second, part.weights))
                continue
            way = WAYS[route]
            arrays = folded[place] if folded else fold(part.weights, way, jnp.einsum)
            results.append(_folded(part.x1, second, arrays, way))
        return sum(results[1:], results[0])

    if task == "step":
        grad_y = jnp.asarray(problem.grad_y)

        def gradients(x1: Any, x2: Any, weights: Any) -> Any:
            y, pull = jax.vjp(layer, x1, x2, weights)
            return (y, *pull(grad_y))

        step = jax.jit(gradients)
        return Model(
            lambda: jax.block_until_ready(step(*inputs, weights)),
            lambda found: [*found[:3], *(found[3][name] for name in weights)],
        )
    # The compiler sees the weights as constants.
    arrays = None if form == "published" else jax.tree.map(jnp.asarray, problem.folded())
    forward = jax.jit(lambda x1, x2: layer(x1, x2, weights, arrays))
    return Model(lambda: forward(*inputs).block_until_ready(), lambda y: [y])
