"""The layer as an ``nn.Module``: ``Z = X + MultiHeadAttention(X, M, M)``, M a learned memory."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

import memattn
from memattn import _memattn
from memattn.deprecation import RenamedProperty
from memattn.layer_options import MemoryInitializer, Route
from memattn.torch.base_module import (
    AttentionModule,
    Projection,
    ProjectionMaker,
    attention_mask_of,
    paths_of,
    place_of,
    scores_choice,
    step_mask_of,
)
from memattn.torch.call import Call
from memattn.torch.kinds import MEMORY

_Projection = Projection  # the name in pickles of modules from before version 0.2


class MemoryAugmentedAttention(AttentionModule):
    """Attention over a learned memory, ``Z = X + MultiHeadAttention(X, M, M)``.

    Every token of the input reads the same ``memory_size`` learned slots on its own: an
    `nn.MultiheadAttention` with ``batch_first=True`` whose keys and values come from a parameter,
    with the residual connection around it. Because the memory does not depend on the input, the
    projections fold into two thin matrices, which takes several times less work. ``docs/math.md``
    has the derivation, and ``docs/pytorch.md`` is the guide.

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
        Width of a head's queries and keys. Default: `units`, as in the published layer, not `units
        / num_heads` as in `nn.MultiheadAttention`.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the query, key, value and output projections have biases.
    residual : bool
        Whether the input is added to the attention output.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1). Dropout draws from PyTorch's
        generator, so `torch.manual_seed` repeats a run.
    memory_initializer : str or mapping
        ``"normal"``, ``{"kind": "normal", "stddev": 0.3}``, ``"glorot_uniform"`` or ``"zeros"``.
        ``"zeros"`` raises a warning: such a memory cannot learn, since all slots stay equal.
    fully_masked : {"zero", "uniform"}
        Result for a token whose slots are all masked: no attention output (Keras 3, PyTorch), or
        equal weights for all slots (the published layer on Keras 2).
    seed : int, optional
        Seed of the initial weights, which equal those of the NumPy layer with this seed. Default:
        drawn from PyTorch's generator.
    device, dtype : optional
        Device and dtype of the parameters, as in every PyTorch module.

    Attributes
    ----------
    memory : Parameter (S, U)
        The memory.
    query, key : Module
        Parameters ``kernel`` (U, H, D), and ``bias`` (H, D) or None.
    value : Module
        Parameters ``kernel`` (U, H, Dv) and ``bias`` (H, Dv).
    output : Module
        Parameters ``kernel`` (H, Dv, U) and ``bias`` (U,).

    Notes
    -----
    On float32 and float64 CPU tensors, the compiled kernels compute the layer, without the GIL and
    on at most ``torch.get_num_threads()`` and ``memattn.num_threads()`` threads. The result equals
    that of the NumPy layer to the bit. In all other cases, and under transforms such as
    ``torch.func.vmap``, PyTorch's own operators compute it, in the same folded form. On NVIDIA GPUs
    fused Triton kernels do, if `backend` requests them. `explain_backend` returns the backend of a
    call.

    The names in ``state_dict()`` are those in weight files.

    Examples
    --------
    >>> import torch
    >>> from memattn.torch import MemoryAugmentedAttention
    >>> layer = MemoryAugmentedAttention(64, 20, 4)
    >>> layer(torch.zeros(32, 10, 64)).shape
    torch.Size([32, 10, 64])
    """

    memory: Tensor

    _kind = MEMORY
    _numpy: ClassVar[Any] = memattn.MemoryAugmentedAttention
    _options = (
        *("units", "memory_size", "num_heads", "key_dim", "value_dim", "use_bias", "residual"),
        *("dropout", "memory_initializer", "fully_masked", "seed"),
    )
    _paths = (((), ("memory",)), *paths_of("query", "key", "value", "output"))

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
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        dtype = self._set_options(
            dtype,
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
        )
        for text in _memattn.config_warnings(self._config_json(seed or 0)):
            warnings.warn(text, UserWarning, stacklevel=2)
        make = ProjectionMaker(use_bias, device, dtype)
        self.memory = make.parameter(memory_size, units)
        make.add_attention(self, units, num_heads, key_dim, value_dim)
        self.reset_parameters()

    def forward(
        self,
        x: Tensor,
        *,
        attention_mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
        return_attention_scores: bool | Literal["mean"] = False,
    ) -> Any:
        """Run the layer.

        Parameters
        ----------
        x : Tensor (B, T, U) or, without a batch, (T, U)
            The tokens, in the dtype of the parameters, or any dtype under autocast.
        attention_mask : Tensor of bool, optional
            Broadcasts to (B, T, S); True keeps, as in `scaled_dot_product_attention` and unlike
            `nn.MultiheadAttention`. Masks are ANDed; without a batch, they have none either.
        query_mask : Tensor of bool (B, T), optional
            True for each token that attends.
        value_mask : Tensor of bool (B, S), optional
            True for each slot that can be attended to.
        use_causal_mask : bool
            Step t attends only to slots 0 to ``first_step + t``.
        first_step : int
            Position of step 0 of `x` in its sequence, such as 5 for a call that continues after 5
            steps. With it, a sequence that is split into several calls gives the same bits as one
            call with the causal mask.
        first_sequence : int
            Position of sequence 0 of `x` in a batch that is split into several calls. Only dropout
            in the kernels uses it. Since each call draws new dropout, call `torch.manual_seed` with
            the same seed before every call; then the calls drop the same scores as one whole call.
            PyTorch's own operators ignore positions in dropout.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).

        Returns
        -------
        Tensor of the shape of `x`, or that and the scores

        Raises
        ------
        ValueError
            If a shape, a device or the dtype of `x` does not fit.
        TypeError
            If a mask is not a tensor of booleans or integers.
        """
        scores = scores_choice(return_attention_scores)
        weights = self._weights()
        (tokens,) = self._inputs(weights, x)
        batch, steps, _ = tokens.shape
        axes, slots = x.dim(), self.memory_size
        if not attention_mask is query_mask is value_mask is None:
            full = (batch, steps, slots)
            attention_mask = attention_mask_of(attention_mask, tokens, axes, full)
            query_mask = step_mask_of("query_mask", query_mask, tokens, axes, (batch, steps))
            value_mask = step_mask_of("value_mask", value_mask, tokens, axes, (batch, slots))
        call = Call(
            attention_mask,
            query_mask,
            value_mask,
            use_causal_mask=bool(use_causal_mask),
            first_step=place_of("first_step", first_step, steps),
            first_sequence=place_of("first_sequence", first_sequence, batch),
            residual=self.residual,
            uniform_when_masked=self.fully_masked == "uniform",
            dropout=self.dropout,
            training=self.training,
            scores=scores,
        )
        outputs = self._run((tokens,), weights, call, batched=axes == 3)
        return outputs[0] if scores == "none" else outputs

    def _inputs(self, weights: Any, *inputs: Any) -> tuple[Tensor]:
        (x,) = inputs
        return (self._input("x", x, self.units, weights.memory),)

    @property
    def route(self) -> Route:
        """The route in use, ``"folded"`` or ``"projected"``: the one with less work per token.

        Both give the same result up to rounding.
        """
        return "folded" if self._weights().folding_pays() else "projected"

    path = RenamedProperty("route", removed_in="0.3")

    def __dir__(self) -> list[str]:
        """Return all names but the deprecated one: torch.jit reads them all, which would warn."""
        return [name for name in super().__dir__() if name != "path"]
