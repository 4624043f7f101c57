"""The base of the layers over NumPy arrays: config, weights, copies, checks of calls."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from memattn import _memattn
from memattn.arrays import Array, Mask, as_mask, as_numbers, check_shape
from memattn.errors import printable
from memattn.file_kinds import check_is_saved
from memattn.layer_options import (
    Precision,
    ScoresChoice,
    check_scores_choice,
    checked_precision,
)

if TYPE_CHECKING:
    from typing_extensions import Self


class BaseLayer:
    """A layer whose weights are held by a compiled object of the layer's dtype."""

    # In this order: the class name in messages; the compiled class of each dtype; the keys of the
    # input gradients in the result of `backward`; and for repr the options without a default, in
    # order, and the defaults of the others.
    _name: ClassVar[str]
    _cores: ClassVar[Mapping[str, Any]]
    _inputs: ClassVar[tuple[str, ...]]
    _required: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[Mapping[str, Any]]

    @property
    def weights(self) -> dict[str, Array]:
        """Read-only copies of the weights by name; use `set_weights` to change them."""
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
            All arrays in the order of `get_weights`, or the weights to change by name.

        Raises
        ------
        ValueError
            If a name, the number of arrays or a shape is wrong. No weight has changed then.
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
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        config: dict[str, Any] = json.loads(self._core.config_json())
        # The config holds the precision only if it is not float32.
        last: dict[str, Any] = {"seed": config.pop("seed")}
        if "precision" in config:
            last["precision"] = config.pop("precision")
        return {**config, "dtype": self.dtype, **last}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a layer from the result of `get_config`; the seed initialises its weights."""
        return cls(**config)

    def count_params(self) -> int:
        """Return the total number of weights."""
        return self._count

    def summary(self) -> str:
        """Return a table of the options, and of the weights with their shapes and sizes."""
        text: str = self._core.summary()
        return text

    def save(self, path: str | os.PathLike[str], *, dtype: str | None = None) -> None:
        """Write weights and config to a safetensors file, atomically and durably.

        Parameters
        ----------
        path : str or path
            The file, in the format of docs/format.md. An existing file is replaced.
        dtype : str, optional
            Type of the weights in the file. Default: the layer's dtype. A float32 layer can also be
            saved as ``"bfloat16"``: half the size, and it loads as a float32 layer with the rounded
            weights.

        Raises
        ------
        ValueError
            If `dtype` is neither, or a weight is too large for bfloat16.
        OSError
            If the file cannot be written. An existing file is then unchanged.
        """
        if dtype not in (None, self.dtype, "bfloat16") or (
            dtype == "bfloat16" and self.dtype != "float32"
        ):
            known = '"float32" or "bfloat16"' if self.dtype == "float32" else f'"{self.dtype}"'
            raise ValueError(f"save: dtype: found {dtype!r}, expected {known}")
        self._core.save(os.fspath(path), dtype == "bfloat16")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a layer from a file that `save` wrote, from Python or from C++.

        Parameters
        ----------
        path : str or path
            A file with a layer of this class; `memattn.load` opens a layer of any class.

        Returns
        -------
        layer
            A layer with the saved weights, options and dtype; `route` is ``"auto"`` and
            `dropout_step` 0.

        Raises
        ------
        memattn.FormatError
            If the file does not follow docs/format.md, or holds a layer of another class.
        OSError
            If the file cannot be read.
        """
        name, dtype = layer_file_info(path)
        if name != cls._name:
            found = f"found a {name}, expected a {cls._name}; memattn.load opens both"
            raise _memattn.FormatError(f"{printable(os.fspath(path))}: {found}")
        return cls._load(path, dtype)

    @classmethod
    def _load(cls, path: str | os.PathLike[str], dtype: str) -> Self:
        """Read a file that holds a layer of this class and dtype."""
        layer = cls.__new__(cls)
        layer._adopt(cls._cores[dtype].load(os.fspath(path)), dtype)
        return layer

    @property
    def dtype(self) -> str:
        """``"float32"`` or ``"float64"``."""
        return str(self._dtype)

    @property
    def precision(self) -> Precision:
        """The precision of products in calls, ``"float32"`` or ``"bfloat16"``. Assign to change it.

        Copies, pickles and files keep it.
        """
        found: Precision = self._core.precision()
        return found

    @precision.setter
    def precision(self, precision: Precision) -> None:
        self._core.set_precision(checked_precision(precision, self._name))

    @property
    def kept_bytes(self) -> int:
        """Bytes that the layer holds between calls: its weights and the folded weights."""
        kept: int = self._core.kept_bytes()
        return kept

    @property
    def dropout_step(self) -> int:
        """The number of the latest training call. With the seed it determines the dropout mask.

        `backward` uses it to apply the same mask. Assign it to repeat a run.
        """
        return self._dropout_step

    @dropout_step.setter
    def dropout_step(self, step: int) -> None:
        if not 0 <= step < 2**63:
            raise ValueError(f"dropout_step: found {step}, expected at least 0 and below 2**63")
        self._dropout_step = int(step)

    def __repr__(self) -> str:
        """Return the constructor call that makes this layer."""
        config = self.get_config()
        required = [repr(config.pop(name)) for name in self._required]
        usual = self._defaults
        optional = [f"{k}={v!r}" for k, v in config.items() if k not in usual or usual[k] != v]
        return f"{self._name}({', '.join(required + optional)})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the config, the weights and the dropout step."""
        return {
            "config": self._core.config_json(),
            "parameters": self._flat(),
            "forced_route": self._core.forced_route(),
            "dropout_step": self._dropout_step,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state that `__getstate__` returned."""
        name = state["parameters"].dtype.name
        self._adopt(self._cores[name](state["config"]), name)
        # With pickle protocol 5 the buffer is the reader's, which may be misaligned.
        self._core.set_parameters(as_numbers("parameters", state["parameters"], self._dtype))
        # The key of pickles from before version 0.2 is "forced_path".
        self._core.set_route(state.get("forced_route") or state["forced_path"])
        self._dropout_step = state["dropout_step"]

    def _adopt(self, core: Any, dtype: str) -> dict[str, Any]:
        """Take over a compiled layer and return its config; cache what every call needs."""
        self._core = core
        self._dtype = np.dtype(dtype)
        self._dropout_step = 0
        self._weight_infos: list[tuple[str, tuple[int, ...], int, int]] = core.weight_infos()
        self._count: int = sum(size for _, _, _, size in self._weight_infos)
        config: dict[str, Any] = json.loads(core.config_json())
        self._units: int = config["units"]
        self._heads: int = config["num_heads"]
        return config

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

    def _input(self, where: str, x: object, expected: tuple[int | str, int | str, int]) -> Array:
        array = as_numbers(where, x, self._dtype)
        if array.shape != expected:
            check_shape(where, array.shape, expected)
        return array

    def _result(self, out: Array | None, shape: tuple[int, ...]) -> Array:
        """Return the array that the kernels write: the checked `out` if usable, or a new one."""
        if out is None:
            return np.empty(shape, self._dtype)
        if not isinstance(out, np.ndarray):
            raise TypeError(f"out: found {type(out).__name__}, expected a NumPy array")
        check_shape("out", out.shape, shape)
        if out.dtype != self._dtype:
            raise ValueError(f"out: found dtype {out.dtype}, expected {self._dtype}")
        if not (out.flags.c_contiguous and out.flags.writeable):
            kind = "a read-only array" if out.flags.c_contiguous else "an array with gaps"
            raise ValueError(f"out: found {kind}, expected a writable C-contiguous one")
        return out if out.flags.aligned else np.empty(shape, self._dtype)

    def _scores(
        self, return_attention_scores: ScoresChoice, batch: int, queries: int, keys: int
    ) -> Array | None:
        """Return an array for the scores, or None if they are not requested."""
        check_scores_choice("return_attention_scores", return_attention_scores)
        if not return_attention_scores:
            return None
        heads = () if return_attention_scores == "mean" else (self._heads,)
        return np.empty((batch, *heads, queries, keys), self._dtype)


def layer_file_info(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Check the header of a file and return the class of its layer and the dtype of its weights.

    Raises
    ------
    memattn.FormatError
        If the file does not follow docs/format.md.
    OSError
        If the file cannot be read.
    """
    check_is_saved(Path(path), "layer")
    return _memattn.layer_file_info(os.fspath(path))


def in_out(out: Array | None, y: Array) -> Array:
    """Return the result `y`, copied to `out` if it is given."""
    if out is None or out is y:
        return y
    out[...] = y
    return out


def as_attention_mask(value: object, full: tuple[int, int, int]) -> Mask | None:
    """Return a mask with three axes, each of size 1 or the size in `full`.

    Raises
    ------
    ValueError
        If the mask does not broadcast to `full`.
    """
    if value is None:
        return None
    mask = as_mask("attention_mask", value)
    padded = (1,) * (3 - mask.ndim) + mask.shape
    if len(padded) != 3 or any(
        have not in (1, want) for have, want in zip(padded, full, strict=True)
    ):
        found = f"shape {mask.shape}"
        raise ValueError(f"attention_mask: found {found}, expected one that broadcasts to {full}")
    return mask.reshape(padded)


def as_step_mask(where: str, value: object, shape: tuple[int, int]) -> Mask | None:
    """Return a mask of steps or slots with exactly this shape."""
    if value is None:
        return None
    mask = as_mask(where, value)
    check_shape(where, mask.shape, shape)
    return mask
