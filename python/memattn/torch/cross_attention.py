"""The module in which one input reads another: ``Z = MultiHeadAttention(S1, S2, S2)``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

import memattn
from memattn.arrays import as_count
from memattn.layer_options import PairRoute
from memattn.torch.base_module import (
    ProjectionMaker,
    attention_mask_of,
    paths_of,
    place_of,
    scores_choice,
    step_mask_of,
)
from memattn.torch.call import Call
from memattn.torch.kinds import CROSS
from memattn.torch.pair_module import PairModule
from memattn.torch.pair_plain import sizes_of


class CrossAttention(PairModule):
    """Attention of one input over another, ``Z = MultiHeadAttention(S1, S2, S2)``.

    S1 and S2 are the two inputs after a Dense layer each: ``S1 = X1 W1 + b1`` and ``S2 = X2 W2 +
    b2``. Every step of the first input attends to the steps of the second. There is no residual
    connection and no normalisation. ``docs/siblings-math.md`` has the derivation, and
    ``docs/pytorch.md`` is the guide.

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
        Width of a head's queries and keys. Default: `units`, as in the published layer, not `units
        / num_heads` as in `nn.MultiheadAttention`.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1). Dropout draws from PyTorch's
        generator, so `torch.manual_seed` repeats a run.
    fully_masked : {"zero", "uniform"}
        Result for a step whose steps of the second input are all masked: ``output.bias`` (no
        attention output), or equal weights for all of them.
    seed : int, optional
        Seed of the initial weights, which equal those of the NumPy layer with this seed. Default:
        drawn from PyTorch's generator.
    device, dtype : optional
        Device and dtype of the parameters, as in every PyTorch module.

    Attributes
    ----------
    source1, source2 : Module
        The Dense layers, with parameters ``kernel`` (F1, U) or (F2, U), and ``bias`` (U,) or None.
    query, key : Module
        Parameters ``kernel`` (U, H, D) and ``bias`` (H, D).
    value : Module
        Parameters ``kernel`` (U, H, Dv) and ``bias`` (H, Dv).
    output : Module
        Parameters ``kernel`` (H, Dv, U) and ``bias`` (U,).

    Raises
    ------
    ValueError
        If an option is invalid.

    Notes
    -----
    On float32 and float64 CPU tensors, the compiled kernels compute the layer, without the GIL and
    on at most ``torch.get_num_threads()`` and ``memattn.num_threads()`` threads. The result equals
    that of the NumPy layer to the bit, with ``training`` as in this module. In all other cases, and
    under transforms such as ``torch.func.vmap``, PyTorch's own operators compute it, in the same
    folded form.

    The names in ``state_dict()`` are those in weight files.

    Examples
    --------
    >>> import torch
    >>> from memattn.torch import CrossAttention
    >>> layer = CrossAttention(64, 4, source1_units=8, source2_units=12)
    >>> layer(torch.zeros(32, 10, 8), torch.zeros(32, 24, 12)).shape
    torch.Size([32, 10, 64])
    """

    _kind = CROSS
    _numpy: ClassVar[Any] = memattn.CrossAttention
    _options = (
        *("units", "num_heads", "source1_units", "source2_units", "key_dim", "value_dim"),
        *("use_bias", "dropout", "fully_masked", "seed"),
    )
    _paths = paths_of("source1", "source2", "query", "key", "value", "output")

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
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dtype = self._set_options(
            dtype,
            units=units,
            num_heads=num_heads,
            source1_units=source1_units,
            source2_units=source2_units,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            dropout=dropout,
            fully_masked=fully_masked,
            seed=seed,
        )
        make = ProjectionMaker(use_bias, device, dtype)
        for name, width in (("source1", source1_units), ("source2", source2_units)):
            setattr(self, name, make.projection((width or units, units), (units,)))
        make.add_attention(self, units, num_heads, key_dim, value_dim)
        self.reset_parameters()

    def forward(
        self,
        x1: Tensor,
        x2: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
        return_attention_scores: bool | Literal["mean"] = False,
    ) -> Any:
        """Run the layer, as ``layer(x1, x2)`` or ``layer([x1, x2])``.

        Parameters
        ----------
        x1 : Tensor (B, T1, F1) or, without a batch, (T1, F1), or list or tuple of both inputs
            The input that attends (queries), in the dtype of the parameters, or any dtype under
            autocast.
        x2 : Tensor (B, T2, F2) or (T2, F2), unless `x1` is both
            The input that is attended to (keys and values). Its batch is that of `x1`; its number
            of steps may differ.
        attention_mask : Tensor of bool, optional
            Broadcasts to (B, T1, T2); True keeps, as in `scaled_dot_product_attention` and unlike
            `nn.MultiheadAttention`. Masks are ANDed; without a batch, they have none either.
        query_mask : Tensor of bool (B, T1), optional
            True for each step of `x1` that attends.
        value_mask : Tensor of bool (B, T2), optional
            True for each step of `x2` that can be attended to. The values of the other steps, even
            NaN, affect neither results nor gradients.
        use_causal_mask : bool
            Step t of `x1` attends only to steps 0 to ``first_step + t`` of `x2`.
        first_step : int
            Position of step 0 of `x1` in its sequence, such as 5 for a call that continues after 5
            steps. The causal mask and dropout use it.
        first_sequence : int
            Position of sequence 0 in a batch that is split into several calls. Only dropout in the
            kernels uses it, see `memattn.torch.MemoryAugmentedAttention`.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T1, T2), before dropout, or their mean over heads
            (B, T1, T2).

        Returns
        -------
        Tensor (B, T1, U) or (T1, U), or that and the scores

        Raises
        ------
        ValueError
            If a shape, a device or the dtype of an input does not fit, or a list does not hold two
            inputs.
        TypeError
            If an input is missing or not a tensor, or a mask is not a tensor of booleans or
            integers.
        """
        scores = scores_choice(return_attention_scores)
        weights = self._weights()
        x1, x2, axes = self._pair(x1, x2, weights)
        batch, queries, keys = x1.shape[0], x1.shape[1], x2.shape[1]
        call = Call(
            attention_mask_of(attention_mask, x1, axes, (batch, queries, keys)),
            step_mask_of("query_mask", query_mask, x1, axes, (batch, queries)),
            step_mask_of("value_mask", value_mask, x1, axes, (batch, keys)),
            use_causal_mask=bool(use_causal_mask),
            first_step=place_of("first_step", first_step, queries),
            first_sequence=place_of("first_sequence", first_sequence, batch),
            uniform_when_masked=self.fully_masked == "uniform",
            dropout=self.dropout,
            training=self.training,
            scores=scores,
            route=self._route,
        )
        outputs = self._run((x1, x2), weights, call, batched=axes == 3)
        return outputs[0] if scores == "none" else outputs

    def route_of(
        self, batch: int, steps1: int, steps2: int, *, training: bool | None = None
    ) -> PairRoute:
        """Return the route that a call of these sizes takes, see `route`.

        Parameters
        ----------
        batch, steps1, steps2 : int
            B, T1 and T2, each at least 0.
        training : bool, optional
            Whether the call is in training mode. Default: the mode of the module. The backward pass
            takes the route of training mode.

        Raises
        ------
        ValueError
            If a number is negative.
        TypeError
            If a number is not an integer.
        """
        sizes = (
            as_count("batch", batch),
            as_count("steps1", steps1),
            as_count("steps2", steps2),
        )
        if self._route != "auto":
            return self._route
        training = self.training if training is None else bool(training)
        return sizes_of(self._weights(), one_source=False).cheapest_route(*sizes, training)
