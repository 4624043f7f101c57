"""The base of the layers of two inputs: options, initial parameters, files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from memattn.jax.arguments import Array, Params, as_params, real_dtype
from memattn.jax.numpy_layer import from_numpy, to_numpy
from memattn.jax.operators import glorot_uniform
from memattn.jax.pair_attention import Prepared, prepared_shapes
from memattn.layer_options import PairSizes, config_json
from memattn.pair_layer import PairLayer as NumpyLayer

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class PairLayer:
    """The options of a layer of two inputs, and its functions.

    Immutable and hashable; it does not hold the parameters.
    """

    units: int
    num_heads: int
    key_dim: int | None = field(default=None, kw_only=True)
    value_dim: int | None = field(default=None, kw_only=True)
    use_bias: bool = field(default=True, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    fully_masked: Literal["zero", "uniform"] = field(default="zero", kw_only=True)

    _numpy: ClassVar[type[NumpyLayer]]  # the NumPy layer of the same name

    def __post_init__(self) -> None:
        core = self._numpy._cores["float32"]
        core.check_config(config_json(layer=type(self).__name__, **asdict(self)))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by its name and in the order of the files."""
        raise NotImplementedError

    def init(self, key: Array, dtype: Any = jnp.float32) -> Params:
        """Draw parameters: kernels glorot uniform, biases zeros.

        Parameters
        ----------
        key : key of jax.random
        dtype : dtype

        Returns
        -------
        dict of arrays
            Arrays with the names and shapes in `shapes`.
        """
        params = {}
        for name, shape in self.shapes.items():
            key, draw = jax.random.split(key)
            biased = name.endswith(".bias")
            params[name] = jnp.zeros(shape, dtype) if biased else glorot_uniform(draw, shape, dtype)
        return params

    @classmethod
    def from_numpy(cls, layer: Any) -> tuple[Params, Self]:
        """Return the parameters and options of the same layer over NumPy arrays.

        Without ``jax_enable_x64`` a layer in float64 becomes one in float32.

        Parameters
        ----------
        layer : memattn.CrossAttention or memattn.HierarchicalAttention
            A NumPy layer whose class has the same name as this class.

        Returns
        -------
        tuple of dict of arrays, and layer
            Parameters and options.

        Raises
        ------
        TypeError
            If `layer` is of another class.
        """
        if not isinstance(layer, cls._numpy):
            found, expected = type(layer).__name__, f"a memattn.{cls._numpy.__name__}"
            raise TypeError(f"from_numpy: found {found}, expected {expected}")
        params, made = from_numpy(layer, cls)
        return params, made

    def to_numpy(self, params: Mapping[str, Array]) -> Any:
        """Return the same layer over NumPy arrays; parameters in 16 bits become float32.

        Parameters
        ----------
        params : mapping of names to arrays
            Arrays with the names and shapes in `shapes`.

        Returns
        -------
        memattn.CrossAttention or memattn.HierarchicalAttention
            In float64 if the parameters are, else in float32.

        Raises
        ------
        ValueError
            If a name or a shape does not fit.
        TypeError
            If a parameter does not hold real numbers.
        """
        return to_numpy("to_numpy", params, self, self._numpy)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> tuple[Params, Self]:
        """Read parameters and options from a safetensors file that any framework wrote.

        Without ``jax_enable_x64`` a layer in float64 becomes one in float32.

        Returns
        -------
        tuple of dict of arrays, and layer
            Parameters and options.

        Raises
        ------
        memattn.FormatError
            If the file does not follow docs/format.md, or holds another layer.
        OSError
            If the file cannot be read.
        """
        return cls.from_numpy(cls._numpy.load(path))

    def save(self, path: str | os.PathLike[str], params: Mapping[str, Array]) -> None:
        """Write parameters and options to a safetensors file, atomically.

        Parameters in 16 bits become float32.

        Raises
        ------
        ValueError
            If a name or a shape does not fit.
        TypeError
            If a parameter does not hold real numbers.
        OSError
            If the file cannot be written. An existing file is then unchanged.
        """
        to_numpy("save", params, self, self._numpy).save(path)

    @property
    def _attentions(self) -> tuple[PairSizes, ...]:
        """The sizes of each attention of the layer."""
        raise NotImplementedError

    def _sizes(self, width1: int, width2: int, *, one_source: bool) -> PairSizes:
        key_dim = self.key_dim or self.units
        value_dim = self.value_dim or key_dim
        units, heads = self.units, self.num_heads
        return PairSizes(units, width1, width2, heads, key_dim, value_dim, one_source)

    def _wanted(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {n: s for n, s in shapes.items() if self.use_bias or not n.endswith(".bias")}

    def _checked(self, prepared: tuple[Prepared, ...], *inputs: Array) -> Any:
        """Return the dtype of a call, after a check that `prepared` fits this layer."""
        dtypes = [
            as_params("apply", side.arrays, prepared_shapes(sizes, self.use_bias, side.route))[1]
            for side, sizes in zip(prepared, self._attentions, strict=True)
        ]
        return real_dtype("apply", *(jnp.zeros((), dtype) for dtype in dtypes), *inputs)
