"""The layer as an ``nn.Module``: ``Z = X + MultiHeadAttention(X, M, M)``, M a learned memory."""

from __future__ import annotations

import json
import warnings
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import memattn
from memattn import _memattn
from memattn.arrays import as_place
from memattn.deprecation import RenamedProperty
from memattn.layer_options import MemoryInitializer, Route, config_json
from memattn.torch import function, kernels, ops, plain
from memattn.torch.call import Call, Weights

_NAME = "MemoryAugmentedAttention"
_SCORES = {True: "each", False: "none", "mean": "mean"}


class MemoryAugmentedAttention(nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    """Attention over a learned memory, ``Z = X + MultiHeadAttention(X, M, M)``.

    Every token of the input reads the same ``memory_size`` learned slots on its own: an
    `nn.MultiheadAttention` with ``batch_first=True`` whose keys and values come from a parameter,
    with the residual connection around it. Because the memory does not depend on the input, the
    projections fold into two thin matrices, several times less work; ``docs/math.md`` derives it
    and ``docs/pytorch.md`` is the guide.

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
        Width of a head's queries and keys; `units` when not given, as in the published layer, and
        not `units` divided by `num_heads` as in `nn.MultiheadAttention`.
    value_dim : int, optional
        Width of a head's values; `key_dim` when not given.
    use_bias : bool
        Whether query, key, value and output have biases.
    residual : bool
        Whether the input is added to what was read.
    dropout : float
        Share of the scores that falls in training, in [0, 1). What falls is drawn from PyTorch's
        generator, so `torch.manual_seed` repeats a run.
    memory_initializer : str or mapping
        ``"normal"``, ``{"kind": "normal", "stddev": 0.3}``, ``"glorot_uniform"`` or ``"zeros"``. A
        memory of zeros cannot learn, since all slots stay equal; it warns.
    fully_masked : {"zero", "uniform"}
        What a token reads when every slot is masked: nothing (Keras 3, PyTorch), or all slots alike
        (the published layer, on Keras 2).
    seed : int, optional
        Of the initial weights: the same ones as the NumPy layer's of that seed. Drawn from
        PyTorch's generator when not given.
    device, dtype : optional
        Of the parameters, as in every module of PyTorch.

    Attributes
    ----------
    memory : Parameter (S, U)
    query, key : Module
        With the parameters ``kernel`` (U, H, D) and ``bias`` (H, D), or None.
    value : Module
        With ``kernel`` (U, H, Dv) and ``bias`` (H, Dv).
    output : Module
        With ``kernel`` (H, Dv, U) and ``bias`` (U,).

    Notes
    -----
    On float32 and float64 tensors of the CPU the compiled kernels compute, bit for bit what the
    NumPy layer gives, on at most ``torch.get_num_threads()`` and ``memattn.num_threads()`` threads,
    without the GIL. Everywhere else, and under transforms such as ``torch.func.vmap``, PyTorch's
    own operators do, in the same folded form.

    The names in ``state_dict()`` are those in the files of this project.

    Examples
    --------
    >>> import torch
    >>> from memattn.torch import MemoryAugmentedAttention
    >>> layer = MemoryAugmentedAttention(64, 20, 4)
    >>> layer(torch.zeros(32, 10, 64)).shape
    torch.Size([32, 10, 64])
    """

    memory: Tensor

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
        self.units = units
        self.memory_size = memory_size
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.use_bias = use_bias
        self.residual = residual
        self.dropout = dropout
        self.memory_initializer = memory_initializer
        self.fully_masked = fully_masked
        self.seed = seed
        for text in _memattn.config_warnings(self._config_json(seed or 0)):
            warnings.warn(text, UserWarning, stacklevel=2)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            raise ValueError(f"{_NAME}: dtype: found {dtype}, expected a floating-point one")

        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        def projection(kernel: tuple[int, ...], bias: tuple[int, ...]) -> _Projection:
            return _Projection(parameter(*kernel), parameter(*bias) if use_bias else None)

        key = units if key_dim is None else key_dim
        value = key if value_dim is None else value_dim
        self.memory = parameter(memory_size, units)
        self.query = projection((units, num_heads, key), (num_heads, key))
        self.key = projection((units, num_heads, key), (num_heads, key))
        self.value = projection((units, num_heads, value), (num_heads, value))
        self.output = projection((num_heads, value, units), (units,))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew: those of the seed, or without one others at each call."""
        if self.memory.is_meta:
            return
        seed = self.seed
        if seed is None:
            seed = int(torch.randint(2**63 - 1, (), device="cpu"))
        double = self.memory.dtype == torch.float64
        core = (_memattn.LayerFloat64 if double else _memattn.LayerFloat32)(self._config_json(seed))
        infos = core.weight_infos()
        flat = np.empty(sum(size for *_, size in infos), np.float64 if double else np.float32)
        core.read_parameters(flat)
        with torch.no_grad():
            for name, shape, offset, size in infos:
                values = torch.from_numpy(flat[offset : offset + size].reshape(shape))
                self.get_parameter(name).copy_(values)

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
            Of the dtype of the parameters, or under autocast any other.
        attention_mask : Tensor of bool, optional
            Broadcasts to (B, T, S); True keeps, as in `scaled_dot_product_attention` and unlike
            `nn.MultiheadAttention`. Masks are ANDed; without a batch, they have none either.
        query_mask : Tensor of bool (B, T), optional
            Tokens that read.
        value_mask : Tensor of bool (B, S), optional
            Slots that are read.
        use_causal_mask : bool
            Step t reads slots 0 to ``first_step + t`` only.
        first_step : int
            Where step 0 of `x` stands in its sequence: 5 for a call that goes on after 5 steps. So
            a stream that is cut in calls gives the bits of one call with the causal mask.
        first_sequence : int
            Likewise where sequence 0 of `x` stands in a batch that is cut in calls. Only dropout
            reads it, which draws anew in each call: what falls is that of one whole call where the
            kernels compute and `torch.manual_seed` stands before every call. Elsewhere PyTorch's
            own dropout knows no places.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).

        Returns
        -------
        Tensor of the shape of `x`, or that and the scores

        Raises
        ------
        ValueError
            A shape, a device or the dtype of `x` does not fit.
        TypeError
            A mask is no tensor of booleans or integers.
        """
        if return_attention_scores not in (True, False, "mean"):
            found = repr(return_attention_scores)
            raise ValueError(
                f'return_attention_scores: found {found}, expected True, False or "mean"'
            )
        weights = self._weights()
        tokens = self._tokens(x, weights)
        masks = (attention_mask, query_mask, value_mask)
        attention, query, value = self._masks(tokens, x.dim(), *masks)
        call = Call(
            attention,
            query,
            value,
            dropout_seed=None,
            use_causal_mask=bool(use_causal_mask),
            first_step=_place("first_step", first_step, tokens.shape[1]),
            first_sequence=_place("first_sequence", first_sequence, tokens.shape[0]),
            residual=self.residual,
            uniform_when_masked=self.fully_masked == "uniform",
            dropout=self.dropout,
            training=self.training,
            scores=_SCORES[return_attention_scores],
        )
        y, scores = _attend(tokens, weights, call)
        if x.dim() == 2:
            y = y.squeeze(0)
            scores = None if scores is None else scores.squeeze(0)
        return y if scores is None else (y, scores)

    @classmethod
    def from_numpy(
        cls,
        layer: memattn.MemoryAugmentedAttention,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> MemoryAugmentedAttention:
        """Make a module with the options and weights of a NumPy layer, and its dtype unless given.

        ``from_numpy(memattn.MemoryAugmentedAttention.load(path))`` reads a file.
        """
        config = layer.get_config()
        own = getattr(torch, config.pop("dtype"))
        with warnings.catch_warnings():  # what is said of zeros was said when they were chosen
            warnings.simplefilter("ignore", UserWarning)
            module = cls(**config, device=device, dtype=own if dtype is None else dtype)
        weights = zip(layer.weights, layer.get_weights(), strict=True)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in weights})
        return module

    def to_numpy(self) -> memattn.MemoryAugmentedAttention:
        """Make a NumPy layer with these options and weights, in float64 if they are, else float32.

        It can be saved to a file, and serves without PyTorch.
        """
        double = self.memory.dtype == torch.float64
        config = json.loads(self._config_json(self.seed or 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            layer = memattn.MemoryAugmentedAttention(
                **config, dtype="float64" if double else "float32"
            )
        layer.set_weights(
            {
                name: tensor.cpu().to(torch.float64 if double else torch.float32).numpy()
                for name, tensor in self.state_dict().items()
            }
        )
        return layer

    @property
    def route(self) -> Route:
        """The route that computes, ``"folded"`` or ``"projected"``: the one with less work a token.

        Both give the same result to rounding.
        """
        return "folded" if self._weights().folding_pays() else "projected"

    path = RenamedProperty("route", removed_in="0.3")

    def __dir__(self) -> list[str]:
        """Leave the old name out: torch.jit reads every name that stands here, and would warn."""
        return [name for name in super().__dir__() if name != "path"]

    def extra_repr(self) -> str:
        """Return the options that are not the usual ones."""
        usual = {
            "key_dim": None,
            "value_dim": None,
            "use_bias": True,
            "residual": True,
            "dropout": 0.0,
            "memory_initializer": "normal",
            "fully_masked": "zero",
            "seed": None,
        }
        others = [f"{k}={getattr(self, k)!r}" for k, v in usual.items() if getattr(self, k) != v]
        return ", ".join([f"{self.units}, {self.memory_size}, {self.num_heads}", *others])

    def _config_json(self, seed: int) -> str:
        return config_json(
            units=self.units,
            memory_size=self.memory_size,
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            use_bias=self.use_bias,
            residual=self.residual,
            dropout=self.dropout,
            memory_initializer=self.memory_initializer,
            fully_masked=self.fully_masked,
            seed=seed,
        )

    def _weights(self) -> Weights:
        modules = self._modules
        projections = [modules[name] for name in ("query", "key", "value", "output")]
        tensors = [_tensor(part, name) for part in projections for name in ("kernel", "bias")]
        return Weights(_tensor(self, "memory"), *tensors)

    def _tokens(self, x: Tensor, weights: Weights) -> Tensor:
        """Return x (B, T, U) in the dtype to compute with."""
        if not isinstance(x, Tensor):
            raise TypeError(f"x: found {type(x).__name__}, expected a tensor")
        if x.dim() not in (2, 3) or x.shape[-1] != self.units:
            expected = f"(batch, steps, {self.units}) or (steps, {self.units})"
            raise ValueError(f"x: found shape {tuple(x.shape)}, expected {expected}")
        memory = weights.memory
        if x.device != memory.device:
            raise ValueError(f"x: found device {x.device}, expected {memory.device}")
        if x.dtype != memory.dtype:
            if not (x.dtype.is_floating_point and _autocasts(x)):
                expected = f"{memory.dtype}, that of the parameters"
                raise ValueError(f"x: found {x.dtype}, expected {expected}")
            # On the CPU the layer is one of the operations that autocast leaves in float32.
            x = x.to(memory.dtype) if x.is_cpu else x
        return x if x.dim() == 3 else x.unsqueeze(0)

    def _masks(
        self, tokens: Tensor, axes: int, attention: object, query: object, value: object
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the masks as booleans with a batch axis, which x had if it had 3 `axes`."""
        if attention is query is value is None:
            return None, None, None
        (batch, steps, _), slots = tokens.shape, self.memory_size
        own = slice(3 - axes, None)  # of the shapes: what the caller sees of them
        if attention is not None:
            mask = _as_mask("attention_mask", attention, tokens)
            full = (batch, steps, slots)
            padded = (1,) * (3 - mask.dim()) + tuple(mask.shape)
            if mask.dim() > axes or any(
                have not in (1, want) for have, want in zip(padded, full, strict=True)
            ):
                found = f"shape {tuple(mask.shape)}"
                raise ValueError(
                    f"attention_mask: found {found}, expected one that broadcasts to {full[own]}"
                )
            attention = mask.reshape(padded)

        def rows(name: str, given: object, size: int) -> Tensor | None:
            if given is None:
                return None
            mask = _as_mask(name, given, tokens)
            if tuple(mask.shape) != (batch, size)[own]:
                expected = (batch, size)[own]
                raise ValueError(f"{name}: found shape {tuple(mask.shape)}, expected {expected}")
            return mask.reshape(batch, size)

        return attention, rows("query_mask", query, steps), rows("value_mask", value, slots)


class _Projection(nn.Module):  # type: ignore[misc]
    """A kernel and, or None, a bias, under their names in the files."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, kernel: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_parameter("bias", bias)

    def extra_repr(self) -> str:
        return f"{tuple(self.kernel.shape)}, bias={self.bias is not None}"


def _tensor(module: nn.Module, name: str) -> Any:
    # Past nn.Module.__getattr__, which takes 20 µs a step for all of them, but for parameters that
    # are none any more, as those that torch.nn.utils.parametrize computes.
    tensor = module._parameters.get(name)
    return getattr(module, name) if tensor is None else tensor


def _autocasts(x: Tensor) -> bool:
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind) is True


def _as_mask(name: str, mask: object, x: Tensor) -> Tensor:
    """Return the mask as booleans."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}: found {type(mask).__name__}, expected a tensor")
    if mask.is_floating_point() or mask.is_complex():
        # An additive mask of 0 and -inf would mean the opposite here.
        expected = "booleans, True where a slot may be read"
        raise TypeError(f"{name}: found {mask.dtype}, expected {expected}")
    if mask.device != x.device:
        raise ValueError(f"{name}: found device {mask.device}, expected {x.device}, that of x")
    return mask if mask.dtype == torch.bool else mask != 0


def _place(name: str, value: int, size: int) -> int:
    if torch.compiler.is_compiling():  # perhaps a symbol, whose value nobody knows yet
        torch._check(value >= 0)
        return value
    return as_place(name, value, int(size))  # a tensor where torch.jit traces


def _attend(x: Tensor, weights: Weights, call: Call) -> tuple[Tensor, Tensor | None]:
    """Choose who computes."""
    if torch.compiler.is_compiling():
        if kernels.fit(x, weights) and not torch.onnx.is_in_onnx_export():
            return ops.attend(x, weights, call)
    elif function.applies(x, weights):
        return function.attend(x, weights, call)
    if not x.is_cpu:
        return plain.attend(x, weights, call)
    with plain.without_autocast(x):
        return plain.attend(x, weights, call)
