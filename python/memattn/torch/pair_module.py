"""The base of the modules of two inputs: routes, and calls with one list of two inputs."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from memattn.layer_options import PairRoute
from memattn.pair_layer import as_pair, as_route
from memattn.torch.base_module import AttentionModule


class PairModule(AttentionModule):
    """A module of two inputs of different widths."""

    units: int
    num_heads: int
    key_dim: int | None
    value_dim: int | None
    _route: PairRoute | Literal["auto"] = "auto"

    @property
    def route(self) -> PairRoute | Literal["auto"]:
        """The route of every call, or ``"auto"`` to choose one for each call.

        `route` of the NumPy layer lists the routes. With ``"auto"``, the cost of a route includes
        the fold in training mode, since each step repeats it, but not in evaluation mode. Copies
        and pickles keep this setting, files do not.
        """
        return self._route

    @route.setter
    def route(self, route: PairRoute | Literal["auto"]) -> None:
        self._route = as_route(route)

    def _inputs(self, weights: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        return self._pair(inputs[0], inputs[1] if len(inputs) > 1 else None, weights)[:2]

    def _pair(self, first: object, second: object, weights: Any) -> tuple[Tensor, Tensor, int]:
        """Return both inputs with a batch axis, and the number of axes that the caller's had."""
        names, options = self._kind.inputs, self._numpy._width_names
        given: tuple[Any, Any] = as_pair(names, "layer(", first, second)
        widths = [getattr(self, option) for option in options]
        x1, x2 = (
            self._input(name, x, self.units if width is None else width, weights[0])
            for name, x, width in zip(names, given, widths, strict=True)
        )
        axes = [x.dim() for x in given]
        if axes[0] != axes[1]:
            found = f"{axes[1]} axes"
            raise ValueError(f"{names[1]}: found {found}, expected {axes[0]} as of {names[0]}")
        if x1.shape[0] != x2.shape[0]:
            found = f"a batch of {x2.shape[0]}"
            raise ValueError(f"{names[1]}: found {found}, expected {x1.shape[0]} as of {names[0]}")
        return x1, x2, axes[0]
