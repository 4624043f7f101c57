"""The layer in which one input attends to another, as functions of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from memattn.arrays import as_count, check_shape
from memattn.cross_attention import CrossAttention as NumpyCrossAttention
from memattn.jax import half
from memattn.jax.arguments import (
    Array,
    as_attention_mask,
    as_first_step,
    as_params,
    as_step_mask,
    kept,
    scores_of,
)
from memattn.jax.pair_attention import Prepared, attend, dense_shapes, fold, head_shapes
from memattn.jax.pair_layer import PairLayer
from memattn.layer_options import PairRoute, PairSizes, ScoresChoice, check_scores_choice
from memattn.pair_layer import as_pair


@dataclass(frozen=True)
class CrossAttention(PairLayer):
    """Attention of one input to another; `memattn.CrossAttention` describes the options.

    Immutable, hashable, and without parameters: `init` makes them, `apply` runs the layer.

    Below, B is the batch, T1 and T2 the steps of the two inputs, F1 and F2 their widths, U `units`,
    H `num_heads`, D `key_dim` and Dv `value_dim`.

    Raises
    ------
    ValueError
        If an option is invalid.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> from memattn.jax import CrossAttention
    >>> layer = CrossAttention(64, 4, source1_units=8, source2_units=12)
    >>> params = layer.init(jax.random.key(0))
    >>> layer.apply(params, jnp.zeros((32, 10, 8)), jnp.zeros((32, 24, 12))).shape
    (32, 10, 64)
    """

    source1_units: int | None = field(default=None, kw_only=True)
    source2_units: int | None = field(default=None, kw_only=True)

    _numpy = NumpyCrossAttention

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name and in the order of the files.

        ``source1.kernel`` (F1, U), ``source2.kernel`` (F2, U) and their biases (U),
        ``query.kernel`` and ``key.kernel`` (U, H, D) and their biases (H, D), ``value.kernel``
        (U, H, Dv) and bias (H, Dv), ``output.kernel`` (H, Dv, U) and bias (U).
        """
        (sizes,) = self._attentions
        shapes = dense_shapes("source1", sizes.source1_units, self.units)
        shapes |= dense_shapes("source2", sizes.source2_units, self.units)
        return self._wanted(shapes | head_shapes(sizes))

    def route_of(
        self, batch: int, steps1: int, steps2: int, *, training: bool = False
    ) -> PairRoute:
        """Return the cheapest route for a call of these sizes.

        Parameters
        ----------
        batch, steps1, steps2 : int
            B, T1 and T2, each at least 0.
        training : bool
            Whether each call folds again, as `apply` with parameters does; its cost is then
            included.

        Raises
        ------
        ValueError
            If a number is negative.
        TypeError
            If a number is not an integer.
        """
        (sizes,) = self._attentions
        return sizes.cheapest_route(
            as_count("batch", batch),
            as_count("steps1", steps1),
            as_count("steps2", steps2),
            bool(training),
        )

    def prepare(self, params: Mapping[str, Array], route: PairRoute) -> Prepared:
        """Precompute products of the parameters; `apply` accepts the result as `params`.

        `apply` does this in every call, as training needs. For inference do it once.

        Parameters
        ----------
        params : mapping of names to arrays
        route : str
            A route; `route_of` returns the cheapest for the sizes of a call. Results agree up to
            rounding.

        Raises
        ------
        ValueError
            If a name, a shape or `route` does not fit.
        """
        arrays, dtype = as_params("prepare", params, self.shapes)
        return fold(arrays, dtype, route)

    def apply(
        self,
        params: Mapping[str, Array] | Prepared,
        x1: Array,
        x2: Array | None = None,
        *,
        attention_mask: Array | None = None,
        query_mask: Array | None = None,
        value_mask: Array | None = None,
        use_causal_mask: bool = False,
        first_step: int | Array = 0,
        return_attention_scores: ScoresChoice = False,
        dropout_key: Array | None = None,
    ) -> Any:
        """Run the layer, as ``apply(params, x1, x2)`` or ``apply(params, [x1, x2])``.

        Pure: ``jax.jit`` (with `use_causal_mask` and `return_attention_scores` static),
        ``jax.grad``, ``jax.jvp``, ``jax.vmap`` and ``jax.lax.scan`` work on it. Parameters and
        inputs are promoted to one dtype, as everywhere in JAX; in 16 bits, sums and softmax are
        computed in float32. The values of masked steps, even NaN, affect neither results nor
        gradients.

        Parameters
        ----------
        params : mapping of names to arrays, or Prepared
            Parameters from `init` or `from_numpy`, or the result of `prepare`.
        x1 : array (B, T1, F1), or list or tuple of both inputs
            The input that attends (queries).
        x2 : array (B, T2, F2), unless `x1` is both
            The input that is attended to (keys and values). Its batch is that of `x1`; its number
            of steps may differ.
        attention_mask : array of bool, optional
            Mask that broadcasts to (B, T1, T2); True allows attention. All masks are combined by
            AND.
        query_mask : array of bool (B, T1), optional
            True for each step of `x1` that attends.
        value_mask : array of bool (B, T2), optional
            True for each step of `x2` that can be attended to.
        use_causal_mask : bool
            Step t of `x1` attends only to steps 0 to ``first_step + t`` of `x2`.
        first_step : int or integer scalar
            Position of step 0 of `x1` in its sequence, such as 5 for a call that continues after 5
            steps. Only the causal mask uses it; dropout depends only on its key. May be traced.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T1, T2), before dropout, or their mean over heads
            (B, T1, T2).
        dropout_key : key of jax.random, optional
            With a key, dropout is applied at the rate `dropout`, as in training. Default: no
            dropout.

        Returns
        -------
        array (B, T1, U), or that and the scores

        Raises
        ------
        ValueError
            If a name, a shape or an option does not fit, or a list does not hold two inputs.
        TypeError
            If an array does not hold real numbers, a mask does not hold booleans or integers, or
            the second input is missing.
        """
        x1, x2 = map(jnp.asarray, as_pair(("x1", "x2"), "apply(params, ", x1, x2))
        (sizes,) = self._attentions
        check_shape("apply: x1", x1.shape, ("batch", "steps1", sizes.source1_units))
        check_shape("apply: x2", x2.shape, (x1.shape[0], "steps2", sizes.source2_units))
        check_scores_choice("apply: return_attention_scores", return_attention_scores)
        batch, steps1, steps2 = full = (*x1.shape[:2], x2.shape[1])
        first = as_first_step(first_step, steps1)
        keep = kept(
            full,
            as_attention_mask(attention_mask, full),
            as_step_mask("query_mask", query_mask, (batch, steps1)),
            as_step_mask("value_mask", value_mask, (batch, steps2)),
            first if use_causal_mask else None,
        )
        if not isinstance(params, Prepared):
            if dropout_key is None and half.applies(params, x1, x2, keep):
                scores = return_attention_scores
                return half.attend(
                    self._numpy, self, params, x1, x2, scores=scores, attention_mask=keep
                )
            params = self.prepare(params, self.route_of(*full, training=True))
        dtype = self._checked((params,), x1, x2)
        y, scores = attend(
            params,
            x1,
            x2,
            keep,
            dtype=dtype,
            fully_masked=self.fully_masked,
            dropout=self.dropout,
            dropout_key=dropout_key,
        )
        if not return_attention_scores:
            return y.astype(dtype)
        return y.astype(dtype), scores_of(scores, return_attention_scores, dtype)

    @property
    def _attentions(self) -> tuple[PairSizes, ...]:
        widths = self.source1_units or self.units, self.source2_units or self.units
        return (self._sizes(*widths, one_source=False),)
