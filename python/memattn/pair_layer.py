"""The base of the layers with two inputs: routes, and calls with one list of two inputs."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar, Literal, cast

import numpy as np

from memattn.base_layer import BaseLayer
from memattn.layer_options import (
    PAIR_ROUTES,
    PairRoute,
    Precision,
    checked_dtype,
    checked_precision,
    config_json,
)


class PairLayer(BaseLayer):
    """A layer with two inputs of different widths."""

    _required = ("units", "num_heads")
    _defaults: ClassVar[dict[str, Any]] = {
        "source1_units": None,
        "source2_units": None,
        "short_units": None,
        "long_units": None,
        "key_dim": None,
        "value_dim": None,
        "use_bias": True,
        "dropout": 0.0,
        "fully_masked": "zero",
        "dtype": "float32",
    }
    _width_names: ClassVar[tuple[str, str]]  # the options that are the inputs' widths

    def _make(
        self,
        dtype: str | np.dtype[Any] | type[np.floating[Any]],
        seed: int | None,
        precision: Precision,
        **options: Any,
    ) -> None:
        """Make the compiled layer from the arguments of the constructor."""
        seed = secrets.randbits(63) if seed is None else seed
        checked = checked_precision(precision, self._name)
        config = config_json(layer=self._name, **options, seed=seed, precision=checked)
        name = checked_dtype(dtype, self._name)
        self._adopt(self._cores[name](config), name)

    @property
    def route(self) -> PairRoute | Literal["auto"]:
        """The route of every call, or ``"auto"`` to choose one for each call.

        All routes give the same result up to rounding. They differ in which products of weights are
        computed beforehand. ``"auto"`` chooses the cheapest route for the sizes of each call.
        ``"as_written"`` folds nothing; ``"left_read"``, ``"right_read"`` and ``"right_value"`` use
        both inputs without their Dense layers; ``"right_value_dense2"``, ``"left_read_dense1"`` and
        ``"left_read_dense"`` apply the second, the first or both Dense layers. `route_of` returns
        the route of a call. Copies keep this setting.
        """
        found: PairRoute | Literal["auto"] = self._core.forced_route()
        return found

    @route.setter
    def route(self, route: PairRoute | Literal["auto"]) -> None:
        self._core.set_route(as_route(route))

    def _adopt(self, core: Any, dtype: str) -> dict[str, Any]:
        config = super()._adopt(core, dtype)
        widths = [config[name] or self._units for name in self._width_names]
        self._widths: tuple[int, int] = (widths[0], widths[1])
        return config

    def _pair(self, first: object, second: object) -> tuple[object, object]:
        """Return the two inputs of a call, which may be one list or tuple."""
        return as_pair(self._inputs, "layer(", first, second)


def as_pair(
    names: tuple[str, ...], call: str, first: object, second: object
) -> tuple[object, object]:
    """Return the two inputs of a call, which may be one list or tuple.

    Parameters
    ----------
    names : tuple of two str
        The names of the inputs for messages.
    call : str
        The start of a call for messages, such as ``"layer("``.
    first, second : object
        Both inputs, or a list or tuple of both and None.

    Raises
    ------
    TypeError
        If there is only one input and it is not a list or tuple.
    ValueError
        If the list or tuple does not hold two inputs.
    """
    if second is not None:
        return first, second
    inputs = ", ".join(names)
    expected = f"expected {call}{inputs}) or {call}[{inputs}])"
    if not isinstance(first, (list, tuple)):
        raise TypeError(f"{names[1]}: found None, {expected}")
    if len(first) != 2:
        kind = type(first).__name__
        raise ValueError(f"{names[0]}: found a {kind} of {len(first)}, {expected}")
    return first[0], first[1]


def as_route(route: object) -> PairRoute | Literal["auto"]:
    """Return the name of a route, or ``"auto"``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    names = ("auto", *PAIR_ROUTES)
    if route not in names:
        known = ", ".join(f'"{name}"' for name in names)
        raise ValueError(f"route: found {route!r}, expected one of {known}")
    return cast("PairRoute | Literal['auto']", route)
