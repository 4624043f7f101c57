"""Optimizers as in Keras, and gradient clipping by the global norm."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_array, as_numbers, check_shape
from memattn.base_layer import BaseLayer

if TYPE_CHECKING:
    from typing_extensions import Self

_CORES = {
    "float32": _memattn.OptimizerFloat32,
    "float64": _memattn.OptimizerFloat64,
}
_INPUTS = ("x", "x1", "x2", "short", "long")  # the inputs of all layers; no weight has such a name


class Optimizer:
    """The base of SGD, Adam and AdamW. An optimizer keeps the state of one layer.

    It can be pickled and copied; a copy has its own state.
    """

    _kind: str  # the optimizer's name in the compiled part

    def __init__(self, learning_rate: float, **options: float) -> None:
        self._learning_rate = float(learning_rate)
        self._options = options
        self._core: Any = None  # has the layer's dtype from the first step on
        self._dtype: str | None = None
        self._make("float64")  # checks the options now, not at the first step

    def step(self, layer: BaseLayer, gradients: Mapping[str, object]) -> None:
        """Change the layer's weights by one step.

        Parameters
        ----------
        layer : MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
            The layer; the same in every step, or an equal one that was loaded from a file.
        gradients : mapping of names to arrays
            The result of ``layer.backward``; gradients of inputs are ignored.

        Raises
        ------
        ValueError
            If a gradient is missing, has the wrong shape or an unknown name, or if the layer
            differs from that of the first step. Nothing has changed then.
        """
        if self._dtype not in (None, layer.dtype):
            found, expected = f"a {layer.dtype} layer", f"{self._dtype}, as in the first step"
            raise ValueError(f"step: layer: found {found}, expected {expected}")
        core = self._make(layer.dtype) if self._core is None else self._core
        core.step(layer._core, _flatten("step", layer, gradients))
        self._adopt(core, layer.dtype)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next steps; assign it for a schedule."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        core = self._make("float64") if self._core is None else self._core
        core.set_learning_rate(learning_rate)
        self._learning_rate = float(learning_rate)

    @property
    def iterations(self) -> int:
        """Steps taken so far."""
        return 0 if self._core is None else self._core.iterations()

    def state(self) -> dict[str, Any]:
        """Return the state of the optimizer, without layer, gradients and options.

        Returns
        -------
        dict
            ``"dtype"``, that of the layer, or None before the first step; ``"learning_rate"``;
            ``"iterations"``, the steps taken; ``"parameters"``, the number P of values in all
            weights, 0 before the first step; and arrays (P,) of that dtype: ``"velocity"`` of SGD
            with momentum, ``"mean"`` and ``"square"`` of Adam and AdamW. All are copies.
        """
        core = self._make("float64") if self._core is None else self._core
        return {"dtype": self._dtype, **core.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of another optimizer, to the bit.

        The options of this optimizer stay, except for the learning rate, which is part of the
        state.

        Parameters
        ----------
        state : mapping
            The result of `state`, or ``numpy.load`` of a file that ``numpy.savez(path, **state)``
            wrote.

        Raises
        ------
        ValueError
            If an optimizer with these options cannot have this state. Nothing has changed then.
        """
        where = "restore: state"
        values = dict(state)
        for name in ("dtype", "learning_rate", "iterations", "parameters"):
            if name not in values:
                raise ValueError(f"{where}: lacks {name!r}; pass what state() returned")
        dtype = np.asarray(values.pop("dtype")).item()
        if dtype not in (None, *_CORES):
            raise ValueError(
                f"{where}['dtype']: found {dtype!r}, expected 'float32', 'float64' or None"
            )
        numbers = {
            "learning_rate": _real(where, "learning_rate", values.pop("learning_rate")),
            "iterations": _integer(where, "iterations", values.pop("iterations")),
            "parameters": _integer(where, "parameters", values.pop("parameters")),
        }
        if (dtype is None) != (numbers["iterations"] == 0):
            found = f"{dtype!r} after {numbers['iterations']} iterations"
            raise ValueError(
                f"{where}['dtype']: found {found}, expected None before the first step"
            )
        core = self._make(dtype or "float64")
        wanted = np.dtype(dtype or "float64")
        moments = {}
        for name, value in values.items():
            array = as_array(f"{where}[{name!r}]", value)
            if array.dtype != wanted or array.ndim != 1:
                found = f"dtype {array.dtype} and shape {array.shape}"
                expected = f"{wanted}, ({numbers['parameters']},)"
                raise ValueError(f"{where}[{name!r}]: found {found}, expected {expected}")
            moments[name] = np.require(array, requirements=["C", "A"])
        core.restore(**numbers, moments=moments)
        self._adopt(core, dtype)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write options and state to a safetensors file, atomically and durably.

        Raises
        ------
        OSError
            If the file cannot be written. An existing file is then unchanged.
        """
        core = self._make("float32") if self._core is None else self._core
        core.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an optimizer of this kind from a file that `save` wrote, from Python or from C++.

        Raises
        ------
        memattn.FormatError
            If the file does not follow docs/format.md, or holds an optimizer of another class.
        OSError
            If the file cannot be read.
        """
        dtype = _memattn.optimizer_file_dtype(os.fspath(path))
        core = getattr(_CORES[dtype], f"load_{cls._kind}")(os.fspath(path))
        optimizer = cls.__new__(cls)
        optimizer._options = core.options()
        optimizer._adopt(core, dtype)
        return optimizer

    def __getstate__(self) -> dict[str, Any]:
        """Return options and state."""
        return {"options": self._options, "state": self.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state that `__getstate__` returned."""
        self._options = dict(state["options"])
        self._learning_rate = state["state"]["learning_rate"]
        self.restore(state["state"])

    def __repr__(self) -> str:
        """Return the constructor call that makes this optimizer."""
        options = {"learning_rate": self._learning_rate, **self._options}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"

    def _make(self, dtype: str) -> Any:
        make = getattr(_CORES[dtype], self._kind)
        return make(learning_rate=self._learning_rate, **self._options)

    def _adopt(self, core: Any, dtype: str | None) -> None:
        """Take over a compiled optimizer; before its first step it fits layers of any dtype."""
        self._learning_rate = core.learning_rate()
        started = core.iterations() > 0
        self._core = core if started else None
        self._dtype = dtype if started else None


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    ``v = momentum v - learning_rate g; w += v``, or with `nesterov`
    ``w += momentum v - learning_rate g``.
    """

    _kind = "sgd"

    def __init__(
        self, learning_rate: float = 0.01, *, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(learning_rate, momentum=momentum, nesterov=nesterov)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with epsilon added as in Keras.

    ``m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g²;``
    ``w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)``.
    With `weight_decay` it is AdamW.
    """

    _kind = "adam"

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    ``w -= learning_rate weight_decay w`` before Adam's update.
    """

    _kind = "adamw"

    def __init__(
        self,
        learning_rate: float = 0.001,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float = 0.004,
    ) -> None:
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
        )


def clip_by_global_norm(
    gradients: Mapping[str, Array], max_norm: float
) -> tuple[dict[str, Array], float]:
    """Scale gradients so that the l2 norm of all of them together is at most `max_norm`.

    Parameters
    ----------
    gradients : mapping of names to arrays
        The result of ``layer.backward``. Gradients of inputs, ``"x"``, ``"x1"`` and ``"x2"``, or
        ``"short"`` and ``"long"``, are ignored and returned unchanged.
    max_norm : float
        Positive.

    Returns
    -------
    dict of arrays, and the norm before
        A norm that is not finite makes every gradient NaN, as in Keras, so that it is noticed.
    """
    names = [name for name in gradients if name not in _INPUTS]
    dtype = np.result_type(np.float32, *(gradients[name].dtype for name in names))
    flat = np.concatenate(
        [np.zeros(0, dtype), *(np.ravel(gradients[name]).astype(dtype) for name in names)]
    )
    norm = _memattn.clip_by_global_norm(flat, max_norm)
    clipped: dict[str, Array] = dict(gradients)
    offset = 0
    for name in names:
        size = gradients[name].size
        clipped[name] = flat[offset : offset + size].reshape(gradients[name].shape)
        offset += size
    return clipped, norm


def _flatten(where: str, layer: BaseLayer, gradients: Mapping[str, object]) -> Array:
    """Return the gradients as one flat buffer in the order of the weights."""
    weights = layer.weights
    unknown = [name for name in gradients if name not in layer._inputs and name not in weights]
    if unknown:
        known = ", ".join(weights)
        raise ValueError(f"{where}: gradients: found {unknown[0]!r}, expected one of {known}")
    parts = []
    for name, weight in weights.items():
        if name not in gradients:
            raise ValueError(f"{where}: gradients: lacks {name!r}; pass one for each weight")
        part = as_numbers(f"{where}: gradients[{name!r}]", gradients[name], weight.dtype)
        check_shape(f"{where}: gradients[{name!r}]", part.shape, weight.shape)
        parts.append(np.ravel(part))
    return np.concatenate(parts)


def _real(where: str, name: str, value: object) -> float:
    """Return a number in a state, which may be a zero-dimensional array."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"{where}[{name!r}]: found {value!r}, expected a number") from None


def _integer(where: str, name: str, value: object) -> int:
    """Return a 64-bit integer in a state, which may be a zero-dimensional array."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ValueError(f"{where}[{name!r}]: found {value!r}, expected an integer") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{where}[{name!r}]: found {number}, expected an integer of 64 bits")
    return number
