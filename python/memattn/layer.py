"""The layer over NumPy arrays: ``Z = X + MultiHeadAttention(X, M, M)`` with a learned memory M."""

from __future__ import annotations

import secrets
import warnings
from typing import Any, ClassVar, Literal

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_numbers, as_place, check_shape
from memattn.base_layer import BaseLayer, as_attention_mask, as_step_mask, in_out
from memattn.deprecation import RenamedProperty
from memattn.layer_options import (
    MemoryInitializer,
    Precision,
    Route,
    checked_dtype,
    checked_precision,
    config_json,
)


class MemoryAugmentedAttention(BaseLayer):
    """Attention over a learned memory, ``Z = X + MultiHeadAttention(X, M, M)``.

    Every token of the input attends to the same ``memory_size`` learned slots. The memory does not
    depend on the input, so the projections can be folded into two thin matrices, which takes
    several times less work. ``docs/math.md`` has the derivation.

    Below, B is the batch, T the steps, U `units`, S `memory_size`, H `num_heads`, D `key_dim` and
    Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of the input and of a memory slot.
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
    memory_initializer : str or mapping
        ``"normal"``, ``{"kind": "normal", "stddev": 0.3}``, ``"glorot_uniform"`` or ``"zeros"``.
        ``"zeros"`` raises a warning: such a memory cannot learn, since all slots stay equal.
    fully_masked : {"zero", "uniform"}
        Result for a token whose slots are all masked: no attention output (Keras 3, PyTorch), or
        equal weights for all slots (the published layer on Keras 2).
    dtype : {"float32", "float64"}
        Type of weights, computation and results. Inputs of other types are converted.
    seed : int, optional
        Seed of the initial weights and of dropout. Default: drawn from the operating system. The
        config keeps it.
    precision : {"float32", "bfloat16"}
        Precision of products in a call of a float32 layer. ``"bfloat16"`` rounds tokens and folded
        weights to bfloat16 and sums the products in float32, which is up to twice as fast on
        processors with AVX512-BF16 and slower on others. Softmax, biases and residual stay float32,
        and so do training calls and `backward`. The relative error of the result is about 1e-3.

    Notes
    -----
    Several threads may call a layer at the same time. Calls release the GIL, except those of a few
    microseconds. Weights are changed under the GIL; a running call continues with the weights that
    it started with.

    Examples
    --------
    >>> import numpy as np
    >>> from memattn import MemoryAugmentedAttention
    >>> layer = MemoryAugmentedAttention(64, 20, 4, seed=0)
    >>> layer(np.zeros((32, 10, 64), np.float32)).shape
    (32, 10, 64)
    """

    _name = "MemoryAugmentedAttention"
    _cores: ClassVar[dict[str, Any]] = {
        "float32": _memattn.LayerFloat32,
        "float64": _memattn.LayerFloat64,
    }
    _inputs = ("x",)
    _required = ("units", "memory_size", "num_heads")
    _defaults: ClassVar[dict[str, Any]] = {
        "key_dim": None,
        "value_dim": None,
        "use_bias": True,
        "residual": True,
        "dropout": 0.0,
        "memory_initializer": "normal",
        "fully_masked": "zero",
        "dtype": "float32",
    }

    def __init__(
        self,
        units: int,
        memory_size: int,
        num_heads: int,
        *,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = True,
        residual: bool = True,
        dropout: float = 0.0,
        memory_initializer: MemoryInitializer = "normal",
        fully_masked: Literal["zero", "uniform"] = "zero",
        dtype: str | np.dtype[Any] | type[np.floating[Any]] = "float32",
        seed: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        config = config_json(
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
            seed=secrets.randbits(63) if seed is None else seed,
            precision=checked_precision(precision, self._name),
        )
        name = checked_dtype(dtype)
        self._adopt(self._cores[name](config), name)
        for text in _memattn.config_warnings(config):
            warnings.warn(text, UserWarning, stacklevel=2)

    def __call__(
        self,
        x: object,
        *,
        attention_mask: object = None,
        query_mask: object = None,
        value_mask: object = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        training: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
        out: Array | None = None,
    ) -> Any:
        """Run the layer.

        Parameters
        ----------
        x : array (B, T, U)
            Any object with the buffer protocol or DLPack. A C-contiguous array of the layer's dtype
            is not copied.
        attention_mask : array of bool, optional
            Mask that broadcasts to (B, T, S); True allows attention. All masks are combined by AND.
        query_mask : array of bool (B, T), optional
            True for each token that attends.
        value_mask : array of bool (B, S), optional
            True for each slot that can be attended to.
        use_causal_mask : bool
            Step t attends only to slots 0 to ``first_step + t``.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).
        training : bool
            Apply dropout. Each training call draws new random numbers, see `dropout_step`.
        first_step : int
            Position of step 0 of `x` in its sequence, such as 5 for a call that continues after 5
            steps. Only the causal mask and dropout use it. With it, a sequence that is split into
            several calls gives the same bits as one call.
        first_sequence : int
            Position of sequence 0 of `x` in a batch that is split into several calls. Only dropout
            uses it.
        out : array (B, T, U), optional
            Array for the result, C-contiguous and of the layer's dtype; may be `x` itself.

        Returns
        -------
        array (B, T, U), or that and the scores

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If an argument is not an array, or has the wrong dtype.
        """
        # The fast route: checking arrays in Python takes longer than computing a token, so C++ does
        # it. None means that the arguments need a conversion or a check here.
        if (
            attention_mask is query_mask is value_mask is None
            and use_causal_mask is return_attention_scores is training is False
            and first_step == 0 == first_sequence
        ):
            done = self._core.forward_plain(x, out)
            if done is not None:
                return done
        array, batch, steps = self._tokens("x", x)
        y = self._result(out, array.shape)
        scores = self._scores(return_attention_scores, batch, steps, self._slots)
        masks = self._masks(batch, steps, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps)
        sequence = as_place("first_sequence", first_sequence, batch)
        if training:
            self._dropout_step += 1
        self._core.forward(
            array,
            y,
            scores,
            return_attention_scores == "mean",
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            place,
            sequence,
        )
        y = in_out(out, y)
        return y if scores is None else (y, scores)

    def backward(
        self,
        x: object,
        grad_y: object,
        *,
        attention_mask: object = None,
        query_mask: object = None,
        value_mask: object = None,
        use_causal_mask: bool = False,
        training: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
    ) -> dict[str, Array]:
        """Compute the gradients of a loss with respect to the input and every weight.

        Parameters
        ----------
        x : array (B, T, U)
            The input of the call.
        grad_y : array (B, T, U)
            Gradient of the loss with respect to the result.
        attention_mask, query_mask, value_mask, use_causal_mask, training, first_step, \
first_sequence
            The arguments of the call. With `training`, the dropout of the latest training call is
            used.

        Returns
        -------
        dict of arrays
            ``"x"`` (B, T, U) and one gradient for each name in `weights`, of that weight's shape.
            The gradient of ``"key.bias"`` is exactly 0, since the softmax cancels this bias.
        """
        array, batch, steps = self._tokens("x", x)
        gradient = as_numbers("grad_y", grad_y, self._dtype)
        check_shape("grad_y", gradient.shape, array.shape)
        grad_x = np.empty_like(array)
        flat = np.empty(self._count, self._dtype)
        masks = self._masks(batch, steps, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps)
        sequence = as_place("first_sequence", first_sequence, batch)
        self._core.backward(
            array,
            gradient,
            grad_x,
            flat,
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            place,
            sequence,
        )
        return {"x": grad_x, **self._split(flat)}

    @property
    def weights(self) -> dict[str, Array]:
        """Read-only copies of the weights by name; use `set_weights` to change them.

        ``memory`` (S, U), ``query.kernel`` and ``key.kernel`` (U, H, D), their biases (H, D),
        ``value.kernel`` (U, H, Dv) and bias (H, Dv), ``output.kernel`` (H, Dv, U) and bias (U).
        """
        return super().weights

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        config = super().get_config()
        if config["memory_initializer"] == {"kind": "normal", "stddev": 1.0}:
            config["memory_initializer"] = "normal"
        elif config["memory_initializer"]["kind"] != "normal":
            config["memory_initializer"] = config["memory_initializer"]["kind"]
        return config

    @property
    def route(self) -> Route:
        """The route in use, ``"folded"`` or ``"projected"``; results agree up to rounding.

        By default the layer chooses the route with less work per token. Assign a route to force it,
        or ``"auto"`` to restore the default.
        """
        return "folded" if self._core.route() == "folded" else "projected"

    @route.setter
    def route(self, route: Literal["auto", "folded", "projected"]) -> None:
        if route not in ("auto", "folded", "projected"):
            raise ValueError(f'route: found {route!r}, expected "auto", "folded" or "projected"')
        self._core.set_route(route)

    path = RenamedProperty("route", removed_in="0.3")

    def _adopt(self, core: Any, dtype: str) -> dict[str, Any]:
        config = super()._adopt(core, dtype)
        self._slots: int = config["memory_size"]
        return config

    def _tokens(self, where: str, x: object) -> tuple[Array, int, int]:
        array = self._input(where, x, ("batch", "steps", self._units))
        return array, array.shape[0], array.shape[1]

    def _masks(
        self, batch: int, steps: int, attention_mask: object, query_mask: object, value_mask: object
    ) -> tuple[Array | None, Array | None, Array | None]:
        return (
            as_attention_mask(attention_mask, (batch, steps, self._slots)),
            as_step_mask("query_mask", query_mask, (batch, steps)),
            as_step_mask("value_mask", value_mask, (batch, self._slots)),
        )
