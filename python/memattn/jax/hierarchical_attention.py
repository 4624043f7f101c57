"""The sum of two self-attentions, over a short-term and a long-term input, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from memattn.arrays import as_count, check_shape
from memattn.hierarchical_attention import HierarchicalAttention as NumpyHierarchicalAttention
from memattn.jax import half
from memattn.jax.arguments import (
    Array,
    as_attention_mask,
    as_params,
    as_step_mask,
    kept,
    scores_of,
)
from memattn.jax.pair_attention import Prepared, attend, dense_shapes, fold, head_shapes
from memattn.jax.pair_layer import PairLayer
from memattn.layer_options import PairRoute, PairSizes, ScoresChoice, check_scores_choice
from memattn.pair_layer import as_pair

SIDES = ("short", "long")


@dataclass(frozen=True)
class HierarchicalAttention(PairLayer):
    """The sum of two self-attentions; `memattn.HierarchicalAttention` describes the options.

    Immutable, hashable, and without parameters: `init` makes them, `apply` runs the layer.

    Below, B is the batch, T the steps, Fs and Fl the widths of the short-term and the long-term
    input, U `units`, H `num_heads`, D `key_dim` and Dv `value_dim`.

    Raises
    ------
    ValueError
        If an option is invalid.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from memattn.jax import HierarchicalAttention
    >>> layer = HierarchicalAttention(64, 4, short_units=8, long_units=12)
    >>> params = layer.init(jax.random.key(0))
    >>> layer.apply(params, jnp.zeros((32, 10, 8)), jnp.zeros((32, 10, 12))).shape
    (32, 10, 64)
    """

    short_units: int | None = field(default=None, kw_only=True)
    long_units: int | None = field(default=None, kw_only=True)

    _numpy = NumpyHierarchicalAttention

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name and in the order of the files.

        ``short.dense.kernel`` (Fs, U), ``long.dense.kernel`` (Fl, U) and their biases (U); then of
        each side, first ``short`` and then ``long``: ``short.query.kernel`` and
        ``short.key.kernel`` (U, H, D) and their biases (H, D), ``short.value.kernel`` (U, H, Dv)
        and bias (H, Dv), ``short.output.kernel`` (H, Dv, U) and bias (U).
        """
        shapes: dict[str, tuple[int, ...]] = {}
        sides = list(zip(SIDES, self._attentions, strict=True))
        for side, sizes in sides:
            shapes |= dense_shapes(f"{side}.dense", sizes.source1_units, self.units)
        for side, sizes in sides:
            shapes |= {f"{side}.{name}": shape for name, shape in head_shapes(sizes).items()}
        return self._wanted(shapes)

    def route_of(
        self, batch: int, steps: int, *, training: bool = False
    ) -> tuple[PairRoute, PairRoute]:
        """Return the names of the cheapest routes of both sides for a call of these sizes.

        Parameters
        ----------
        batch, steps : int
            B and T, each at least 0.
        training : bool
            Whether each call folds again, as `apply` with parameters does; its cost is then
            included.

        Returns
        -------
        tuple of two str
            The routes of the short-term and of the long-term side.

        Raises
        ------
        ValueError
            If a number is negative.
        TypeError
            If a number is not an integer.
        """
        batch, steps = as_count("batch", batch), as_count("steps", steps)
        of_short, of_long = (
            sizes.cheapest_route(batch, steps, steps, bool(training)) for sizes in self._attentions
        )
        return of_short, of_long

    def prepare(
        self, params: Mapping[str, Array], routes: tuple[PairRoute, PairRoute]
    ) -> tuple[Prepared, Prepared]:
        """Precompute products of the parameters; `apply` accepts the result as `params`.

        `apply` does this in every call, as training needs. For inference do it once.

        Parameters
        ----------
        params : mapping of names to arrays
        routes : tuple of two str
            Of the short-term and of the long-term side. A route; `route_of` returns the cheapest
            for the sizes of a call. Results agree up to rounding.

        Returns
        -------
        tuple of two Prepared
            Of the short-term and of the long-term side.

        Raises
        ------
        ValueError
            A name, a shape or a route does not fit.
        """
        arrays, dtype = as_params("prepare", params, self.shapes)
        of_short, of_long = (
            fold(_attention_of(arrays, side), dtype, route)
            for side, route in zip(SIDES, routes, strict=True)
        )
        return of_short, of_long

    def apply(
        self,
        params: Mapping[str, Array] | tuple[Prepared, Prepared],
        short: Array,
        long: Array | None = None,
        *,
        short_mask: Array | None = None,
        long_mask: Array | None = None,
        attention_mask: Array | None = None,
        use_causal_mask: bool = False,
        return_attention_scores: ScoresChoice = False,
        dropout_key: Array | None = None,
    ) -> Any:
        """Run the layer, as ``apply(params, short, long)`` or ``apply(params, [short, long])``.

        Pure: ``jax.jit`` (with `use_causal_mask` and `return_attention_scores` static),
        ``jax.grad``, ``jax.jvp``, ``jax.vmap`` and ``jax.lax.scan`` work on it. Parameters and
        inputs are promoted to one dtype, as everywhere in JAX; in 16 bits, sums and softmax are
        computed in float32. The values of masked steps, even NaN, affect neither results nor
        gradients.

        Parameters
        ----------
        params : mapping of names to arrays, or tuple of two Prepared
            Parameters from `init` or `from_numpy`, or the result of `prepare`.
        short : array (B, T, Fs), or list or tuple of both inputs
            The short-term input.
        long : array (B, T, Fl), unless `short` is both
            The long-term input, with the same batch and steps; there is no broadcasting.
        short_mask : array of bool (B, T), optional
            Steps of `short` that read and are read; True keeps. Masks are ANDed.
        long_mask : array of bool (B, T), optional
            Likewise of `long`.
        attention_mask : array of bool, optional
            Broadcasts to (B, T, T), for both sides.
        use_causal_mask : bool
            Step t attends only to steps 0 to t.
        return_attention_scores : bool or "mean"
            Also return the scores of both sides, a pair of arrays (B, H, T, T), before dropout, or
            their means over heads (B, T, T).
        dropout_key : key of jax.random, optional
            Given, scores fall at the rate `dropout`, as in training; each side draws its own.
            Without, none falls.

        Returns
        -------
        array (B, T, U), or that and the pair (short scores, long scores)

        Raises
        ------
        ValueError
            If a name, a shape or an option does not fit, or a list does not hold two inputs.
        TypeError
            If an array does not hold real numbers, a mask does not hold booleans or integers, or
            the second input is missing.
        """
        short, long = map(jnp.asarray, as_pair(SIDES, "apply(params, ", short, long))
        of_short, of_long = self._attentions
        check_shape("apply: short", short.shape, ("batch", "steps", of_short.source1_units))
        batch, steps, _ = short.shape
        check_shape("apply: long", long.shape, (batch, steps, of_long.source1_units))
        check_scores_choice("apply: return_attention_scores", return_attention_scores)
        full = (batch, steps, steps)
        both = as_attention_mask(attention_mask, full)
        masks = [
            as_step_mask(f"{side}_mask", mask, (batch, steps))
            for side, mask in zip(SIDES, (short_mask, long_mask), strict=True)
        ]
        if not isinstance(params, tuple):
            if dropout_key is None and half.applies(params, short, long, both, *masks):
                return half.attend(
                    self._numpy,
                    self,
                    params,
                    short,
                    long,
                    scores=return_attention_scores,
                    attention_mask=both,
                    short_mask=masks[0],
                    long_mask=masks[1],
                    use_causal_mask=use_causal_mask,
                )
            params = self.prepare(params, self.route_of(batch, steps, training=True))
        dtype = self._checked(params, short, long)
        keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        results = [
            attend(
                side,
                x,
                None,
                kept(full, both, mask, mask, 0 if use_causal_mask else None),
                dtype=dtype,
                fully_masked=self.fully_masked,
                dropout=self.dropout,
                dropout_key=key,
            )
            for side, x, mask, key in zip(params, (short, long), masks, keys, strict=True)
        ]
        y = (results[0][0] + results[1][0]).astype(dtype)
        if not return_attention_scores:
            return y
        scores = [scores_of(part, return_attention_scores, dtype) for _, part in results]
        return y, (scores[0], scores[1])

    @property
    def _attentions(self) -> tuple[PairSizes, ...]:
        widths = self.short_units or self.units, self.long_units or self.units
        return tuple(self._sizes(width, width, one_source=True) for width in widths)


def _attention_of(params: Mapping[str, Array], side: str) -> dict[str, Array]:
    """Return the parameters of a side under the names of an attention of two inputs."""
    weights: dict[str, Array] = {}
    for name, array in params.items():
        of_side, _, part = name.partition(".")
        if of_side == side and part.startswith("dense."):
            kind = part.removeprefix("dense.")
            weights |= {f"source1.{kind}": array, f"source2.{kind}": array}
        elif of_side == side:
            weights[part] = array
    return weights
