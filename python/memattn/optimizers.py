"""Optimizers as Keras defines them, and clipping by the global norm, for a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_numbers, check_shape
from memattn.layer import MemoryAugmentedAttention

_CORES = {
    "float32": _memattn.OptimizerFloat32,
    "float64": _memattn.OptimizerFloat64,
}


class Optimizer:
    """What SGD, Adam and AdamW share. One optimizer belongs to one layer, whose state it keeps."""

    def __init__(self, kind: str, learning_rate: float, **options: float) -> None:
        self._learning_rate = float(learning_rate)
        self._kind = kind
        self._options = options
        self._core: Any = None
        self._make("float64")  # checks the options now, not at the first step

    def step(self, layer: MemoryAugmentedAttention, gradients: Mapping[str, object]) -> None:
        """Change the layer's weights by one step.

        Parameters
        ----------
        layer : MemoryAugmentedAttention
            The same at every step.
        gradients : mapping of names to arrays
            What ``layer.backward`` gave; ``"x"`` is passed over.

        Raises
        ------
        ValueError
            A gradient is missing, of the wrong shape, or of no weight; then nothing has changed.
        """
        if self._core is None:
            self._core = self._make(layer.dtype)
        self._core.step(layer._core, _flatten("step", layer.weights, gradients))

    @property
    def learning_rate(self) -> float:
        """Used from the next step on; assign it for a schedule."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float) -> None:
        self._make("float64").set_learning_rate(learning_rate)
        self._learning_rate = float(learning_rate)
        if self._core is not None:
            self._core.set_learning_rate(learning_rate)

    @property
    def iterations(self) -> int:
        """Steps taken so far."""
        return 0 if self._core is None else self._core.iterations()

    def __repr__(self) -> str:
        """Return the call that makes an optimizer like this one."""
        options = {"learning_rate": self._learning_rate, **self._options}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"

    def _make(self, dtype: str) -> Any:
        make = getattr(_CORES[dtype], self._kind)
        return make(learning_rate=self._learning_rate, **self._options)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    ``v = momentum v - learning_rate g; w += v``, or with `nesterov`
    ``w += momentum v - learning_rate g``.
    """

    def __init__(
        self, learning_rate: float = 0.01, *, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__("sgd", learning_rate, momentum=momentum, nesterov=nesterov)


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015), with the epsilon where Keras has it.

    ``m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g²;``
    ``w -= learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)``.
    """

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
            "adam",
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            weight_decay=weight_decay,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

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
        What ``layer.backward`` gave; ``"x"`` does not count and passes unchanged.
    max_norm : float
        Positive.

    Returns
    -------
    dict of arrays, and the norm before
        A norm that is not finite makes every gradient NaN, as in Keras: it must not pass unseen.
    """
    names = [name for name in gradients if name != "x"]
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


def _flatten(where: str, weights: Mapping[str, Array], gradients: Mapping[str, object]) -> Array:
    """Return the gradients as one flat buffer in the order of the weights."""
    unknown = [name for name in gradients if name != "x" and name not in weights]
    if unknown:
        known = ", ".join(weights)
        raise ValueError(f"{where}: gradients: found {unknown[0]!r}, expected one of {known}")
    parts = []
    for name, weight in weights.items():
        if name not in gradients:
            raise ValueError(f"{where}: gradients: found no {name!r}, expected one for each weight")
        part = as_numbers(f"{where}: gradients[{name!r}]", gradients[name], weight.dtype)
        check_shape(f"{where}: gradients[{name!r}]", part.shape, weight.shape)
        parts.append(np.ravel(part))
    return np.concatenate(parts)
