"""The module that adds two self-attentions, over a short-term and a long-term input."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

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
from memattn.torch.kinds import HIERARCHICAL
from memattn.torch.pair_module import PairModule
from memattn.torch.pair_plain import sizes_of


class HierarchicalAttention(PairModule):
    """The sum of two self-attentions, ``Z = Attention(short) + Attention(long)``.

    Each of the two inputs passes through a Dense layer of its own, ``S = X W + b``, and then
    through ``MultiHeadAttention(S, S, S)`` of its own. The two sides do not see each other; only
    their outputs are added. There is no residual and no normalisation. ``docs/siblings-math.md``
    has the derivation, and ``docs/pytorch.md`` is the guide.

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
        Width of a head's queries and keys. Default: `units`, as in the published layer, not `units
        / num_heads` as in `nn.MultiheadAttention`.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1). The sides drop different
        scores. Dropout draws from PyTorch's generator, so `torch.manual_seed` repeats a run.
    fully_masked : {"zero", "uniform"}
        Result of a side for a step whose steps are all masked: that side's ``output.bias`` (no
        attention output), or equal weights for all steps.
    seed : int, optional
        Seed of the initial weights, which equal those of the NumPy layer with this seed. Default:
        drawn from PyTorch's generator.
    device, dtype : optional
        Device and dtype of the parameters, as in every PyTorch module.

    Attributes
    ----------
    short, long : Module
        The two sides. Each has the modules ``dense``, with parameters ``kernel`` (Fs, U) or (Fl, U)
        and ``bias`` (U,) or None; ``query`` and ``key``, with ``kernel`` (U, H, D) and ``bias``
        (H, D); ``value``, with ``kernel`` (U, H, Dv) and ``bias`` (H, Dv); and ``output``, with
        ``kernel`` (H, Dv, U) and ``bias`` (U,).

    Raises
    ------
    ValueError
        If an option is invalid.

    Notes
    -----
    Calls are computed as those of `memattn.torch.CrossAttention`. The names in ``state_dict()`` are
    those in weight files, in the order of the modules.

    Examples
    --------
    >>> import torch
    >>> from memattn.torch import HierarchicalAttention
    >>> layer = HierarchicalAttention(64, 4, short_units=8, long_units=12)
    >>> layer(torch.zeros(32, 10, 8), torch.zeros(32, 10, 12)).shape
    torch.Size([32, 10, 64])
    """

    _kind = HIERARCHICAL
    _numpy: ClassVar[Any] = memattn.HierarchicalAttention
    _options = (
        *("units", "num_heads", "short_units", "long_units", "key_dim", "value_dim"),
        *("use_bias", "dropout", "fully_masked", "seed"),
    )
    _paths = paths_of(
        "short.dense",
        "long.dense",
        *(f"{side}.{p}" for side in ("short", "long") for p in ("query", "key", "value", "output")),
    )

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
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dtype = self._set_options(
            dtype,
            units=units,
            num_heads=num_heads,
            short_units=short_units,
            long_units=long_units,
            key_dim=key_dim,
            value_dim=value_dim,
            use_bias=use_bias,
            dropout=dropout,
            fully_masked=fully_masked,
            seed=seed,
        )
        make = ProjectionMaker(use_bias, device, dtype)
        for name, width in (("short", short_units), ("long", long_units)):
            side = nn.Module()
            side.dense = make.projection((width or units, units), (units,))
            make.add_attention(side, units, num_heads, key_dim, value_dim)
            setattr(self, name, side)
        self.reset_parameters()

    def forward(
        self,
        short: Tensor,
        long: Tensor | None = None,
        *,
        short_mask: Tensor | None = None,
        long_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        first_sequence: int = 0,
        return_attention_scores: bool | Literal["mean"] = False,
    ) -> Any:
        """Run the layer, as ``layer(short, long)`` or ``layer([short, long])``.

        Parameters
        ----------
        short : Tensor (B, T, Fs) or, without a batch, (T, Fs), or list or tuple of both inputs
            The short-term input, in the dtype of the parameters, or any dtype under autocast.
        long : Tensor (B, T, Fl) or (T, Fl), unless `short` is both
            The long-term input, with the same batch and steps; there is no broadcasting.
        short_mask : Tensor of bool (B, T), optional
            True for each step of `short` that attends and can be attended to. Masks are ANDed;
            without a batch, they have none either. The values of the other steps, even NaN, affect
            neither results nor gradients.
        long_mask : Tensor of bool (B, T), optional
            The same for `long`.
        attention_mask : Tensor of bool, optional
            Broadcasts to (B, T, T), for both sides.
        use_causal_mask : bool
            Step t attends only to steps 0 to t.
        first_sequence : int
            Position of sequence 0 in a batch that is split into several calls. Only dropout in the
            kernels uses it, see `memattn.torch.MemoryAugmentedAttention`.
        return_attention_scores : bool or "mean"
            Also return the scores of both sides, a pair of tensors (B, H, T, T), before dropout, or
            their means over heads (B, T, T).

        Returns
        -------
        Tensor (B, T, U) or (T, U), or that and the pair (short scores, long scores)

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
        short, long, axes = self._pair(short, long, weights)
        batch, steps = short.shape[0], short.shape[1]
        if long.shape[1] != steps:
            raise ValueError(f"long: found {long.shape[1]} steps, expected {steps} as of short")
        call = Call(
            attention_mask_of(attention_mask, short, axes, (batch, steps, steps)),
            step_mask_of("short_mask", short_mask, short, axes, (batch, steps)),
            step_mask_of("long_mask", long_mask, short, axes, (batch, steps)),
            use_causal_mask=bool(use_causal_mask),
            first_sequence=place_of("first_sequence", first_sequence, batch),
            uniform_when_masked=self.fully_masked == "uniform",
            dropout=self.dropout,
            training=self.training,
            scores=scores,
            route=self._route,
        )
        y, *found = self._run((short, long), weights, call, batched=axes == 3)
        return (y, tuple(found)) if found else y

    def route_of(
        self, batch: int, steps: int, *, training: bool | None = None
    ) -> tuple[PairRoute, PairRoute]:
        """Return the routes that both sides of a call of these sizes take.

        Parameters
        ----------
        batch, steps : int
            B and T, each at least 0.
        training : bool, optional
            Whether the call is in training mode. Default: the mode of the module. The backward pass
            takes the routes of training mode.

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
        sizes = as_count("batch", batch), as_count("steps", steps)
        if self._route != "auto":
            return self._route, self._route
        training = self.training if training is None else bool(training)
        of_short, of_long = (
            sizes_of(side, one_source=True).cheapest_route(*sizes, sizes[1], training)
            for side in self._weights().sides()
        )
        return of_short, of_long
