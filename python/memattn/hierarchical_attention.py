"""The sum of two self-attentions, over a short-term and a long-term input, on NumPy arrays."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_count, as_place
from memattn.base_layer import as_attention_mask, as_step_mask, in_out
from memattn.layer_options import PairRoute, Precision
from memattn.pair_layer import PairLayer


class HierarchicalAttention(PairLayer):
    """The sum of two self-attentions, ``Z = Attention(short) + Attention(long)``.

    Each of the two inputs passes through a Dense layer of its own, ``S = X W + b``, and then
    through ``MultiHeadAttention(S, S, S)`` of its own. The two sides do not see each other; only
    their outputs are added. There is no residual and no normalisation.

    Below, B is the batch, T the steps, Fs and Fl the widths of the short-term and the long-term
    input, U `units`, H `num_heads`, D `key_dim` and Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of the output, and of both inputs after their Dense layers.
    num_heads : int
        Number of attention heads of each side.
    short_units : int, optional
        Fs, the width of the short-term input. Default: `units`.
    long_units : int, optional
        Fl, the width of the long-term input. Default: `units`.
    key_dim : int, optional
        Width of a head's queries and keys. Default: `units`, as in the published layer.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1). Each side draws its own.
    fully_masked : {"zero", "uniform"}
        Result of a side for a step whose steps are all masked: that side's ``output.bias`` (no
        attention output), or equal weights for all steps.
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
    >>> from memattn import HierarchicalAttention
    >>> layer = HierarchicalAttention(64, 4, short_units=8, long_units=12, seed=0)
    >>> layer(np.zeros((32, 10, 8), np.float32), np.zeros((32, 10, 12), np.float32)).shape
    (32, 10, 64)
    """

    _name = "HierarchicalAttention"
    _cores: ClassVar[dict[str, Any]] = {
        "float32": _memattn.HierarchicalAttentionFloat32,
        "float64": _memattn.HierarchicalAttentionFloat64,
    }
    _inputs = ("short", "long")
    _width_names = ("short_units", "long_units")

    def __init__(
        self,
        units: int,
        num_heads: int,
        *,
        short_units: int | None = None,
        long_units: int | None = None,
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
            short_units=short_units,
            long_units=long_units,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            dropout=dropout,
            fully_masked=fully_masked,
        )

    def __call__(
        self,
        short: object,
        long: object = None,
        *,
        short_mask: object = None,
        long_mask: object = None,
        attention_mask: object = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        training: bool = False,
        first_sequence: int = 0,
        out: Array | None = None,
    ) -> Any:
        """Run the layer, as ``layer(short, long)`` or ``layer([short, long])``.

        The values of masked steps, even NaN, do not affect the result.

        Parameters
        ----------
        short : array (B, T, Fs), or list or tuple of both inputs
            The short-term input. Any object with the buffer protocol or DLPack. A C-contiguous
            array of the layer's dtype is not copied.
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
        training : bool
            Apply dropout. Each training call draws new random numbers, see `dropout_step`.
        first_sequence : int
            Position of sequence 0 in a batch that is split into several calls; dropout uses it.
        out : array (B, T, U), optional
            Array for the result, C-contiguous and of the layer's dtype. It must not share memory
            with an input.

        Returns
        -------
        array (B, T, U), or that and the pair (short scores, long scores)

        Raises
        ------
        ValueError
            If a shape does not fit, or a list does not hold two inputs.
        TypeError
            If an argument is not an array, has the wrong dtype, or the second input is missing.
        """
        short, long = self._pair(short, long)
        x_short, x_long, batch, steps = self._terms(short, long)
        y = self._result(out, (batch, steps, self._units))
        scores = [self._scores(return_attention_scores, batch, steps, steps) for _ in range(2)]
        masks = _masks(batch, steps, short_mask, long_mask, attention_mask)
        sequence = as_place("first_sequence", first_sequence, batch)
        if training:
            self._dropout_step += 1
        self._core.forward(
            x_short,
            x_long,
            y,
            *scores,
            return_attention_scores == "mean",
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            sequence,
        )
        y = in_out(out, y)
        return (y, (scores[0], scores[1])) if return_attention_scores else y

    def backward(
        self,
        short: object,
        long: object,
        grad_y: object,
        *,
        short_mask: object = None,
        long_mask: object = None,
        attention_mask: object = None,
        use_causal_mask: bool = False,
        training: bool = False,
        first_sequence: int = 0,
    ) -> dict[str, Array]:
        """Compute the gradients of a loss with respect to both inputs and every weight.

        Parameters
        ----------
        short : array (B, T, Fs)
            The short-term input of the call.
        long : array (B, T, Fl)
            The long-term input of the call.
        grad_y : array (B, T, U)
            Gradient of the loss with respect to the result.
        short_mask, long_mask, attention_mask, use_causal_mask, training, first_sequence
            The arguments of the call. With `training`, the dropout of the latest training call is
            used.

        Returns
        -------
        dict of arrays
            ``"short"`` (B, T, Fs), ``"long"`` (B, T, Fl) and one gradient for each name in
            `weights`, of that weight's shape. Those of the key biases are exactly 0, since the
            softmax cancels these biases. An optimizer's ``step`` takes the dict as it is.

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If an argument is not an array, or has the wrong dtype.
        """
        x_short, x_long, batch, steps = self._terms(short, long)
        gradient = self._input("grad_y", grad_y, (batch, steps, self._units))
        grad_short, grad_long = np.empty_like(x_short), np.empty_like(x_long)
        flat = np.empty(self._count, self._dtype)
        masks = _masks(batch, steps, short_mask, long_mask, attention_mask)
        sequence = as_place("first_sequence", first_sequence, batch)
        self._core.backward(
            x_short,
            x_long,
            gradient,
            grad_short,
            grad_long,
            flat,
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            sequence,
        )
        return {"short": grad_short, "long": grad_long, **self._split(flat)}

    @property
    def weights(self) -> dict[str, Array]:
        """Read-only copies of the weights by name; use `set_weights` to change them.

        ``short.dense.kernel`` (Fs, U), ``long.dense.kernel`` (Fl, U) and their biases (U); then of
        each side, first ``short`` and then ``long``: ``short.query.kernel`` and
        ``short.key.kernel`` (U, H, D) and their biases (H, D), ``short.value.kernel`` (U, H, Dv)
        and bias (H, Dv), ``short.output.kernel`` (H, Dv, U) and bias (U).
        """
        return super().weights

    def route_of(
        self, batch: int, steps: int, *, training: bool = False
    ) -> tuple[PairRoute, PairRoute]:
        """Return the routes that both sides of a call of these sizes take.

        Parameters
        ----------
        batch, steps : int
            B and T, each at least 0.
        training : bool
            Whether the cost includes the fold, as for a call with `training` and for `backward`,
            since each training step repeats it.

        Returns
        -------
        tuple of two str
            The routes of the short-term and of the long-term side, see `route`.

        Raises
        ------
        ValueError
            If a number is negative.
        TypeError
            If a number is not an integer.
        """
        of_short, of_long = self._core.route(
            as_count("batch", batch), as_count("steps", steps), bool(training)
        )
        return of_short, of_long

    def _terms(self, short: object, long: object) -> tuple[Array, Array, int, int]:
        x_short = self._input("short", short, ("batch", "steps", self._widths[0]))
        batch, steps = x_short.shape[:2]
        x_long = self._input("long", long, (batch, steps, self._widths[1]))
        return x_short, x_long, batch, steps


def _masks(
    batch: int, steps: int, short_mask: object, long_mask: object, attention_mask: object
) -> tuple[Array | None, Array | None, Array | None]:
    return (
        as_step_mask("short_mask", short_mask, (batch, steps)),
        as_step_mask("long_mask", long_mask, (batch, steps)),
        as_attention_mask(attention_mask, (batch, steps, steps)),
    )
