"""``MemoryAugmentedAttention`` for Keras: the published layer's variables, folded compute."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from memattn import _memattn
from memattn.deprecation import RenamedProperty
from memattn.keras.attention import Weights, attend
from memattn.keras.host import (
    build_attention,
    keras,
    ops,
    projection_tensors,
    projections,
    shape_of,
    traced_as_written,
)
from memattn.keras.initializers import (
    MultiHeadAttention,
    derived_seeds,
    memattn_name,
    memory_initializer_of,
    seeded,
)
from memattn.keras.learner import (
    Constraint,
    Initializer,
    Learner,
    Regularizer,
    names_of_projections,
)
from memattn.keras.masks import (
    attention_rows,
    causal_rows,
    checked_first_step,
    joined_mask,
    slot_rows,
    token_rows,
)
from memattn.layer import MemoryAugmentedAttention as NumpyLayer
from memattn.layer_options import Route, cheaper_route, config_json

_SHARED_OPTIONS = (
    *("units", "memory_size", "num_heads", "key_dim", "value_dim"),
    *("use_bias", "residual", "dropout", "fully_masked"),
)


@keras.saving.register_keras_serializable(package="memattn")
class MemoryAugmentedAttention(Learner):
    """Attention over a learned memory, ``Z = X + MultiHeadAttention(X, M, M)``.

    The layer of that name in fusionlab-learn, with the same variables and names: a `memory` and an
    `attention`, a Keras ``MultiHeadAttention``. It computes the same result with a fraction of the
    work: the memory does not depend on the input, so the projections can be folded into two thin
    matrices. ``docs/math.md`` has the derivation.

    Below, B is the batch, T the steps, U `units`, S `memory_size`, H `num_heads`, D `key_dim` and
    Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of a memory slot and usually of the input; the output has the width of the input.
    memory_size : int
        Number of slots.
    num_heads : int
        Number of attention heads.
    key_dim : int, optional
        Width of a head's queries and keys. Default: `units`, as in the published layer.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the query, key, value and output projections have biases.
    residual : bool
        Whether the input is added to the attention output.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1).
    memory_initializer : str, mapping or Keras initializer
        ``"normal"`` is N(0, 1), ``{"kind": "normal", "stddev": 0.3}`` has another standard
        deviation; other values as in ``keras.initializers.get``. ``"zeros"`` raises a warning: such
        a memory cannot learn, since all slots stay equal.
    fully_masked : {"zero", "uniform"}
        Result for a token whose slots are all masked: no attention output, as in Keras 3, or equal
        weights for all slots, as in Keras 2.
    seed : int, optional
        Seed of the initial weights and of dropout. Default: Keras' own seed
        (``keras.utils.set_random_seed``). An initializer with a seed keeps it.
    kernel_initializer, bias_initializer
        Initializers of the four projections.
    memory_regularizer, kernel_regularizer, bias_regularizer, activity_regularizer
        Regularizers; the last one applies to the layer's output.
    memory_constraint, kernel_constraint, bias_constraint
        Constraints, as everywhere in Keras.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and other arguments of a Keras layer.

    Notes
    -----
    In mixed precision the softmax runs in float32, everything else in the compute dtype.
    """

    _numpy_class = NumpyLayer
    _shared_options = _SHARED_OPTIONS
    _fresh = ("dropout_layer", "_forced_route", "width")

    def __init__(
        self,
        units: int,
        memory_size: int,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = True,
        residual: bool = True,
        dropout: float = 0.0,
        memory_initializer: Initializer = "normal",
        fully_masked: Literal["zero", "uniform"] = "zero",
        seed: int | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        memory_regularizer: Regularizer = None,
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        memory_constraint: Constraint = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.attention: Any = None
        self.dropout_layer: Any = None
        self.width: int | None = None
        self._forced_route: Route | None = None
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self._set_options(
            units=units,
            memory_size=memory_size,
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            residual=residual,
            dropout=dropout,
            memory_initializer=memory_initializer,
            fully_masked=fully_masked,
            seed=seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            memory_regularizer=memory_regularizer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            memory_constraint=memory_constraint,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def _set_options(self, **options: Any) -> None:
        """Check the options of the constructor and set them as attributes."""
        options["memory_initializer"] = memory_initializer_of(options["memory_initializer"])
        known = {name: options[name] for name in (*_SHARED_OPTIONS, "seed")}
        known["seed"] = 0 if known["seed"] is None else known["seed"]
        known["memory_initializer"] = memattn_name(options["memory_initializer"])
        for text in _memattn.config_warnings(config_json(**known)):
            warnings.warn(text, UserWarning, stacklevel=3)
        self._keep_options(options)

    def build(self, input_shape: Any) -> None:
        """Create the weights.

        Parameters
        ----------
        input_shape : (B, T, U)
            B and T may be None.
        """
        width = input_shape[-1]
        if len(input_shape) != 3 or width is None:
            found = f"shape {tuple(input_shape)}"
            raise ValueError(f"build: input_shape: found {found}, expected (batch, steps, width)")
        self.width = int(width)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: self.width})
        memory_seed, dropout_seed, *seeds = derived_seeds(self.seed, 10)
        self.memory = self.add_weight(
            name="memory",
            shape=(self.memory_size, self.units),
            initializer=seeded(self.memory_initializer, memory_seed),
            regularizer=self.memory_regularizer,
            constraint=self.memory_constraint,
            trainable=True,
        )
        self.attention = MultiHeadAttention(
            seeds=seeds,
            num_heads=self.num_heads,
            key_dim=self.key_dim or self.units,
            value_dim=self.value_dim,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy,
        )
        build_attention(self.attention, self.width, self.memory_size, self.units)
        if self.dropout > 0:
            self.dropout_layer = keras.layers.Dropout(
                self.dropout, seed=dropout_seed, dtype=self.dtype_policy
            )
        super().build(input_shape)

    @traced_as_written
    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        attention_mask: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        mask: Any = None,
        first_step: Any = 0,
    ) -> Any:
        """Run the layer.

        Parameters
        ----------
        inputs : tensor (B, T, U)
            The tokens.
        training : bool, optional
            Apply dropout; Keras sets it in ``fit``.
        attention_mask : tensor of bool, optional
            Mask that broadcasts to (B, T, S); True allows attention. All masks are combined by AND.
        query_mask : tensor of bool (B, T), optional
            True for each token that attends.
        value_mask : tensor of bool (B, S), optional
            True for each slot that can be attended to.
        use_causal_mask : bool
            Step t attends only to slots 0 to ``first_step + t``.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).
        mask : tensor of bool (B, T), optional
            The mask that Keras passes from ``Masking`` or ``Embedding``: a further query mask.
        first_step : int or integer scalar
            Position of step 0 of the inputs in its sequence, such as 5 for a call that continues
            after 5 steps. Only the causal mask uses it; dropout draws from Keras' generator.

        Returns
        -------
        tensor (B, T, U), or that and the scores

        Raises
        ------
        ValueError
            If a shape does not fit, or `first_step` is negative.
        TypeError
            If `first_step` is not an integer, or a mask holds floats, since an additive mask of 0
            and -inf would mean the opposite.
        """
        batch, steps, _ = inputs.shape
        if mask is None:
            mask = getattr(inputs, "_keras_mask", None)
        first = checked_first_step(first_step, self.memory_size)
        read, scores = attend(
            inputs,
            self._weights(),
            self.route,
            joined_mask(
                attention_rows(attention_mask, (batch, steps, self.memory_size)),
                token_rows("query_mask", query_mask, (batch, steps)),
                token_rows("mask", mask, (batch, steps)),
                slot_rows("value_mask", value_mask, (batch, self.memory_size)),
                causal_rows(ops.shape(inputs)[1], self.memory_size, first)
                if use_causal_mask
                else None,
            ),
            self.fully_masked,
            self._drop(training),
        )
        output = inputs + read if self.residual else read
        if return_attention_scores == "mean":
            return output, ops.mean(scores, axis=2)
        if return_attention_scores:
            return output, ops.transpose(scores, (0, 2, 1, 3))
        return output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the tokens, since each output belongs to one token."""
        return mask

    def compute_output_spec(self, inputs: Any, *_: Any, **call: Any) -> Any:
        """Return the shapes and dtype of a call's result, for Keras 3."""
        batch, steps, _ = inputs.shape
        output = keras.KerasTensor(inputs.shape, self.compute_dtype)
        wanted = call.get("return_attention_scores", False)
        if not wanted:
            return output
        heads = () if wanted == "mean" else (self.num_heads,)
        shape = (batch, *heads, steps, self.memory_size)
        return output, keras.KerasTensor(shape, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, which is that of the input."""
        return shape_of(input_shape)

    @property
    def route(self) -> Route:
        """The route in use, ``"folded"`` or ``"projected"``; results agree up to rounding.

        By default the layer chooses the route with less work per token. Assign a route to force it,
        or ``"auto"`` to restore the default. Compiled functions keep the route that they were
        compiled with.
        """
        if self._forced_route is not None:
            return self._forced_route
        key_dim = self.key_dim or self.units
        width = self.width or self.units
        return cheaper_route(width, self.memory_size, key_dim, self.value_dim or key_dim)

    @route.setter
    def route(self, route: Literal["auto", "folded", "projected"]) -> None:
        if route not in ("auto", "folded", "projected"):
            raise ValueError(f'route: found {route!r}, expected "auto", "folded" or "projected"')
        self._forced_route = None if route == "auto" else route

    form = RenamedProperty("route", removed_in="0.3")

    def _note_widths(self) -> None:
        self.width = int(projections(self.attention)[0].kernel.shape[0])

    def _weights(self) -> Weights:
        tensors = projection_tensors(self.name, self.attention)
        return Weights(self.compute_dtype, ops.convert_to_tensor(self.memory), *tensors)

    def _weight_names(self) -> list[str]:
        return ["memory", *names_of_projections("", self.use_bias)]

    def _input_shape_of(self, options: Mapping[str, Any]) -> Any:
        return (None, None, self.units)

    def _numpy_options(self) -> dict[str, Any]:
        if self.width != self.units:
            found = f"found an input of width {self.width}, expected the units, {self.units}"
            raise ValueError(f"save: {found}; this format needs them to be equal")
        return {"memory_initializer": memattn_name(self.memory_initializer)}

    def _drop(self, training: bool | None) -> Any:
        layer = self.dropout_layer
        return None if layer is None else lambda scores: layer(scores, training=training)
