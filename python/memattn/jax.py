"""The layer as pure functions of JAX: ``init`` makes parameters, ``apply`` runs them.

Parameters are a dict of arrays under the names of the weight files: any optimizer takes them, and
``load`` and ``save`` move them from and to the other hosts. Needs JAX.

Below, B is the batch, T the steps, U `units`, S `memory_size`, H `num_heads`, D `key_dim` and Dv
`value_dim`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from memattn import _memattn
from memattn.arrays import as_place, check_shape
from memattn.deprecation import RenamedProperty
from memattn.layer import MemoryAugmentedAttention
from memattn.layer_options import Route, cheaper_route, config_json

Array: TypeAlias = Any  # jax.Array, a tracer, or what jnp.asarray takes
Params: TypeAlias = dict[str, Array]

__all__ = ["Config", "apply", "init", "load", "prepare", "save"]


@dataclass(frozen=True)
class Config:
    """What the layer is; `memattn.MemoryAugmentedAttention` describes the options.

    Hashable, so that ``jax.jit`` takes it as a static argument.

    Raises
    ------
    ValueError
        An option cannot be.
    """

    units: int
    memory_size: int
    num_heads: int
    key_dim: int | None = None
    value_dim: int | None = None
    use_bias: bool = True
    residual: bool = True
    dropout: float = 0.0
    # A mapping has no hash; what is equal has the same without it.
    memory_initializer: str | Mapping[str, Any] = field(default="normal", hash=False)
    fully_masked: Literal["zero", "uniform"] = "zero"

    def __post_init__(self) -> None:
        for text in _memattn.config_warnings(config_json(**asdict(self))):
            warnings.warn(text, UserWarning, stacklevel=3)

    @property
    def route(self) -> Route:
        """The route with less work a token: ``"folded"`` or ``"projected"`` (docs/math.md)."""
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
        """Shapes of what `prepare` gives on a route."""
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
    glorot = jax.nn.initializers.glorot_uniform()
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
            params[name] = glorot(draw, shape, dtype)
    return params


def prepare(
    params: Mapping[str, Array],
    config: Config,
    route: Route | None = None,
    *,
    path: Route | None = None,
) -> Params:
    """Compute what depends on the parameters alone; `apply` takes the result in their place.

    `apply` does it in every call, which is what training needs. Who serves does it once.

    Parameters
    ----------
    params : mapping of names to arrays
    config : Config
    route : {"folded", "projected"}, optional
        `config.route`, the one with less work a token, when not given. Both give the same to
        rounding.
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
        A name, a shape or `route` does not fit.
    """
    if path is not None:
        text = "prepare: path: renamed route; removed in version 0.3"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        route = path
    route = config.route if route is None else route
    if route not in ("folded", "projected"):
        raise ValueError(f'prepare: route: found {route!r}, expected "folded" or "projected"')
    given, dtype = _arrays("prepare", params, config.shapes)
    wide = jnp.promote_types(dtype, jnp.float32)
    w = {name: array.astype(wide) for name, array in given.items()}

    def product(spec: str, *operands: Array) -> Array:
        # Small, and its errors would stand in every token.
        return jnp.einsum(spec, *operands, precision="highest")

    # A slot that is not finite counts as 0 in products, where even a masked one would reach others
    # as 0·NaN, and marks its logits instead, which masks leave out.
    broken = ~jnp.isfinite(w["memory"]).all(-1)
    memory = jnp.where(broken[:, None], 0, w["memory"])
    keys = product("su,uhd->hsd", memory, w["key.kernel"]) / config._sizes[3] ** 0.5
    values = product("su,uhd->hsd", memory, w["value.kernel"])
    logits = jnp.zeros(keys.shape[:2], wide)
    if config.use_bias:
        values += w["value.bias"][:, None]
        logits = product("hd,hsd->hs", w["query.bias"], keys)
    ready = {"c": jnp.where(broken, jnp.nan, logits)}
    if route == "folded":
        ready["a"] = product("uhd,hsd->uhs", w["query.kernel"], keys)
        ready["b"] = product("hsd,hdu->hsu", values, w["output.kernel"])
    else:
        ready |= {"k": keys, "v": values}
        ready |= {name: w[name] for name in ("query.kernel", "output.kernel")}
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
    return_attention_scores: bool | Literal["mean"] = False,
    dropout_key: Array | None = None,
) -> Any:
    """Run the layer, ``Z = X + MultiHeadAttention(X, M, M)``.

    Pure: ``jax.jit`` (with `config`, `use_causal_mask` and `return_attention_scores` static),
    ``jax.grad``, ``jax.jvp`` and ``jax.vmap`` work on it. Parameters and `x` are promoted to one
    dtype, as everywhere in JAX; in 16 bits, sums and softmax are of float32.

    Parameters
    ----------
    params : mapping of names to arrays
        From `init` or `load`, or what `prepare` made of them.
    x : array (B, T, U)
    config : Config
    attention_mask : array of bool, optional
        Broadcasts to (B, T, S); True keeps. Masks are ANDed.
    query_mask : array of bool (B, T), optional
        Tokens that read.
    value_mask : array of bool (B, S), optional
        Slots that are read.
    use_causal_mask : bool
        Step t reads slots 0 to ``first_step + t`` only.
    first_step : int or integer scalar
        Where step 0 of `x` stands in its sequence: 5 for a call that goes on after 5 steps. Only
        the causal mask reads it; dropout draws from its key alone. May be traced.
    return_attention_scores : bool or "mean"
        Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).
    dropout_key : key of jax.random, optional
        Given, scores fall at the rate `config.dropout`, as in training. Without, none falls.

    Returns
    -------
    array (B, T, U), or that and the scores

    Raises
    ------
    ValueError
        A name, a shape or an option does not fit.
    TypeError
        Something is not of real numbers, or a mask is not of booleans or integers.
    """
    x = jnp.asarray(x)
    check_shape("apply: x", x.shape, ("batch", "steps", config.units))
    if return_attention_scores not in (True, False, "mean"):
        found = f"found {return_attention_scores!r}"
        raise ValueError(f'apply: return_attention_scores: {found}, expected True, False or "mean"')
    keep = _keep(
        x.shape, config, attention_mask, query_mask, value_mask, use_causal_mask, first_step
    )
    if "memory" in params:
        params = prepare(params, config)
    route = "projected" if "k" in params else "folded"
    ready, dtype = _arrays("apply", params, config._prepared(route), x)
    wide = jnp.promote_types(dtype, jnp.float32)

    def product(spec: str, left: Array, right: Array) -> Array:
        left, right = left.astype(dtype), right.astype(dtype)
        return jnp.einsum(spec, left, right, preferred_element_type=wide)

    reads = None if keep is None else keep.any(-1)[..., None]  # (B, T, 1): has a slot to read
    # What a token that reads nothing holds, NaN perhaps, must not reach the gradients of others.
    tokens = x if reads is None else jnp.where(reads, x, 0)
    if route == "folded":
        logits = product("btu,uhs->bths", tokens, ready["a"])
    else:
        query = product("btu,uhd->bthd", tokens, ready["query.kernel"])
        logits = product("bthd,hsd->bths", query, ready["k"])
    scores = _softmax(logits + ready["c"].astype(wide), ready["c"], keep, reads, config)
    fallen = scores
    if dropout_key is not None and config.dropout > 0:
        stays = jax.random.bernoulli(dropout_key, 1 - config.dropout, scores.shape)
        fallen = jnp.where(stays, scores / (1 - config.dropout), 0)
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
    scores = scores.astype(dtype)
    return y, scores.mean(2) if return_attention_scores == "mean" else scores.swapaxes(1, 2)


def load(path: str | os.PathLike[str]) -> tuple[Params, Config]:
    """Read parameters and config from a safetensors file that any of the hosts wrote.

    Without ``jax_enable_x64`` a layer in float64 becomes one in float32.

    Raises
    ------
    memattn.FormatError
        The file is not what docs/format.md says.
    OSError
        The system refused.
    """
    layer = MemoryAugmentedAttention.load(path)
    options = layer.get_config()
    config = Config(**{option.name: options[option.name] for option in fields(Config)})
    return {name: jnp.asarray(array) for name, array in layer.weights.items()}, config


def save(path: str | os.PathLike[str], params: Mapping[str, Array], config: Config) -> None:
    """Write parameters and config to a safetensors file, atomically; 16 bits become float32.

    Raises
    ------
    ValueError
        A name or a shape does not fit.
    OSError
        The system refused; a file that was there before is whole.
    """
    arrays, dtype = _arrays("save", params, config.shapes)
    kind = "float64" if dtype == jnp.float64 else "float32"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # said when the config was made
        layer = MemoryAugmentedAttention(**asdict(config), dtype=kind, seed=0)
    layer.set_weights({name: np.asarray(array.astype(kind)) for name, array in arrays.items()})
    layer.save(path)


def _arrays(
    where: str, params: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], *others: Array
) -> tuple[Params, Any]:
    """Return checked parameters, and the dtype that they and `others` are promoted to."""
    if set(params) != set(shapes):
        found, expected = ", ".join(sorted(params)) or "nothing", ", ".join(shapes)
        raise ValueError(f"{where}: params: found {found}, expected {expected}")
    arrays = {name: jnp.asarray(params[name]) for name in shapes}
    for name, shape in shapes.items():
        check_shape(f"{where}: params: {name}", arrays[name].shape, shape)
    dtype = jnp.result_type(*arrays.values(), *others, float)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{where}: found dtype {dtype}, expected real numbers")
    return arrays, dtype


def _keep(
    shape: tuple[int, ...],
    config: Config,
    attention_mask: Array | None,
    query_mask: Array | None,
    value_mask: Array | None,
    use_causal_mask: bool,
    first_step: int | Array,
) -> Array | None:
    """Return which slots each token may read, (B, T, S), or None when nothing is masked."""
    batch, steps, _ = shape
    full = (batch, steps, config.memory_size)
    masks = []
    if attention_mask is not None:
        mask = _mask("attention_mask", attention_mask)
        if mask.ndim > 3 or any(
            have not in (1, want) for have, want in zip(mask.shape[::-1], full[::-1], strict=False)
        ):
            found = f"found shape {mask.shape}"
            raise ValueError(
                f"apply: attention_mask: {found}, expected one that broadcasts to {full}"
            )
        masks.append(mask)
    if query_mask is not None:
        mask = _mask("query_mask", query_mask)
        check_shape("apply: query_mask", mask.shape, (batch, steps))
        masks.append(mask[:, :, None])
    if value_mask is not None:
        mask = _mask("value_mask", value_mask)
        check_shape("apply: value_mask", mask.shape, (batch, config.memory_size))
        masks.append(mask[:, None])
    first = _first_step(first_step, steps)
    if use_causal_mask:
        # A place behind the last slot reads all of them; int32 may not count as far as the place.
        places = jnp.arange(steps) + jnp.minimum(first, config.memory_size)
        masks.append(jnp.arange(config.memory_size) <= places[:, None])
    keep = None
    for mask in masks:
        keep = mask if keep is None else keep & mask
    return None if keep is None else jnp.broadcast_to(keep, full)


def _first_step(value: int | Array, steps: int) -> int | Array:
    """Return a checked first step; of a traced one only the kind can be known."""
    if isinstance(value, jax.core.Tracer):
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.integer):
            found = f"found dtype {value.dtype} of shape {value.shape}"
            raise TypeError(f"apply: first_step: {found}, expected an integer, at least 0")
        return value.astype(int)
    # What JAX can count may be less than the value, which is only compared with slots.
    return min(as_place("apply: first_step", value, steps), 2**31 - 1)


def _mask(name: str, mask: Array) -> Array:
    mask = jnp.asarray(mask)
    if not (mask.dtype == bool or jnp.issubdtype(mask.dtype, jnp.integer)):
        found = f"found dtype {mask.dtype}"
        raise TypeError(f"apply: {name}: {found}, expected booleans, True where a slot may be read")
    return mask != 0


def _softmax(
    logits: Array, constant: Array, keep: Array | None, reads: Array | None, config: Config
) -> Array:
    """Return the scores (B, T, H, S), over the kept slots.

    A token that keeps none scores what `config.fully_masked` says, whatever its logits are.
    """
    if keep is None or reads is None:
        return jax.nn.softmax(logits)
    reads = reads[..., None]
    # 0·constant is 0, or the mark of a slot that is not finite.
    logits = jnp.where(reads, logits, 0 * constant)
    scores = jax.nn.softmax(logits, where=keep[:, :, None] | ~reads)
    return jnp.where(reads, scores, 0) if config.fully_masked == "zero" else scores
