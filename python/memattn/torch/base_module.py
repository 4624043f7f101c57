"""The base of the modules of all layers: options, parameters, checks and the choice of kernels."""

from __future__ import annotations

import json
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from memattn.arrays import as_place
from memattn.layer_options import check_scores_choice, config_json
from memattn.torch.backends import fold
from memattn.torch.backends.choice import BackendChoice, Wanted, as_wanted, choose
from memattn.torch.call import Call
from memattn.torch.kinds import Kind
from memattn.torch.precision import autocasts
from memattn.torch.weights import Weights

if TYPE_CHECKING:
    from typing_extensions import Self

_SCORES = {True: "each", False: "none", "mean": "mean"}


class AttentionModule(nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    """A layer whose parameters have the names of the weight files."""

    _kind: ClassVar[Kind]
    _numpy: ClassVar[Any]  # the class of the NumPy layer
    _options: ClassVar[tuple[str, ...]]  # the constructor's, except device and dtype, in order
    # The paths of the kind's weights, in order: names of nested modules, and of their parameters.
    _paths: ClassVar[tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]
    _backend: Wanted = "auto"

    def _set_options(self, dtype: torch.dtype | None, **options: Any) -> torch.dtype:
        """Check and keep the arguments of the constructor; return the dtype of the parameters.

        Raises
        ------
        ValueError
            If an option or the dtype is invalid.
        """
        for name, value in options.items():
            setattr(self, name, value)
        config = self._config_json(options["seed"] or 0)
        self._kind.hosted[torch.float32](config)  # checks the config without making weights
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            name = self._kind.name
            raise ValueError(f"{name}: dtype: found {dtype}, expected a floating-point one")
        return dtype

    @property
    def backend(self) -> Wanted:
        """The requested backend: ``"auto"``, ``"plain"`` or ``"triton"``, if it supports the call.

        ``"auto"`` uses the compiled kernels on the CPU, the Triton kernels on GPUs on which they
        have been timed, and PyTorch's own operators elsewhere. The environment variable
        ``MEMATTN_TORCH_BACKEND`` replaces ``"auto"``. `explain_backend` returns the backend of a
        call. Copies and pickles keep this setting, files do not.
        """
        return self._backend

    @backend.setter
    def backend(self, backend: Wanted) -> None:
        self._backend = as_wanted(backend)

    def explain_backend(self, *inputs: Any) -> BackendChoice:
        """Return the backend of a call with these inputs, and the reason, without computing it.

        Parameters
        ----------
        *inputs
            The inputs of a call of the module.

        Returns
        -------
        BackendChoice
            With `backend`, ``"cpu"``, ``"plain"`` or ``"triton"``, and `reason`.
        """
        weights = self._weights()
        tensors = self._inputs(weights, *inputs)
        drops = Call(dropout=self.dropout, training=self.training).drops
        backend, reason = choose(self._backend, self._kind, tensors, weights, drops=drops)
        return BackendChoice(backend.NAME, reason)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as in every module, and fold again at the next call on a GPU.

        On a GPU, folds are kept between calls only in evaluation mode.
        """
        fold.forget()
        super().train(mode)
        return self

    def reset_parameters(self) -> None:
        """Draw new weights: always the same with a seed, different ones in each call without."""
        parameters = dict(self.named_parameters())
        first = next(iter(parameters.values()))
        if first.is_meta:
            return
        seed = self.seed
        if seed is None:
            seed = int(torch.randint(2**63 - 1, (), device="cpu"))
        double = first.dtype == torch.float64
        core = self._numpy._cores["float64" if double else "float32"](self._config_json(seed))
        infos = core.weight_infos()
        flat = np.empty(sum(size for *_, size in infos), np.float64 if double else np.float32)
        core.read_parameters(flat)
        with torch.no_grad():
            for name, shape, offset, size in infos:
                values = torch.from_numpy(flat[offset : offset + size].reshape(shape))
                parameters[name].copy_(values)

    @classmethod
    def from_numpy(
        cls,
        layer: Any,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Make a module with the options and weights of a NumPy layer, by default in its dtype.

        ``from_numpy(memattn.load(path))`` reads a file.

        Parameters
        ----------
        layer : memattn layer of the same name
            The NumPy layer.
        device, dtype : optional
            The device and dtype of the parameters.

        Returns
        -------
        module of this class

        Raises
        ------
        TypeError
            If `layer` is of another class.
        """
        if not isinstance(layer, cls._numpy):
            found = type(layer).__name__
            raise TypeError(f"from_numpy: found {found}, expected memattn.{cls._kind.name}")
        config = layer.get_config()
        own = getattr(torch, config.pop("dtype"))
        config.pop("precision", None)  # a module computes in the dtype of its parameters
        with warnings.catch_warnings():  # a memory of zeros: the layer warned when it was made
            warnings.simplefilter("ignore", UserWarning)
            module = cls(**config, device=device, dtype=own if dtype is None else dtype)
        weights = zip(layer.weights, layer.get_weights(), strict=True)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in weights})
        return module

    def to_numpy(self) -> Any:
        """Make a NumPy layer with these options and weights, in float64 if they are, else float32.

        The NumPy layer can be saved to a file, and works without PyTorch.
        """
        state = self.state_dict()
        double = next(iter(state.values())).dtype == torch.float64
        config = json.loads(self._config_json(self.seed or 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            layer = self._numpy(**config, dtype="float64" if double else "float32")
        layer.set_weights(
            {
                name: tensor.cpu().to(torch.float64 if double else torch.float32).numpy()
                for name, tensor in state.items()
            }
        )
        return layer

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults."""
        required, usual = self._numpy._required, {**self._numpy._defaults, "seed": None}
        values = {name: getattr(self, name) for name in self._options}
        others = [
            f"{name}={value!r}"
            for name, value in values.items()
            if name not in required and value != usual[name]
        ]
        return ", ".join([*(f"{values[name]}" for name in required), *others])

    def _config_json(self, seed: int) -> str:
        options = {name: getattr(self, name) for name in self._options if name != "seed"}
        return config_json(layer=self._kind.name, **options, seed=seed)

    def _weights(self) -> Any:
        # Looked up directly, since nn.Module.__getattr__ takes 20 µs per step for all weights. Only
        # weights that are no longer parameters, such as those of torch.nn.utils.parametrize, need
        # it.
        tensors = []
        for path, names in self._paths:
            module = self
            for part in path:
                module = module._modules[part]
            parameters = module._parameters
            for name in names:
                tensor = parameters.get(name)
                tensors.append(getattr(module, name) if tensor is None else tensor)
        return self._kind.weights._make(tensors)

    @abstractmethod
    def _inputs(self, weights: Any, *inputs: Any) -> Sequence[Tensor]:
        """Return the inputs of a call, checked, with a batch axis."""

    def _input(self, name: str, x: Any, width: int, weight: Tensor) -> Tensor:
        """Return an input with a batch axis, checked and in the dtype to compute with."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: found {type(x).__name__}, expected a tensor")
        if x.dim() not in (2, 3) or x.shape[-1] != width:
            expected = f"(batch, steps, {width}) or (steps, {width})"
            raise ValueError(f"{name}: found shape {tuple(x.shape)}, expected {expected}")
        if x.device != weight.device:
            raise ValueError(f"{name}: found device {x.device}, expected {weight.device}")
        if x.dtype != weight.dtype:
            if not (x.dtype.is_floating_point and autocasts(x)):
                expected = f"{weight.dtype}, that of the parameters"
                raise ValueError(f"{name}: found {x.dtype}, expected {expected}")
            # On the CPU, autocast does not apply to this layer, as to other float32 operations.
            x = x.to(weight.dtype) if x.is_cpu else x
        return x if x.dim() == 3 else x.unsqueeze(0)

    def _run(
        self, inputs: Sequence[Tensor], weights: Weights, call: Call, *, batched: bool
    ) -> tuple[Tensor, ...]:
        """Return y and the scores that the call wants, without the batch axis if there was none."""
        backend, _ = choose(self._backend, self._kind, inputs, weights, drops=call.drops)
        outputs = backend.attend(self._kind, inputs, weights, call)
        return outputs if batched else tuple(output.squeeze(0) for output in outputs)


class Projection(nn.Module):  # type: ignore[misc]
    """A kernel and a bias, or None, under their names in the files."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, kernel: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.kernel = kernel
        self.register_parameter("bias", bias)

    def extra_repr(self) -> str:
        """Return the kernel's shape, and whether there is a bias."""
        return f"{tuple(self.kernel.shape)}, bias={self.bias is not None}"


class ProjectionMaker:
    """Makes the projections of an attention, all on one device and of one dtype."""

    def __init__(
        self, use_bias: bool, device: torch.device | str | None, dtype: torch.dtype
    ) -> None:
        self._use_bias, self._device, self._dtype = use_bias, device, dtype

    def parameter(self, *shape: int) -> nn.Parameter:
        """Return a parameter with uninitialised values."""
        return nn.Parameter(torch.empty(shape, device=self._device, dtype=self._dtype))

    def projection(self, kernel: tuple[int, ...], bias: tuple[int, ...]) -> Projection:
        """Return a projection of these shapes."""
        return Projection(
            self.parameter(*kernel), self.parameter(*bias) if self._use_bias else None
        )

    def add_attention(
        self,
        module: nn.Module,
        units: int,
        num_heads: int,
        key_dim: int | None,
        value_dim: int | None,
    ) -> None:
        """Add the query, key, value and output projections to a module."""
        key = units if key_dim is None else key_dim
        value = key if value_dim is None else value_dim
        module.query = self.projection((units, num_heads, key), (num_heads, key))
        module.key = self.projection((units, num_heads, key), (num_heads, key))
        module.value = self.projection((units, num_heads, value), (num_heads, value))
        module.output = self.projection((num_heads, value, units), (units,))


def paths_of(*names: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Return `AttentionModule._paths` for the kernels and biases of these modules."""
    return tuple((tuple(name.split(".")), ("kernel", "bias")) for name in names)


def scores_choice(return_attention_scores: Any) -> str:
    """Return the argument as `Call.scores`.

    Raises
    ------
    ValueError
        If the argument is invalid.
    """
    check_scores_choice("return_attention_scores", return_attention_scores)
    return _SCORES[return_attention_scores]


def attention_mask_of(
    given: object, x: Tensor, axes: int, full: tuple[int, int, int]
) -> Tensor | None:
    """Return the mask as booleans with the three axes of `full`, each of size 1 or full.

    `axes` is the number of axes of the caller's tensors: 2 without a batch axis, else 3.
    """
    if given is None:
        return None
    mask = _as_mask("attention_mask", given, x)
    padded = (1,) * (3 - mask.dim()) + tuple(mask.shape)
    if mask.dim() > axes or any(
        have not in (1, want) for have, want in zip(padded, full, strict=True)
    ):
        found, expected = f"shape {tuple(mask.shape)}", full[3 - axes :]
        raise ValueError(
            f"attention_mask: found {found}, expected one that broadcasts to {expected}"
        )
    return mask.reshape(padded)


def step_mask_of(
    name: str, given: object, x: Tensor, axes: int, full: tuple[int, int]
) -> Tensor | None:
    """Return a mask of steps or slots as booleans (B, steps)."""
    if given is None:
        return None
    mask = _as_mask(name, given, x)
    expected = full[3 - axes :]
    if tuple(mask.shape) != expected:
        raise ValueError(f"{name}: found shape {tuple(mask.shape)}, expected {expected}")
    return mask.reshape(full)


def _as_mask(name: str, mask: object, x: Tensor) -> Tensor:
    """Return the mask as booleans."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}: found {type(mask).__name__}, expected a tensor")
    if mask.is_floating_point() or mask.is_complex():
        # An additive mask of 0 and -inf would mean the opposite here.
        expected = "booleans, True where a slot or step may be read"
        raise TypeError(f"{name}: found {mask.dtype}, expected {expected}")
    if mask.device != x.device:
        raise ValueError(f"{name}: found device {mask.device}, expected {x.device}, that of x")
    return mask if mask.dtype == torch.bool else mask != 0


def place_of(name: str, value: int, size: int) -> int:
    """Return the first step or sequence of a call, checked if its value is known."""
    if torch.compiler.is_compiling():  # the value may be symbolic
        torch._check(value >= 0)
        return value
    return as_place(name, value, int(size))  # under torch.jit.trace, size is a tensor
