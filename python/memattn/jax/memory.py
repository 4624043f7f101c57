"""The memory layer: ``init`` makes parameters, ``apply`` runs them.

Below, B is the batch, T the steps, U `units`, S `memory_size`, H `num_heads`, D `key_dim` and Dv
`value_dim`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp

from memattn import _memattn
from memattn.arrays import check_shape
from memattn.deprecation import RenamedProperty
from memattn.jax import half
from memattn.jax.arguments import (
    Array,
    Params,
    as_attention_mask,
    as_first_step,
    as_params,
    as_step_mask,
    kept,
    scores_of,
)
from memattn.jax.numpy_layer import from_numpy, to_numpy
from memattn.jax.operators import (
    drop,
    glorot_uniform,
    product_of_tokens,
    product_of_weights,
    softmax,
)
from memattn.layer import MemoryAugmentedAttention
from memattn.layer_options import (
    Route,
    ScoresChoice,
    cheaper_route,
    check_scores_choice,
    config_json,
)


@dataclass(frozen=True)
class Config:
    """The options of the layer; `memattn.MemoryAugmentedAttention` describes them.

    Hashable, so that it can be a static argument of ``jax.jit``.

    Raises
    ------
    ValueError
        If an option is invalid.
    """

    units: int
    memory_size: int
    num_heads: int
    key_dim: int | None = None
    value_dim: int | None = None
    use_bias: bool = True
    residual: bool = True
    dropout: float = 0.0
    # A mapping has no hash. Without this field, equal configs still have equal hashes.
    memory_initializer: str | Mapping[str, Any] = field(default="normal", hash=False)
    fully_masked: Literal["zero", "uniform"] = "zero"

    def __post_init__(self) -> None:
        for text in _memattn.config_warnings(config_json(**asdict(self))):
            warnings.warn(text, UserWarning, stacklevel=3)

    @property
    def route(self) -> Route:
        """The route with less work per token: ``"folded"`` or ``"projected"`` (docs/math.md)."""
        units, slots, _, key_dim, value_dim = self._sizes
        return cheaper_route(units, slots, key_dim, value_dim)

    path = RenamedProperty("route", removed_in="0.3")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name and in the order of the files."""
        units, slots, heads, key_dim, value_dim = self._sizes
        shapes: dict[str, tuple[int, ...]] = {"memory": (slots, units)}
        for name, width in (("query", key_dim), ("key", key_dim), ("value", value_dim)):
            shapes[f"{name}.kernel"] = (units, heads, width)
            shapes[f"{name}.bias"] = (heads, width)
        shapes["output.kernel"] = (heads, value_dim, units)
        shapes["output.bias"] = (units,)
        return {n: s for n, s in shapes.items() if self.use_bias or not n.endswith(".bias")}

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        key_dim = self.units if self.key_dim is None else self.key_dim
        value_dim = key_dim if self.value_dim is None else self.value_dim
        return self.units, self.memory_size, self.num_heads, key_dim, value_dim

    def _prepared(self, route: str) -> dict[str, tuple[int, ...]]:
        """The shapes of the result of `prepare` for a route."""
        units, slots, heads, key_dim, value_dim = self._sizes
        shapes: dict[str, tuple[int, ...]]
        if route == "folded":
            shapes = {"a": (units, heads, slots), "b": (heads, slots, units)}
        else:
            shapes = {"k": (heads, slots, key_dim), "v": (heads, slots, value_dim)}
            shapes |= {name: self.shapes[name] for name in ("query.kernel", "output.kernel")}
        shapes["c"] = (heads, slots)
        return {**shapes, "output.bias": (units,)} if self.use_bias else shapes


def init(key: Array, config: Config, dtype: Any = jnp.float32) -> Params:
    """Draw parameters: kernels glorot uniform, biases zeros, the memory as `config` says.

    Parameters
    ----------
    key : key of jax.random
    config : Config
    dtype : dtype

    Returns
    -------
    dict of arrays
        ``memory`` (S, U), ``query.kernel`` and ``key.kernel`` (U, H, D), their biases (H, D),
        ``value.kernel`` (U, H, Dv) and bias (H, Dv), ``output.kernel`` (H, Dv, U) and bias (U).
    """
    start = config.memory_initializer
    memory = {"kind": start} if isinstance(start, str) else start
    params = {}
    for name, shape in config.shapes.items():
        key, draw = jax.random.split(key)
        kind = memory["kind"] if name == "memory" else "glorot_uniform"
        if name.endswith(".bias") or kind == "zeros":
            params[name] = jnp.zeros(shape, dtype)
        elif kind == "normal":
            params[name] = jax.random.normal(draw, shape, dtype) * memory.get("stddev", 1.0)
        else:
            params[name] = glorot_uniform(draw, shape, dtype)
    return params


def prepare(
    params: Mapping[str, Array],
    config: Config,
    route: Route | None = None,
    *,
    path: Route | None = None,
) -> Params:
    """Precompute products of the parameters; `apply` accepts the result as `params`.

    `apply` does this in every call, as training needs. For inference do it once.

    Parameters
    ----------
    params : mapping of names to arrays
    config : Config
    route : {"folded", "projected"}, optional
        Default: `config.route`, the one with less work per token. Results agree up to rounding.
    path : {"folded", "projected"}, optional
        Deprecated: renamed `route`; removed in version 0.3.

    Returns
    -------
    dict of arrays
        ``c`` (H, S), ``output.bias`` (U), and folded ``a`` (U, H, S) and ``b`` (H, S, U); projected
        ``k`` (H, S, D), ``v`` (H, S, Dv), ``query.kernel`` and ``output.kernel``.

    Raises
    ------
    ValueError
        If a name, a shape or `route` does not fit.
    """
    if path is not None:
        text = "prepare: path: renamed route; removed in version 0.3"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        route = path
    route = config.route if route is None else route
    if route not in ("folded", "projected"):
        raise ValueError(f'prepare: route: found {route!r}, expected "folded" or "projected"')
    given, dtype = as_params("prepare", params, config.shapes)
    wide = jnp.promote_types(dtype, jnp.float32)
    w = {name: array.astype(wide) for name, array in given.items()}

    product = product_of_weights
    # A slot that is not finite, or whose products overflow, counts as 0 in products, since even a
    # masked one would reach others as 0·NaN. Its logits become NaN instead, which masks replace.
    finite = jnp.ones((config.memory_size,), bool)

    def guarded(part: Array, slots: str, of: Any = wide) -> Array:
        nonlocal finite
        others = tuple(axis for axis, letter in enumerate(slots) if letter != "s")
        good = jnp.isfinite(part.astype(of)).all(others, keepdims=True)
        finite &= good.reshape(-1)
        return jnp.where(good, part, 0)

    memory = guarded(w["memory"], "su")
    keys = product("su,uhd->hsd", memory, w["key.kernel"]) / config._sizes[3] ** 0.5
    values = product("su,uhd->hsd", memory, w["value.kernel"])
    if config.use_bias:
        values += w["value.bias"][:, None]
    last = dtype if route == "projected" else wide
    keys, values = guarded(keys, "hsd", last), guarded(values, "hsd", last)
    ready: Params = {}
    if route == "folded":
        ready["a"] = guarded(product("uhd,hsd->uhs", w["query.kernel"], keys), "uhs", dtype)
        ready["b"] = guarded(product("hsd,hdu->hsu", values, w["output.kernel"]), "hsu", dtype)
    else:
        ready |= {"k": keys, "v": values}
        ready |= {name: w[name] for name in ("query.kernel", "output.kernel")}
    logits = jnp.zeros(keys.shape[:2], wide)
    if config.use_bias:
        logits = product("hd,hsd->hs", w["query.bias"], keys)
    ready["c"] = jnp.where(finite, logits, jnp.nan)
    if config.use_bias:
        ready["output.bias"] = w["output.bias"]
    return {name: array.astype(dtype) for name, array in ready.items()}


def apply(
    params: Mapping[str, Array],
    x: Array,
    config: Config,
    *,
    attention_mask: Array | None = None,
    query_mask: Array | None = None,
    value_mask: Array | None = None,
    use_causal_mask: bool = False,
    first_step: int | Array = 0,
    return_attention_scores: ScoresChoice = False,
    dropout_key: Array | None = None,
) -> Any:
    """Run the layer, ``Z = X + MultiHeadAttention(X, M, M)``.

    Pure: ``jax.jit`` (with `config`, `use_causal_mask` and `return_attention_scores` static),
    ``jax.grad``, ``jax.jvp`` and ``jax.vmap`` work on it. Parameters and `x` are promoted to one
    dtype, as everywhere in JAX; in 16 bits, sums and softmax are computed in float32.

    Parameters
    ----------
    params : mapping of names to arrays
        Parameters from `init` or `load`, or the result of `prepare`.
    x : array (B, T, U)
    config : Config
    attention_mask : array of bool, optional
        Mask that broadcasts to (B, T, S); True allows attention. All masks are combined by AND.
    query_mask : array of bool (B, T), optional
        True for each token that attends.
    value_mask : array of bool (B, S), optional
        True for each slot that can be attended to.
    use_causal_mask : bool
        Step t attends only to slots 0 to ``first_step + t``.
    first_step : int or integer scalar
        Position of step 0 of `x` in its sequence, such as 5 for a call that continues after 5
        steps. Only the causal mask uses it; dropout depends only on its key. May be traced.
    return_attention_scores : bool or "mean"
        Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).
    dropout_key : key of jax.random, optional
        With a key, dropout is applied at the rate `config.dropout`, as in training. Default: no
        dropout.

    Returns
    -------
    array (B, T, U), or that and the scores

    Raises
    ------
    ValueError
        If a name, a shape or an option does not fit.
    TypeError
        If an array does not hold real numbers, or a mask does not hold booleans or integers.
    """
    x = jnp.asarray(x)
    check_shape("apply: x", x.shape, ("batch", "steps", config.units))
    check_scores_choice("apply: return_attention_scores", return_attention_scores)
    batch, steps, slots = full = (*x.shape[:2], config.memory_size)
    first = as_first_step(first_step, steps)
    keep = kept(
        full,
        as_attention_mask(attention_mask, full),
        as_step_mask("query_mask", query_mask, (batch, steps)),
        as_step_mask("value_mask", value_mask, (batch, slots)),
        first if use_causal_mask else None,
    )
    if "memory" in params:
        if dropout_key is None and half.applies(params, x, keep):
            scores = return_attention_scores
            return half.attend(
                MemoryAugmentedAttention, config, params, x, scores=scores, attention_mask=keep
            )
        params = prepare(params, config)
    route = "projected" if "k" in params else "folded"
    ready, dtype = as_params("apply", params, config._prepared(route), x)
    wide = jnp.promote_types(dtype, jnp.float32)

    product = product_of_tokens(dtype)
    # Whether each token has a slot to read (B, T, 1). The values of a token without one, such as
    # NaN, must not affect the gradients of others.
    reads = None if keep is None else keep.any(-1)[..., None]
    tokens = x if reads is None else jnp.where(reads, x, 0)
    if route == "folded":
        logits = product("btu,uhs->bths", tokens, ready["a"])
    else:
        query = product("btu,uhd->bthd", tokens, ready["query.kernel"])
        logits = product("bthd,hsd->bths", query, ready["k"])
    constant = ready["c"]
    scores = softmax(
        logits + constant.astype(wide),
        None if keep is None else keep[:, :, None],
        None if reads is None else reads[..., None],
        jnp.where(jnp.isnan(constant), constant, 0),  # the mark of a slot that is not finite
        config.fully_masked,
    )
    falls = dropout_key is not None and config.dropout > 0
    fallen = drop(scores, config.dropout, dropout_key) if falls else scores
    if route == "folded":
        y = product("bths,hsu->btu", fallen, ready["b"])
    else:
        read = product("bths,hsd->bthd", fallen, ready["v"])
        y = product("bthd,hdu->btu", read, ready["output.kernel"])
    if reads is not None and config.fully_masked == "zero":
        y = jnp.where(reads, y, 0)
    if config.use_bias:
        y += ready["output.bias"]
    if config.residual:
        y += x
    y = y.astype(dtype)
    if not return_attention_scores:
        return y
    return y, scores_of(scores.swapaxes(1, 2), return_attention_scores, dtype)


def load(path: str | os.PathLike[str]) -> tuple[Params, Config]:
    """Read parameters and config from a safetensors file that any framework wrote.

    Without ``jax_enable_x64`` a layer in float64 becomes one in float32.

    Raises
    ------
    memattn.FormatError
        If the file does not follow docs/format.md.
    OSError
        If the file cannot be read.
    """
    params, config = from_numpy(MemoryAugmentedAttention.load(path), Config)
    return params, config


def save(path: str | os.PathLike[str], params: Mapping[str, Array], config: Config) -> None:
    """Write parameters and config to a safetensors file, atomically; 16 bits become float32.

    Raises
    ------
    ValueError
        If a name or a shape does not fit.
    OSError
        If the file cannot be written. An existing file is then unchanged.
    """
    to_numpy("save", params, config, MemoryAugmentedAttention).save(path)
