"""The layer in which one input attends to another, over NumPy arrays."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_count, as_place
from memattn.base_layer import as_attention_mask, as_step_mask, in_out
from memattn.layer_options import PairRoute, Precision
from memattn.pair_layer import PairLayer


class CrossAttention(PairLayer):
    """Attention of one input over another, ``Z = MultiHeadAttention(S1, S2, S2)``.

    S1 and S2 are the two inputs after a Dense layer each: ``S1 = X1 W1 + b1`` and ``S2 = X2 W2 +
    b2``. Every step of the first input attends to the steps of the second. There is no residual
    connection and no normalisation.

    Below, B is the batch, T1 and T2 the steps of the two inputs, F1 and F2 their widths, U `units`,
    H `num_heads`, D `key_dim` and Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of the output, and of both inputs after their Dense layers.
    num_heads : int
        Number of attention heads.
    source1_units : int, optional
        F1, the width of the input that attends (queries). Default: `units`.
    source2_units : int, optional
        F2, the width of the input that is attended to (keys and values). Default: `units`.
    key_dim : int, optional
        Width of a head's queries and keys. Default: `units`, as in the published layer.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1).
    fully_masked : {"zero", "uniform"}
        Result for a step whose steps of the second input are all masked: ``output.bias`` (no
        attention output), or equal weights for all of them.
    dtype : {"float32", "float64"}
        Type of weights, computation and results. Inputs of other types are converted.
    seed : int, optional
        Seed of the initial weights and of dropout. Default: drawn from the operating system. The
        config keeps it.
    precision : {"float32", "bfloat16"}
        Precision of products in a call of a float32 layer. ``"bfloat16"`` rounds queries, keys,
        scores and values to bfloat16 and sums the products in float32, which is faster on
        processors with AVX512-BF16 and slower on others. Softmax and biases stay float32, and so do
        training calls, `backward`, and layers too narrow to gain. The relative error of the result
        is about 4e-3.

    Raises
    ------
    ValueError
        If an option is invalid.

    Notes
    -----
    Several threads may call a layer at the same time. Calls release the GIL, except those of a few
    microseconds. Weights are changed under the GIL; a running call continues with the weights that
    it started with.

    Examples
    --------
    >>> import numpy as np
    >>> from memattn import CrossAttention
    >>> layer = CrossAttention(64, 4, source1_units=8, source2_units=12, seed=0)
    >>> layer(np.zeros((32, 10, 8), np.float32), np.zeros((32, 24, 12), np.float32)).shape
    (32, 10, 64)
    """

    _name = "CrossAttention"
    _cores: ClassVar[dict[str, Any]] = {
        "float32": _memattn.CrossAttentionFloat32,
        "float64": _memattn.CrossAttentionFloat64,
    }
    _inputs = ("x1", "x2")
    _width_names = ("source1_units", "source2_units")

    def __init__(
        self,
        units: int,
        num_heads: int,
        *,
        source1_units: int | None = None,
        source2_units: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_bias: bool = True,
        dropout: float = 0.0,
        fully_masked: Literal["zero", "uniform"] = "zero",
        dtype: str | np.dtype[Any] | type[np.floating[Any]] = "float32",
        seed: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        self._make(
            dtype,
            seed,
            precision,
            units=units,
            num_heads=num_heads,
            source1_units=source1_units,
            source2_units=source2_units,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            dropout=dropout,
            fully_masked=fully_masked,
        )

    def __call__(
        self,
        x1: object,
        x2: object = None,
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
        """Run the layer, as ``layer(x1, x2)`` or ``layer([x1, x2])``.

        The values of masked steps, even NaN, do not affect the result.

        Parameters
        ----------
        x1 : array (B, T1, F1), or list or tuple of both inputs
            The input that attends (queries). Any object with the buffer protocol or DLPack. A
            C-contiguous array of the layer's dtype is not copied.
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
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T1, T2), before dropout, or their mean over heads
            (B, T1, T2).
        training : bool
            Apply dropout. Each training call draws new random numbers, see `dropout_step`.
        first_step : int
            Position of step 0 of `x1` in its sequence, such as 5 for a call that continues after 5
            steps. The causal mask and dropout use it.
        first_sequence : int
            Position of sequence 0 in a batch that is split into several calls; dropout uses it.
        out : array (B, T1, U), optional
            Array for the result, C-contiguous and of the layer's dtype. It must not share memory
            with an input.

        Returns
        -------
        array (B, T1, U), or that and the scores

        Raises
        ------
        ValueError
            If a shape does not fit, or a list does not hold two inputs.
        TypeError
            If an argument is not an array, has the wrong dtype, or the second input is missing.
        """
        x1, x2 = self._pair(x1, x2)
        first, second, batch, steps1, steps2 = self._sources(x1, x2)
        y = self._result(out, (batch, steps1, self._units))
        scores = self._scores(return_attention_scores, batch, steps1, steps2)
        masks = _masks(batch, steps1, steps2, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps1)
        sequence = as_place("first_sequence", first_sequence, batch)
        if training:
            self._dropout_step += 1
        self._core.forward(
            first,
            second,
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
        x1: object,
        x2: object,
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
        """Compute the gradients of a loss with respect to both inputs and every weight.

        Parameters
        ----------
        x1 : array (B, T1, F1)
            The first input of the call.
        x2 : array (B, T2, F2)
            The second input of the call.
        grad_y : array (B, T1, U)
            Gradient of the loss with respect to the result.
        attention_mask, query_mask, value_mask, use_causal_mask, training, first_step, \
first_sequence
            The arguments of the call. With `training`, the dropout of the latest training call is
            used.

        Returns
        -------
        dict of arrays
            ``"x1"`` (B, T1, F1), ``"x2"`` (B, T2, F2) and one gradient for each name in `weights`,
            of that weight's shape. The gradient of ``"key.bias"`` is exactly 0, since the softmax
            cancels this bias. An optimizer's ``step`` takes the dict as it is.

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If an argument is not an array, or has the wrong dtype.
        """
        first, second, batch, steps1, steps2 = self._sources(x1, x2)
        gradient = self._input("grad_y", grad_y, (batch, steps1, self._units))
        grad_x1, grad_x2 = np.empty_like(first), np.empty_like(second)
        flat = np.empty(self._count, self._dtype)
        masks = _masks(batch, steps1, steps2, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps1)
        sequence = as_place("first_sequence", first_sequence, batch)
        self._core.backward(
            first,
            second,
            gradient,
            grad_x1,
            grad_x2,
            flat,
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            place,
            sequence,
        )
        return {"x1": grad_x1, "x2": grad_x2, **self._split(flat)}

    @property
    def weights(self) -> dict[str, Array]:
        """Read-only copies of the weights by name; use `set_weights` to change them.

        ``source1.kernel`` (F1, U), ``source2.kernel`` (F2, U) and their biases (U),
        ``query.kernel`` and ``key.kernel`` (U, H, D) and their biases (H, D), ``value.kernel``
        (U, H, Dv) and bias (H, Dv), ``output.kernel`` (H, Dv, U) and bias (U).
        """
        return super().weights

    def route_of(
        self, batch: int, steps1: int, steps2: int, *, training: bool = False
    ) -> PairRoute:
        """Return the route that a call of these sizes takes, see `route`.

        Parameters
        ----------
        batch, steps1, steps2 : int
            B, T1 and T2, each at least 0.
        training : bool
            Whether the cost includes the fold, as for a call with `training` and for `backward`,
            since each training step repeats it.

        Raises
        ------
        ValueError
            If a number is negative.
        TypeError
            If a number is not an integer.
        """
        found: PairRoute = self._core.route(
            as_count("batch", batch),
            as_count("steps1", steps1),
            as_count("steps2", steps2),
            bool(training),
        )
        return found

    def _sources(self, x1: object, x2: object) -> tuple[Array, Array, int, int, int]:
        first = self._input("x1", x1, ("batch", "steps1", self._widths[0]))
        batch, steps1 = first.shape[:2]
        second = self._input("x2", x2, (batch, "steps2", self._widths[1]))
        return first, second, batch, steps1, second.shape[1]


def _masks(
    batch: int,
    steps1: int,
    steps2: int,
    attention_mask: object,
    query_mask: object,
    value_mask: object,
) -> tuple[Array | None, Array | None, Array | None]:
    return (
        as_attention_mask(attention_mask, (batch, steps1, steps2)),
        as_step_mask("query_mask", query_mask, (batch, steps1)),
        as_step_mask("value_mask", value_mask, (batch, steps2)),
    )
