"""The parts of an attention that all layers share: initial values, products, softmax, dropout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from memattn.jax.arguments import Array


def glorot_uniform(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw a kernel as Keras does, with Keras' fans for kernels with three axes."""
    return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


def product_of_weights(spec: str, *operands: Array) -> Array:
    """Return an einsum at the highest precision: it is cheap, and its errors affect every token."""
    return jnp.einsum(spec, *operands, precision="highest")


def product_of_tokens(dtype: Any) -> Callable[[str, Array, Array], Array]:
    """Return a function for an einsum of operands in `dtype`, summed in at least float32."""
    wide = jnp.promote_types(dtype, jnp.float32)

    def product(spec: str, left: Array, right: Array) -> Array:
        left, right = left.astype(dtype), right.astype(dtype)
        return jnp.einsum(spec, left, right, preferred_element_type=wide)

    return product


def softmax(
    logits: Array,
    keep: Array | None,
    reads: Array | None,
    unread: Array | float,
    fully_masked: Literal["zero", "uniform"],
) -> Array:
    """Return the scores, the softmax over the kept keys on the last axis.

    Parameters
    ----------
    logits : array
        The logits.
    keep : array of bool, optional
        Broadcasts to `logits`; True where the query may read the key.
    reads : array of bool, optional
        ``keep.any(-1, keepdims=True)``.
    unread : array or float
        The logits to use for a query that keeps no key: 0, or NaN for a non-finite key.
    fully_masked : {"zero", "uniform"}
        The scores of such a query.
    """
    if keep is None or reads is None:
        return jax.nn.softmax(logits)
    scores = jax.nn.softmax(jnp.where(reads, logits, unread), where=keep | ~reads)
    return jnp.where(reads, scores, 0) if fully_masked == "zero" else scores


def drop(scores: Array, rate: float, key: Array) -> Array:
    """Apply dropout to scores: set a fraction `rate` to 0 and scale the others."""
    stays = jax.random.bernoulli(key, 1 - rate, scores.shape)
    return jnp.where(stays, scores / (1 - rate), 0)
