"""The layer over NumPy arrays: ``Z = X + MultiHeadAttention(X, M, M)`` with a learned memory M."""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, as_mask, as_numbers, as_place, check_shape
from memattn.deprecation import RenamedProperty
from memattn.file_kinds import check_is_saved
from memattn.layer_options import MemoryInitializer, Route, checked_dtype, config_json

_CORES: dict[str, Any] = {
    "float32": _memattn.LayerFloat32,
    "float64": _memattn.LayerFloat64,
}
_NAME = "MemoryAugmentedAttention"


class MemoryAugmentedAttention:
    """Attention over a learned memory, ``Z = X + MultiHeadAttention(X, M, M)``.

    Every token of the input reads the same ``memory_size`` learned slots on its own. The memory
    does not depend on the input, so the projections fold into two thin matrices, several times
    less work than the layer as written; ``docs/math.md`` derives it.

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
        Width of a head's queries and keys; `units` when not given, as in the published layer.
    value_dim : int, optional
        Width of a head's values; `key_dim` when not given.
    use_bias : bool
        Whether query, key, value and output have biases.
    residual : bool
        Whether the input is added to what was read.
    dropout : float
        Share of the scores that falls in training, in [0, 1).
    memory_initializer : str or mapping
        ``"normal"``, ``{"kind": "normal", "stddev": 0.3}``, ``"glorot_uniform"`` or ``"zeros"``. A
        memory of zeros cannot learn, since all slots stay equal; it warns.
    fully_masked : {"zero", "uniform"}
        What a token reads when every slot is masked: nothing (Keras 3, PyTorch), or all slots alike
        (the published layer, on Keras 2).
    dtype : {"float32", "float64"}
        Type of weights, compute and results. Other input is converted.
    seed : int, optional
        Of the initial weights and of dropout; drawn by the system when not given, and kept in the
        config.

    Notes
    -----
    Threads may use one layer at once; compute releases the GIL, except in calls of a few
    microseconds. Weights are changed under the GIL, and a call that is running goes on with the
    weights that it began with.

    Examples
    --------
    >>> import numpy as np
    >>> from memattn import MemoryAugmentedAttention
    >>> layer = MemoryAugmentedAttention(64, 20, 4, seed=0)
    >>> layer(np.zeros((32, 10, 64), np.float32)).shape
    (32, 10, 64)
    """

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
        dtype: str | np.dtype[Any] | type[np.floating[Any]] = "float32",
        seed: int | None = None,
    ) -> None:
        config = config_json(
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
            seed=secrets.randbits(63) if seed is None else seed,
        )
        name = checked_dtype(dtype)
        self._adopt(_CORES[name](config), name)
        for text in _memattn.config_warnings(config):
            warnings.warn(text, UserWarning, stacklevel=2)

    def __call__(
        self,
        x: object,
        *,
        attention_mask: object = None,
        query_mask: object = None,
        value_mask: object = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        training: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
        out: Array | None = None,
    ) -> Any:
        """Run the layer.

        Parameters
        ----------
        x : array (B, T, U)
            Anything that speaks the buffer protocol or DLPack; a C-contiguous array of the layer's
            dtype is not copied.
        attention_mask : array of bool, optional
            Broadcasts to (B, T, S); True keeps. Masks are ANDed.
        query_mask : array of bool (B, T), optional
            Tokens that read.
        value_mask : array of bool (B, S), optional
            Slots that are read.
        use_causal_mask : bool
            Step t reads slots 0 to ``first_step + t`` only.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T, S), before dropout, or their mean over heads (B, T, S).
        training : bool
            Apply dropout: each such call draws anew, see `dropout_step`.
        first_step : int
            Where step 0 of `x` stands in its sequence: 5 for a call that goes on after 5 steps. So
            a stream that is cut in calls gives the bits of one call, with the causal mask and with
            dropout, which are all that read it.
        first_sequence : int
            Likewise where sequence 0 of `x` stands in a batch that is cut in calls; dropout reads
            it.
        out : array (B, T, U), optional
            Where the result goes, C-contiguous and of the layer's dtype; may be `x` itself.

        Returns
        -------
        array (B, T, U), or that and the scores

        Raises
        ------
        ValueError
            A shape does not fit.
        TypeError
            Something is no array, or an array of the wrong kind.
        """
        # The usual call, on arrays that are ready for it, is made at once: to check them here takes
        # longer than to compute a token. None means that they are not.
        if (
            attention_mask is query_mask is value_mask is None
            and use_causal_mask is return_attention_scores is training is False
            and first_step == 0 == first_sequence
        ):
            done = self._core.forward_plain(x, out)
            if done is not None:
                return done
        array, batch, steps = self._tokens("x", x)
        if out is not None:
            self._check_out(out, array.shape)
        y = out if out is not None and out.flags.aligned else np.empty_like(array)
        scores: Array | None = None
        if return_attention_scores not in (True, False, "mean"):
            found = repr(return_attention_scores)
            raise ValueError(
                f'return_attention_scores: found {found}, expected True, False or "mean"'
            )
        if return_attention_scores:
            heads = () if return_attention_scores == "mean" else (self._heads,)
            scores = np.empty((batch, *heads, steps, self._slots), self._dtype)
        masks = self._masks(batch, steps, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps)
        sequence = as_place("first_sequence", first_sequence, batch)
        if training:
            self._dropout_step += 1
        self._core.forward(
            array,
            y,
            scores,
            return_attention_scores == "mean",
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            place,
            sequence,
        )
        if out is not None and out is not y:
            out[...] = y
            y = out
        return y if scores is None else (y, scores)

    def backward(
        self,
        x: object,
        grad_y: object,
        *,
        attention_mask: object = None,
        query_mask: object = None,
        value_mask: object = None,
        use_causal_mask: bool = False,
        training: bool = False,
        first_step: int = 0,
        first_sequence: int = 0,
    ) -> dict[str, Array]:
        """Compute the gradients of a loss by the input and by every weight.

        Parameters
        ----------
        x : array (B, T, U)
            What the layer was called with.
        grad_y : array (B, T, U)
            Gradient of the loss by the layer's result.
        attention_mask, query_mask, value_mask, use_causal_mask, training, first_step, \
first_sequence
            As in the call. With `training`, the dropout of the latest training call is used.

        Returns
        -------
        dict of arrays
            ``"x"`` (B, T, U) and one gradient for each name in `weights`, of that weight's shape.
            That of ``"key.bias"`` is exactly 0, since the softmax cancels this bias.
        """
        array, batch, steps = self._tokens("x", x)
        gradient = as_numbers("grad_y", grad_y, self._dtype)
        check_shape("grad_y", gradient.shape, array.shape)
        grad_x = np.empty_like(array)
        flat = np.empty(self._count, self._dtype)
        masks = self._masks(batch, steps, attention_mask, query_mask, value_mask)
        place = as_place("first_step", first_step, steps)
        sequence = as_place("first_sequence", first_sequence, batch)
        self._core.backward(
            array,
            gradient,
            grad_x,
            flat,
            *masks,
            bool(use_causal_mask),
            bool(training),
            self._dropout_step,
            place,
            sequence,
        )
        return {"x": grad_x, **self._split(flat)}

    @property
    def weights(self) -> dict[str, Array]:
        """The weights by name, read-only copies; `set_weights` changes them.

        ``memory`` (S, U), ``query.kernel`` and ``key.kernel`` (U, H, D), their biases (H, D),
        ``value.kernel`` (U, H, Dv) and bias (H, Dv), ``output.kernel`` (H, Dv, U) and bias (U).
        """
        flat = self._flat()
        flat.flags.writeable = False
        return self._split(flat)

    def get_weights(self) -> list[Array]:
        """Return copies of the weights in Keras' order, which is that of `weights`."""
        return list(self._split(self._flat()).values())

    def set_weights(self, weights: Sequence[object] | Mapping[str, object]) -> None:
        """Change the weights.

        Parameters
        ----------
        weights : sequence of arrays, or mapping of names to arrays
            All of them in the order of `get_weights`, or by name those that are to change.

        Raises
        ------
        ValueError
            A name, a number of arrays or a shape is wrong; then nothing has changed.
        """
        flat = self._flat()
        parts = self._split(flat)
        if not isinstance(weights, Mapping):
            if len(weights) != len(parts):
                found = f"{len(weights)} arrays"
                expected = f"{len(parts)}: {', '.join(parts)}"
                raise ValueError(f"set_weights: weights: found {found}, expected {expected}")
            weights = dict(zip(parts, weights, strict=True))
        for name, value in weights.items():
            if name not in parts:
                known = ", ".join(parts)
                raise ValueError(f"set_weights: weights: found {name!r}, expected one of {known}")
            array = as_numbers(f"set_weights: {name}", value, self._dtype)
            check_shape(f"set_weights: {name}", array.shape, parts[name].shape)
            parts[name][...] = array
        self._core.set_parameters(flat)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one, as JSON can hold them."""
        config: dict[str, Any] = json.loads(self._core.config_json())
        if config["memory_initializer"] == {"kind": "normal", "stddev": 1.0}:
            config["memory_initializer"] = "normal"
        elif config["memory_initializer"]["kind"] != "normal":
            config["memory_initializer"] = config["memory_initializer"]["kind"]
        seed = config.pop("seed")
        return {**config, "dtype": self.dtype, "seed": seed}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> MemoryAugmentedAttention:
        """Make a layer from what `get_config` gave; its weights start anew from the seed."""
        return cls(**config)

    def count_params(self) -> int:
        """Return the number of values in all weights together."""
        return self._count

    def summary(self) -> str:
        """Return a table of the weights with shapes and counts, and which route runs."""
        text: str = self._core.summary()
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and config to a safetensors file, atomically and durably.

        Raises
        ------
        OSError
            The system refused; a file that was there before is whole.
        """
        self._core.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MemoryAugmentedAttention:
        """Read a layer from a file that `save` wrote, from Python or from C++.

        Raises
        ------
        memattn.FormatError
            The file is not what docs/format.md says.
        OSError
            The system refused.
        """
        check_is_saved(Path(path), "layer")
        dtype = _memattn.layer_file_dtype(os.fspath(path))
        layer = cls.__new__(cls)
        layer._adopt(_CORES[dtype].load(os.fspath(path)), dtype)
        return layer

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return str(self._dtype)

    @property
    def route(self) -> Route:
        """The route that computes, ``"folded"`` or ``"projected"``; both give the same to rounding.

        The layer takes the one with less work a token. Assign one to force it, or ``"auto"`` to go
        back to that rule.
        """
        return "folded" if self._core.route() == "folded" else "projected"

    @route.setter
    def route(self, route: Literal["auto", "folded", "projected"]) -> None:
        if route not in ("auto", "folded", "projected"):
            raise ValueError(f'route: found {route!r}, expected "auto", "folded" or "projected"')
        self._core.set_route(route)

    path = RenamedProperty("route", removed_in="0.3")

    @property
    def dropout_step(self) -> int:
        """The number of the latest training call, which with the seed decides what falls.

        `backward` uses it to drop what that call dropped. Assign it to repeat a run.
        """
        return self._dropout_step

    @dropout_step.setter
    def dropout_step(self, step: int) -> None:
        if not 0 <= step < 2**63:
            raise ValueError(f"dropout_step: found {step}, expected at least 0 and below 2**63")
        self._dropout_step = int(step)

    def __repr__(self) -> str:
        """Return the call that makes a layer like this one."""
        config = self.get_config()
        required = [repr(config.pop(name)) for name in ("units", "memory_size", "num_heads")]
        usual = {
            "key_dim": None,
            "value_dim": None,
            "use_bias": True,
            "residual": True,
            "dropout": 0.0,
            "memory_initializer": "normal",
            "fully_masked": "zero",
            "dtype": "float32",
        }
        optional = [f"{k}={v!r}" for k, v in config.items() if k not in usual or usual[k] != v]
        return f"{_NAME}({', '.join(required + optional)})"

    def __getstate__(self) -> dict[str, Any]:
        """Return config, weights, and where dropout stands."""
        return {
            "config": self._core.config_json(),
            "parameters": self._flat(),
            "forced_route": self._core.forced_route(),
            "dropout_step": self._dropout_step,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what `__getstate__` gave."""
        name = state["parameters"].dtype.name
        self._adopt(_CORES[name](state["config"]), name)
        # A pickle may keep its buffers outside, wherever its reader puts them.
        self._core.set_parameters(as_numbers("parameters", state["parameters"], self._dtype))
        # The key of pickles from before version 0.2 is "forced_path".
        self._core.set_route(state.get("forced_route") or state["forced_path"])
        self._dropout_step = state["dropout_step"]

    def _adopt(self, core: Any, dtype: str) -> None:
        """Take a compiled layer, and note what every call needs of its config."""
        self._core = core
        self._dtype = np.dtype(dtype)
        self._dropout_step = 0
        self._weight_infos: list[tuple[str, tuple[int, ...], int, int]] = core.weight_infos()
        self._count: int = sum(size for _, _, _, size in self._weight_infos)
        config = json.loads(core.config_json())
        self._units: int = config["units"]
        self._slots: int = config["memory_size"]
        self._heads: int = config["num_heads"]

    def _flat(self) -> Array:
        flat = np.empty(self._count, self._dtype)
        self._core.read_parameters(flat)
        return flat

    def _split(self, flat: Array) -> dict[str, Array]:
        """Return views into a flat buffer, by name."""
        return {
            name: flat[offset : offset + size].reshape(shape)
            for name, shape, offset, size in self._weight_infos
        }

    def _tokens(self, where: str, x: object) -> tuple[Array, int, int]:
        array = as_numbers(where, x, self._dtype)
        shape = array.shape
        if shape[2:] != (self._units,):
            check_shape(where, shape, ("batch", "steps", self._units))
        return array, shape[0], shape[1]

    def _check_out(self, out: Array, shape: tuple[int, ...]) -> None:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out: found {type(out).__name__}, expected a NumPy array")
        check_shape("out", out.shape, shape)
        if out.dtype != self._dtype:
            raise ValueError(f"out: found dtype {out.dtype}, expected {self._dtype}")
        if not (out.flags.c_contiguous and out.flags.writeable):
            kind = "a read-only array" if out.flags.c_contiguous else "an array with gaps"
            raise ValueError(f"out: found {kind}, expected a writable C-contiguous one")

    def _masks(
        self, batch: int, steps: int, attention_mask: object, query_mask: object, value_mask: object
    ) -> tuple[Array | None, Array | None, Array | None]:
        attention = query = value = None
        if attention_mask is not None:
            attention = as_mask("attention_mask", attention_mask)
            full = (batch, steps, self._slots)
            padded = (1,) * (3 - attention.ndim) + attention.shape
            if len(padded) != 3 or any(
                have not in (1, want) for have, want in zip(padded, full, strict=True)
            ):
                found = f"shape {attention.shape}"
                raise ValueError(
                    f"attention_mask: found {found}, expected one that broadcasts to {full}"
                )
            attention = attention.reshape(padded)
        if query_mask is not None:
            query = as_mask("query_mask", query_mask)
            check_shape("query_mask", query.shape, (batch, steps))
        if value_mask is not None:
            value = as_mask("value_mask", value_mask)
            check_shape("value_mask", value.shape, (batch, self._slots))
        return attention, query, value
