"""One attention between two inputs, on each of its routes, in JAX's own operators.

Formulas and names are those of `docs/siblings-math.md`: T1 and T2 are the steps of the two inputs,
F1 and F2 their widths. G1 and G2 are the widths in which a route uses the inputs: F of an input
itself, U after its Dense layer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from memattn.jax.arguments import Array, Params
from memattn.jax.operators import drop, product_of_tokens, product_of_weights, softmax
from memattn.layer_options import PAIR_WAYS, PairRoute, PairSizes


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prepared:
    """Products of the parameters of one attention, folded for one route.

    A pytree, so that it passes through ``jax.jit`` and ``jax.vmap`` as arrays do; the route is
    static.

    Attributes
    ----------
    arrays : dict of arrays
        ``query``, ``key``, ``value`` and ``output``, the matrices by which inputs are multiplied,
        as far as the route needs them, and biases.
    route : str
        The route that the arrays are for.
    """

    arrays: Params
    route: PairRoute = field(metadata={"static": True})


def dense_shapes(name: str, width: int, units: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the Dense layer of an input, by name."""
    return {f"{name}.kernel": (width, units), f"{name}.bias": (units,)}


def head_shapes(sizes: PairSizes) -> dict[str, tuple[int, ...]]:
    """Return the shapes of query, key, value and output, by name and in the order of the files."""
    units, _, _, heads, key_dim, value_dim, _ = sizes
    shapes: dict[str, tuple[int, ...]] = {}
    for name, width in (("query", key_dim), ("key", key_dim), ("value", value_dim)):
        shapes[f"{name}.kernel"] = (units, heads, width)
        shapes[f"{name}.bias"] = (heads, width)
    return {**shapes, "output.kernel": (heads, value_dim, units), "output.bias": (units,)}


@functools.cache
def prepared_shapes(
    sizes: PairSizes, use_bias: bool, route: PairRoute
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays that `fold` returns, by name."""
    shapes = {
        **dense_shapes("source1", sizes.source1_units, sizes.units),
        **dense_shapes("source2", sizes.source2_units, sizes.units),
        **head_shapes(sizes),
    }
    weights = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in shapes.items()
        if use_bias or not name.endswith(".bias")
    }
    made = jax.eval_shape(lambda w: fold(w, jnp.float32, route).arrays, weights)
    return {name: array.shape for name, array in made.items()}


def fold(weights: Mapping[str, Array], dtype: Any, route: PairRoute) -> Prepared:
    """Compute the products of weights that a route multiplies inputs by.

    Parameters
    ----------
    weights : mapping of names to arrays
        ``source1.kernel``, ``source2.kernel``, ``query.kernel`` and so on, with all biases or none.
    dtype : dtype
        The dtype of the result, which is computed in at least float32.
    route : str
        The name of the route.

    Raises
    ------
    ValueError
        If there is no such route.
    """
    if route not in PAIR_WAYS:
        known = ", ".join(f'"{name}"' for name in PAIR_WAYS)
        raise ValueError(f"prepare: route: found {route!r}, expected one of {known}")
    way = PAIR_WAYS[route]
    wide = jnp.promote_types(dtype, jnp.float32)
    w = {name: array.astype(wide) for name, array in weights.items()}
    product = product_of_weights
    biased = "output.bias" in w
    arrays: Params = {}

    # Weights of each head that apply to the inputs in the form in which the route uses them.
    query, key, value = (w[f"{name}.kernel"] for name in ("query", "key", "value"))
    query_bias, value_bias = (w.get(f"{name}.bias") for name in ("query", "value"))
    if way.dense1:
        arrays |= {name: w[name] for name in w if name.startswith("source1.")}
    else:
        if biased:
            query_bias += product("u,uhd->hd", w["source1.bias"], query)
        query = product("fu,uhd->fhd", w["source1.kernel"], query)
    if way.dense2:
        arrays |= {name: w[name] for name in w if name.startswith("source2.")}
    else:
        if biased:
            value_bias += product("u,uhd->hd", w["source2.bias"], value)
        key = product("fu,uhd->fhd", w["source2.kernel"], key)
        value = product("fu,uhd->fhd", w["source2.kernel"], value)

    # key.bias and source2.bias add the same number to all logits of a row, which the softmax
    # cancels.
    scale = key.shape[-1] ** -0.5
    if way.logits == "project":
        arrays |= {"query": scale * query, "key": key}
        if biased:
            arrays["query.bias"] = scale * query_bias
    elif way.logits == "left":
        arrays["query"] = scale * product("fhd,ghd->fhg", query, key)
        if biased:
            arrays["query.bias"] = scale * product("hd,ghd->hg", query_bias, key)
    else:
        arrays["key"] = scale * product("ghd,fhd->ghf", key, query)
        if biased:
            arrays["key.bias"] = scale * product("ghd,hd->gh", key, query_bias)
    output = w["output.kernel"]
    if way.read == "project":
        arrays |= {"value": value, "output": output}
        if biased:
            arrays["value.bias"] = value_bias
    else:
        both = product("ghd,hdu->ghu", value, output)
        name = "output" if way.read == "source" else "value"
        arrays[name] = both.swapaxes(0, 1) if way.read == "source" else both
        if biased:
            arrays["value.bias"] = product("hd,hdu->hu", value_bias, output)
    if biased:
        arrays["output.bias"] = w["output.bias"]
    return Prepared({name: array.astype(dtype) for name, array in arrays.items()}, route)


def attend(
    prepared: Prepared,
    x1: Array,
    x2: Array | None,
    keep: Array | None,
    *,
    dtype: Any,
    fully_masked: Literal["zero", "uniform"],
    dropout: float = 0.0,
    dropout_key: Array | None = None,
) -> tuple[Array, Array]:
    """Run one attention.

    Parameters
    ----------
    prepared : Prepared
        The result of `fold`.
    x1 : array (B, T1, F1)
        The input that attends (queries).
    x2 : array (B, T2, F2), optional
        The input that is attended to. None for self-attention: `x1`, after one Dense layer.
    keep : array of bool (B, T1, T2), optional
        The mask; True keeps.
    dtype : dtype
        The dtype of the operands of products.
    fully_masked : {"zero", "uniform"}
        The scores of a query whose keys are all masked.
    dropout : float
        The dropout rate of scores, used if there is a `dropout_key`.
    dropout_key : key of jax.random, optional
        The random key of dropout.

    Returns
    -------
    tuple of arrays
        The result (B, T1, U) and the scores before dropout (B, H, T1, T2), in `dtype` or float32,
        whichever is wider.
    """
    w, way = prepared.arrays, PAIR_WAYS[prepared.route]
    one_source = x2 is None
    x2 = x1 if x2 is None else x2
    wide = jnp.promote_types(dtype, jnp.float32)
    product = product_of_tokens(dtype)
    if x2.shape[1] == 0:  # there are no keys
        return _of_no_key(w, x1, wide)

    reads = None
    finite1: Array | None = None
    finite2: Array | None = None
    if keep is not None:
        reads = keep.any(-1, keepdims=True)  # (B, T1, 1): whether a query has a key to read
        seen = keep | ~reads if fully_masked == "uniform" else keep
        is_read = seen.any(1)[..., None]  # (B, T2, 1): whether a query reads the key
        used = (reads | is_read,) * 2 if one_source else (reads, is_read)
        finite1, finite2 = (jnp.isfinite(x).all(-1, keepdims=True) for x in (x1, x2))
        x1, x2 = jnp.where(finite1 & used[0], x1, 0), jnp.where(finite2 & used[1], x2, 0)

    # A step that only some queries read must not affect the others, not even by 0·NaN. So a step
    # that is not finite, or whose operands overflow, counts as 0 in products, and its logits become
    # NaN instead.
    def guarded(operand: Array, finite: Array | None) -> tuple[Array, Array | None]:
        if finite is None:
            return operand, None
        axes = tuple(range(2, operand.ndim))
        good = jnp.isfinite(operand.astype(dtype)).all(axes, keepdims=True)
        return jnp.where(good, operand, 0), finite & good.reshape(finite.shape)

    def dense(name: str, x: Array) -> Array:
        if f"{name}.kernel" not in w:
            return x
        return _plus(product("btf,fu->btu", x, w[f"{name}.kernel"]), w.get(f"{name}.bias"))

    s1 = dense("source1", x1)
    s2 = s1 if one_source and way.dense1 == way.dense2 else dense("source2", x2)
    s1, finite1 = guarded(s1, finite1)
    s2, finite2 = guarded(s2, finite2)

    # Letters: b batch, t queries, s keys, h heads. If all heads share the keys, rows (t, h) are the
    # rows of a single product.
    rows = "bths" if way.logits == "left" else "bhts"
    queries, keys = s1, s2
    if way.logits != "right":
        queries = _plus(product("btg,ghi->bthi", s1, w["query"]), w.get("query.bias"))
        queries, finite1 = guarded(queries, finite1)
    if way.logits != "left":
        keys, finite2 = guarded(product("bsg,ghi->bshi", s2, w["key"]), finite2)
    values = s2
    if way.read != "source":
        values = _plus(product("bsg,ghj->bshj", s2, w["value"]), w.get("value.bias"))
        values, finite2 = guarded(values, finite2)
    of_queries = "bti" if way.logits == "right" else "bthi"
    of_keys = "bsi" if way.logits == "left" else "bshi"
    logits = product(f"{of_queries},{of_keys}->{rows}", queries, keys)
    if "key.bias" in w:
        logits += product("bsg,gh->bhs", s2, w["key.bias"])[:, :, None]

    heads = rows.index("h")
    unread: Array | None = None
    if finite1 is not None and finite2 is not None:
        unread = jnp.where(finite2, 0, jnp.nan).swapaxes(1, 2)
        broken = ~(finite1 & finite2.swapaxes(1, 2))
        keep, reads, broken, unread = (
            jnp.expand_dims(array, heads) for array in (keep, reads, broken, unread)
        )
        logits = jnp.where(broken, jnp.nan, logits)
    scores = softmax(logits, keep, reads, 0.0 if unread is None else unread, fully_masked)
    of_heads = scores if rows == "bhts" else scores.swapaxes(1, 2)
    falls = dropout_key is not None and dropout > 0
    if falls:  # drawn in the same order of axes on every route
        fallen = drop(of_heads, dropout, dropout_key)
        stay = fallen if rows == "bhts" else fallen.swapaxes(1, 2)
    else:
        stay = scores

    if way.read == "source":
        read = product(f"{rows},bsg->bthg", stay, values)
        y = product("bthg,hgu->btu", read, w["output"])
        if "value.bias" in w:  # times the sum of a row of scores, which is 1 without dropout
            bias = w["value.bias"]
            if falls:
                y += product("bht,hu->btu", fallen.sum(-1), bias)
            else:
                y += bias.astype(wide).sum(0)
    elif way.read == "value":
        y = product(f"{rows},bshu->btu", stay, values)
    else:
        read = product(f"{rows},bshd->bthd", stay, values)
        y = product("bthd,hdu->btu", read, w["output"])
    if reads is not None and fully_masked == "zero":
        y = jnp.where(reads.squeeze(heads), y, 0)
    return _plus(y, w.get("output.bias")), of_heads


def _plus(array: Array, bias: Array | None) -> Array:
    return array if bias is None else array + bias


def _of_no_key(w: Params, x1: Array, wide: Any) -> tuple[Array, Array]:
    """Return the result and the empty scores of queries without any key: the output bias."""
    batch, steps, _ = x1.shape
    heads = w["query"].shape[1] if "query" in w else w["key"].shape[1]
    units = w["output"].shape[-1] if "output" in w else w["value"].shape[-1]
    y = _plus(jnp.zeros((batch, steps, units), wide), w.get("output.bias"))
    return y, jnp.zeros((batch, heads, steps, 0), wide)
