"""The base of ``CrossAttention`` and ``HierarchicalAttention`` for Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from memattn.keras.host import (
    build_attention,
    build_dense,
    dense_tensors,
    keras,
    ops,
    projection_tensors,
    shape_of,
)
from memattn.keras.initializers import MultiHeadAttention, derived_seeds, seeded
from memattn.keras.learner import Constraint, Initializer, Learner, Regularizer
from memattn.keras.masks import Size
from memattn.keras.sequence_attention import Dense, SequenceWeights
from memattn.layer_options import (
    PAIR_ROUTES,
    PAIR_WAYS,
    PairRoute,
    PairSizes,
    PairWay,
    config_json,
)

# Stands for a size that is unknown before the call, to choose a route; Keras' default batch size.
_UNKNOWN = 32


class PairLayer(Learner):
    """A layer of two inputs, each of which passes through a Dense layer of its own."""

    _width_names: ClassVar[tuple[str, str]]  # names of the inputs' widths in the other frameworks
    # The attributes of the two Dense layers, and those of the attentions; with each attention, the
    # index of the Dense layer before its queries, and of that before its keys and values.
    _dense_names: ClassVar[tuple[str, str]]
    _attentions: ClassVar[Mapping[str, tuple[int, int]]]
    _shared_options = (
        *("units", "num_heads", "key_dim", "value_dim"),
        *("use_bias", "dropout", "fully_masked"),
    )
    _fresh = ("dropout_layers", "_forced_route", "widths", "supports_masking")

    def __init__(
        self,
        units: int,
        num_heads: int,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = True,
        dropout: float = 0.0,
        fully_masked: Literal["zero", "uniform"] = "zero",
        seed: int | None = None,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.supports_masking = True
        self.widths: tuple[int, int] | None = None
        self._forced_route: PairRoute | None = None
        self.dropout_layers: Any = None
        self.input_spec = [keras.layers.InputSpec(ndim=3)] * 2
        for name in (*self._dense_names, *self._attentions):
            setattr(self, name, None)
        self._set_options(
            units=units,
            num_heads=num_heads,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            dropout=dropout,
            fully_masked=fully_masked,
            seed=seed,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
        )

    def _set_options(self, **options: Any) -> None:
        known = {name: options[name] for name in self._shared_options}
        seed = 0 if options["seed"] is None else options["seed"]
        name = self._numpy_class.__name__
        core = self._numpy_class._cores["float32"]
        core.check_config(config_json(layer=name, **known, seed=seed))
        self._keep_options(options)

    def build(self, input_shape: Any) -> None:
        """Create the weights.

        Parameters
        ----------
        input_shape : list or tuple of two shapes
            (B, T1, F1) and (B, T2, F2); B and the steps may be None.
        """
        shapes = [tuple(shape) for shape in input_shape]
        if [len(shape) for shape in shapes] != [3, 3] or None in (shapes[0][2], shapes[1][2]):
            expected = "two of (batch, steps, width)"
            raise ValueError(f"build: input_shape: found {shapes}, expected {expected}")
        self.widths = (int(shapes[0][2]), int(shapes[1][2]))
        self.input_spec = [
            keras.layers.InputSpec(ndim=3, axes={-1: width}) for width in self.widths
        ]
        number = 2 * len(self._dense_names) + 9 * len(self._attentions)
        seeds = iter(derived_seeds(self.seed, number))
        shared = {
            "use_bias": self.use_bias,
            "kernel_regularizer": self.kernel_regularizer,
            "bias_regularizer": self.bias_regularizer,
            "kernel_constraint": self.kernel_constraint,
            "bias_constraint": self.bias_constraint,
            "dtype": self.dtype_policy,
        }
        for name, width in zip(self._dense_names, self.widths, strict=True):
            dense = keras.layers.Dense(
                self.units,
                kernel_initializer=seeded(self.kernel_initializer, next(seeds)),
                bias_initializer=seeded(self.bias_initializer, next(seeds)),
                **shared,
            )
            build_dense(dense, width)
            setattr(self, name, dense)
        dropouts = []
        for name in self._attentions:
            attention = MultiHeadAttention(
                seeds=[next(seeds) for _ in range(8)],
                num_heads=self.num_heads,
                key_dim=self.key_dim or self.units,
                value_dim=self.value_dim,
                kernel_initializer=self.kernel_initializer,
                bias_initializer=self.bias_initializer,
                **shared,
            )
            build_attention(attention, self.units, 1, self.units)
            setattr(self, name, attention)
            seed = next(seeds)
            if self.dropout > 0:
                dropouts.append(
                    keras.layers.Dropout(self.dropout, seed=seed, dtype=self.dtype_policy)
                )
        self.dropout_layers = dropouts or None
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return (B, T1, U) for the shapes of both inputs."""
        batch, steps, _ = input_shape[0]
        return shape_of((batch, steps, self.units))

    @property
    def route(self) -> PairRoute | Literal["auto"]:
        """The route of every call, or ``"auto"`` to choose one for each call.

        All routes give the same result up to rounding. They differ in the products of weights that
        each call computes first. ``"auto"`` takes the route with the least work for the sizes of a
        call; an unknown size counts as 32. `route_of` returns the route of a call. The names are
        those of the NumPy layer. Compiled functions keep the route that they were compiled with.
        """
        return self._forced_route or "auto"

    @route.setter
    def route(self, route: PairRoute | Literal["auto"]) -> None:
        names = ("auto", *PAIR_ROUTES)
        if route not in names:
            known = ", ".join(f'"{name}"' for name in names)
            raise ValueError(f"route: found {route!r}, expected one of {known}")
        self._forced_route = None if route == "auto" else route

    def _route_between(
        self, widths: tuple[int, int], sizes: tuple[Size, Size, Size], one_source: bool
    ) -> PairRoute:
        """Return the route of one attention for sizes (batch, steps, keys)."""
        if self._forced_route is not None:
            return self._forced_route
        key_dim = self.key_dim or self.units
        value_dim = self.value_dim or key_dim
        of = PairSizes(self.units, *widths, self.num_heads, key_dim, value_dim, one_source)
        batch, steps, keys = (_UNKNOWN if size is None else int(size) for size in sizes)
        return of.cheapest_route(batch, steps, keys, training=True)

    def _way(
        self, widths: tuple[int, int], sizes: tuple[Size, Size, Size], one_source: bool
    ) -> PairWay:
        return PAIR_WAYS[self._route_between(widths, sizes, one_source)]

    def _note_widths(self) -> None:
        first, second = (int(getattr(self, n).kernel.shape[0]) for n in self._dense_names)
        self.widths = (first, second)

    def _built_widths(self) -> tuple[int, int]:
        if self.widths is None:
            raise ValueError(f"{self.name}: this layer is not built; call it or build() first")
        return self.widths

    def _sources(self, inputs: Any) -> tuple[Any, Any]:
        """Return the two inputs of a call, which must have equal batches."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            found = f"{len(inputs)}" if isinstance(inputs, (list, tuple)) else "one tensor"
            raise ValueError(f"{self.name}: inputs: found {found}, expected a list of two tensors")
        first, second = inputs
        if None not in (first.shape[0], second.shape[0]) and first.shape[0] != second.shape[0]:
            found = f"batches of {first.shape[0]} and {second.shape[0]}"
            raise ValueError(f"{self.name}: inputs: found {found}, expected equal batches")
        return first, second

    def _weights(self, name: str) -> SequenceWeights:
        """Return the weights of an attention, with those of the Dense layers before it."""
        made: dict[int, Dense] = {}
        for number in self._attentions[name]:
            dense = getattr(self, self._dense_names[number])
            made.setdefault(number, Dense(*dense_tensors(self.name, dense)))
        dense1, dense2 = (made[number] for number in self._attentions[name])
        tensors = projection_tensors(self.name, getattr(self, name))
        return SequenceWeights(self.compute_dtype, dense1, dense2, *tensors)

    def _drop(self, side: int, training: bool | None) -> Any:
        if self.dropout_layers is None or training is False:
            return None
        layer = self.dropout_layers[side]
        return lambda scores: layer(scores, training=training)

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = super()._options()
        if self.widths is not None:
            options.update(zip(self._width_names, self.widths, strict=True))
        return options

    def _expected(self, options: Mapping[str, Any], name: str) -> Any:
        value = options[name]
        return options["units"] if value is None and name in self._width_names else value

    def _input_shape_of(self, options: Mapping[str, Any]) -> Any:
        return [(None, None, self._expected(options, name)) for name in self._width_names]

    def _numpy_options(self) -> dict[str, Any]:
        return {}


def masks_of_inputs(inputs: Any, mask: Any) -> tuple[Any, Any]:
    """Return the masks that Keras passes with two inputs; None for an input without one."""
    if mask is None:
        mask = [getattr(tensor, "_keras_mask", None) for tensor in inputs]
    first, second = mask
    return first, second


def scores_as_wanted(scores: Any, wanted: bool | Literal["mean"]) -> Any:
    """Return scores (B, H, T1, T2), or their mean over heads, as the caller wants them."""
    return ops.mean(scores, axis=1) if wanted == "mean" else scores


def scores_spec(
    shape: tuple[Size, Size, Size], heads: int, wanted: bool | Literal["mean"], dtype: str
) -> Any:
    """Return the shape and dtype of the result of `scores_as_wanted`, for Keras 3."""
    batch, steps, keys = shape
    size = (batch, steps, keys) if wanted == "mean" else (batch, heads, steps, keys)
    return keras.KerasTensor(size, dtype)
