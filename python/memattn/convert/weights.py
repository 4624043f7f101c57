"""Weights of layers as plain arrays: their names and shapes, and conversion from and to layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from memattn.arrays import Array, as_array
from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.layer import MemoryAugmentedAttention
from memattn.layer_file import Layer

PROJECTIONS = ("query", "key", "value", "output")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class LayerKind:
    """The weights and options of one class of layers.

    Attributes
    ----------
    layer_class : class
        The class of the NumPy layer.
    axes : mapping
        The axes of each weight, one letter per axis, by the weight's name; in the order of Keras'
        ``get_weights()`` and docs/format.md. A letter stands for the same size in the whole layer.
    sizes : mapping
        The letter of each option that is a size, in the order of the constructor.
    widths : tuple of str
        The options that are the widths of two inputs; empty for a layer of one input.
    options : tuple of str
        Options in every framework's config, except the sizes.
    own_options : tuple of str
        Options in memattn's config only.
    """

    layer_class: type[Layer]
    axes: Mapping[str, str]
    sizes: Mapping[str, str]
    widths: tuple[str, ...]
    options: tuple[str, ...]
    own_options: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the class, in files and messages."""
        return self.layer_class.__name__

    @property
    def groups(self) -> tuple[str, ...]:
        """The names before ``.kernel`` and ``.bias``."""
        return tuple(n.removesuffix(".kernel") for n in self.axes if n.endswith(".kernel"))

    def weight_names(self, use_bias: bool) -> tuple[str, ...]:
        """The names of the weights, in order, of a layer with or without biases."""
        return tuple(name for name in self.axes if use_bias or not name.endswith(".bias"))

    def sizes_of(self, shapes: Shapes) -> dict[str, int]:
        """The options that are sizes, from shapes that passed `shape_problem`."""
        found = {
            a: n for name in shapes for a, n in zip(self.axes[name], shapes[name], strict=True)
        }
        return {option: found[axis] for option, axis in self.sizes.items()}


def _attention(prefix: str) -> dict[str, str]:
    inner = {"query": "UHD", "key": "UHD", "value": "UHV", "output": "HVU"}
    axes = {}
    for role, kernel in inner.items():
        axes[f"{prefix}{role}.kernel"] = kernel
        axes[f"{prefix}{role}.bias"] = kernel[-1] if role == "output" else kernel[1:]
    return axes


def _pair_kind(
    layer_class: type[Layer],
    denses: Sequence[str],
    attentions: Sequence[str],
    widths: Sequence[str],
) -> LayerKind:
    first, second = denses
    axes = {f"{first}.kernel": "FU", f"{first}.bias": "U"}
    axes |= {f"{second}.kernel": "GU", f"{second}.bias": "U"}
    for prefix in attentions:
        axes |= _attention(prefix)
    sizes = {"units": "U", "num_heads": "H", **dict(zip(widths, "FG", strict=True))}
    sizes |= {"key_dim": "D", "value_dim": "V"}
    return LayerKind(
        layer_class, axes, sizes, tuple(widths), ("dropout", "fully_masked"), ("seed",)
    )


MEMORY = LayerKind(
    MemoryAugmentedAttention,
    {"memory": "SU", **_attention("")},
    {"units": "U", "memory_size": "S", "num_heads": "H", "key_dim": "D", "value_dim": "V"},
    (),
    ("residual", "dropout", "fully_masked"),
    ("memory_initializer", "seed"),
)
CROSS = _pair_kind(
    CrossAttention, ("source1", "source2"), ("",), ("source1_units", "source2_units")
)
HIERARCHICAL = _pair_kind(
    HierarchicalAttention,
    ("short.dense", "long.dense"),
    ("short.", "long."),
    ("short_units", "long_units"),
)
KINDS = (MEMORY, CROSS, HIERARCHICAL)
KIND_OF = {kind.name: kind for kind in KINDS}


def names_of_count(count: int) -> tuple[LayerKind, tuple[str, ...]] | None:
    """Return the kind with this number of weights, and their names; no two kinds share a number."""
    for kind in KINDS:
        for use_bias in (True, False):
            names = kind.weight_names(use_bias)
            if len(names) == count:
                return kind, names
    return None


def shape_problem(kind: LayerKind, shapes: Shapes) -> tuple[str, str] | None:
    """Return what was found and what was expected, or None if the shapes make one layer."""
    biases = [name for name in shapes if name.endswith(".bias")]
    expected_biases = len(kind.groups)
    if len(biases) not in (0, expected_biases):
        return f"biases {', '.join(biases)} only", f"all {expected_biases} or none"
    for name, axes in kind.axes.items():
        if not name.endswith(".bias") and (len(shapes[name]) != len(axes) or 0 in shapes[name]):
            return f"{name} of shape {shapes[name]}", f"{len(axes)} sizes of at least 1"
    sizes: dict[str, int] = {}
    first = next(iter(kind.axes))
    for name, axes in kind.axes.items():
        if name not in shapes:
            continue
        shape = shapes[name]
        if not name.endswith(".bias"):
            for axis, size in zip(axes, shape, strict=True):
                sizes.setdefault(axis, size)
        expected = tuple(sizes[axis] for axis in axes)
        if shape != expected:
            beside = f"beside {first} of shape {shapes[first]}"
            return f"{name} of shape {shape}", f"{expected} {beside}"
    return None


def make_layer(kind: LayerKind, weights: Mapping[str, Array], options: Mapping[str, Any]) -> Layer:
    """Return a layer with these weights, in float64 if any of them is, else in float32.

    Parameters
    ----------
    kind : LayerKind
        The kind of the layer.
    weights : mapping of names to arrays
        All weights, or all but the biases.
    options : mapping
        Arguments of the constructor that the shapes do not determine: ``options`` and
        ``own_options`` of the kind.

    Raises
    ------
    ValueError
        If the weights do not fit the kind, or an option is invalid.
    """
    sizes: dict[str, int | None] = {**kind.sizes_of({n: w.shape for n, w in weights.items()})}
    units, key_dim = sizes["units"], sizes["key_dim"]
    for option, usual in (*((width, units) for width in kind.widths), ("value_dim", key_dim)):
        if sizes[option] == usual:
            sizes[option] = None
    if key_dim == units:
        sizes["key_dim"] = None
    wide = any(weight.dtype == np.float64 for weight in weights.values())
    with warnings.catch_warnings():
        # The constructor warns that a memory of zeros cannot learn; here it gets other weights.
        warnings.simplefilter("ignore", UserWarning)
        arguments: dict[str, Any] = {**sizes, "seed": 0, **options}
        layer = kind.layer_class(
            **arguments,
            use_bias=any(name.endswith(".bias") for name in weights),
            dtype="float64" if wide else "float32",
        )
    layer.set_weights(weights)
    return layer


def as_layer(layer: object) -> Layer:
    """Return the NumPy layer equal to a memattn layer in any framework.

    Parameters
    ----------
    layer : object
        A layer of `memattn`; an object with ``to_numpy()``, such as a PyTorch module; or an object
        with ``get_weights()`` in Keras' order, and optionally ``get_config()``.

    Raises
    ------
    TypeError
        If `layer` is none of these.
    ValueError
        If its weights do not make one of the layers.
    """
    if isinstance(layer, tuple(kind.layer_class for kind in KINDS)):
        return layer  # type: ignore[return-value]
    if hasattr(layer, "to_numpy"):
        return as_layer(layer.to_numpy())
    if not hasattr(layer, "get_weights"):
        expected = _listed(kind.name for kind in KINDS)
        found = type(layer).__name__
        raise TypeError(f"write: layer: found {found}, expected a {expected}")
    arrays = list(layer.get_weights())
    named = names_of_count(len(arrays))
    if named is None:
        expected = _listed(
            f"{len(kind.axes)} of a {kind.name} ({len(kind.weight_names(False))} without biases)"
            for kind in KINDS
        )
        raise ValueError(f"write: layer: found {len(arrays)} weights, expected {expected}")
    kind, names = named
    weights = {
        name: as_array(f"write: {name}", array) for name, array in zip(names, arrays, strict=True)
    }
    problem = shape_problem(kind, {name: array.shape for name, array in weights.items()})
    if problem is not None:
        raise ValueError(f"write: layer: found {problem[0]}, expected {problem[1]}")
    config = layer.get_config() if hasattr(layer, "get_config") else {}
    return make_layer(
        kind, weights, {name: config[name] for name in kind.options if name in config}
    )


def _listed(texts: Iterable[str]) -> str:
    *most, last = texts
    return f"{', '.join(most)} or {last}"
