"""Replacement of published layers in models (`replace`) and files (`published_as_ours`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from memattn.keras.cross_attention import CrossAttention
from memattn.keras.fusionlab_models import link_fusion, note_of
from memattn.keras.hierarchical_attention import HierarchicalAttention
from memattn.keras.host import KERAS_3, Attention, keras, ops, projections
from memattn.keras.layer import MemoryAugmentedAttention
from memattn.keras.learner import parameters
from memattn.keras.self_attention import (
    ATTENTION_OPTIONS,
    ExplainableAttention,
    MultiResolutionAttentionFusion,
    SelfAttention,
)

_PACKAGE = "fusionlab.nn.components"
# The allowed difference between the published layer and ours, relative to the largest output.
_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}
_COMPILED = ("train_function", "test_function", "predict_function", "train_tf_function")


@dataclass(frozen=True)
class _Kind:
    """A published layer: our class, and the attributes that identify it."""

    ours: Any
    attentions: tuple[str, ...]
    denses: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ("units",)

    @property
    def name(self) -> str:
        """The name of both classes."""
        return str(self.ours.__name__)


_KINDS = (
    _Kind(MemoryAugmentedAttention, ("attention",), numbers=("units", "memory_size")),
    _Kind(CrossAttention, ("cross_attention",), ("source1_dense", "source2_dense")),
    _Kind(
        HierarchicalAttention,
        ("short_term_attention", "long_term_attention"),
        ("short_term_dense", "long_term_dense"),
    ),
    _Kind(MultiResolutionAttentionFusion, ("attention",), numbers=("units", "num_heads")),
    _Kind(ExplainableAttention, ("attention",), numbers=("num_heads", "key_dim")),
)


@dataclass(frozen=True)
class Replaced:
    """A layer that `replace` replaced.

    Attributes
    ----------
    name : str
        The layer's name in Keras.
    kind : str
        The name of its class.
    note : str
        A note on how the model uses the layer; usually empty.
    """

    name: str
    kind: str
    note: str = ""

    def __str__(self) -> str:
        """Return the description as one line."""
        return f"{self.name}: {self.kind}" + (f" ({self.note})" if self.note else "")


@overload
def replace(model: Any, *, return_replaced: Literal[False] = False) -> Any: ...
@overload
def replace(model: Any, *, return_replaced: Literal[True]) -> tuple[Any, list[Replaced]]: ...
def replace(model: Any, *, return_replaced: bool = False) -> Any:
    """Replace every published attention layer in a model by ours, in place.

    The published layers are fusionlab's ``MemoryAugmentedAttention``, ``CrossAttention``,
    ``HierarchicalAttention``, ``MultiResolutionAttentionFusion`` and ``ExplainableAttention``.

    Each layer object keeps its name, its variables and its position in the model; only its class
    changes. So the weights and their order, an optimizer's state, the graph of a functional model
    and all references to the layer stay valid. Before a layer is replaced, the outputs of both
    classes are compared.

    If an XTFT or SuperXTFT uses only the last step of its fusion, the fusion computes only that
    step. This is decided in every traced call, so a later change of ``final_agg`` takes effect.

    Keras compiles its functions for ``fit``, ``evaluate`` and ``predict`` again at the next call. A
    ``tf.function`` of your own that was traced before keeps the published layers.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
        A functional, sequential or subclassed model; all layers that Keras tracks are found.
    return_replaced : bool
        Also return a list of `Replaced`, one for each replaced layer.

    Returns
    -------
    `model`, or `model` and the list

    Raises
    ------
    ValueError
        If the model has no such layer, or a layer computes something else. Nothing has changed
        then.
    """
    layers = list(model._flatten_layers())
    found = [(layer, kind) for layer in layers for kind in _KINDS if _is_published(layer, kind)]
    ours = tuple(kind.ours for kind in _KINDS)
    if not found and not any(isinstance(layer, ours) for layer in layers):
        names = ", ".join(kind.name for kind in _KINDS)
        raise ValueError(
            f"replace: model: {model.name} has no published layer; replace() looks for {names}"
        )
    done: list[tuple[Any, type, dict[str, Any]]] = []
    try:
        for layer, kind in found:
            done.append((layer, type(layer), dict(vars(layer))))
            _convert(layer, kind)
    except Exception:
        for layer, before, attributes in done:
            object.__setattr__(layer, "__class__", before)
            vars(layer).clear()
            vars(layer).update(attributes)
        raise
    for layer in layers:
        link_fusion(layer)
    for layer in layers if found else []:
        if isinstance(layer, keras.Model):
            for name in _COMPILED:
                if hasattr(layer, name):
                    setattr(layer, name, None)
    if not return_replaced:
        return model
    return model, [Replaced(layer.name, kind.name, note_of(layer, layers)) for layer, kind in found]


@contextmanager
def published_as_ours(num_heads: int | None = None) -> Iterator[None]:
    """Make Keras load our layers from files of models with published layers.

    ::

        with published_as_ours(num_heads=4):
            model = keras.models.load_model("published.keras")

    Parameters
    ----------
    num_heads : int, optional
        The number of heads of layers whose config lacks it, which is so for the published
        ``MemoryAugmentedAttention``, ``CrossAttention`` and ``HierarchicalAttention``.
        ``memattn.convert.find(path)`` lists the layers in a file with their numbers of heads.

    Notes
    -----
    The context changes Keras' global registry of custom objects, so no other thread should load a
    model meanwhile. ``custom_objects`` and ``custom_object_scope`` are not enough: classes in the
    registry, where fusionlab adds its own, have priority.
    """
    registry = keras.saving.get_custom_objects()
    names = {f"{_PACKAGE}>{kind.name}": kind for kind in _KINDS}
    before = {name: registry[name] for name in names if name in registry}
    registry.update({name: _reader_of(kind, num_heads) for name, kind in names.items()})
    try:
        yield
    finally:
        for name in names:
            del registry[name]
        registry.update(before)


def _reader_of(kind: _Kind, num_heads: int | None) -> type:
    """Return a class that makes a layer of ours from the config of a published one."""

    class Published(kind.ours):  # type: ignore[misc,name-defined]
        @classmethod
        def from_config(cls, config: Mapping[str, Any]) -> Any:
            heads = config.get("num_heads", num_heads)
            if heads is None:
                raise ValueError(
                    f"{config.get('name', kind.name)}: the file lacks num_heads, which the "
                    "published layer does not save; use published_as_ours(num_heads=...)"
                )
            # The config of a published layer of two inputs contains those of its Dense layers.
            options = {name: value for name, value in config.items() if name not in kind.denses}
            if "fully_masked" in parameters(kind.ours):
                options.setdefault("fully_masked", "uniform")
            return kind.ours.from_config({**options, "num_heads": heads})

    return Published


def _is_published(layer: Any, kind: _Kind) -> bool:
    """Whether a layer has the name and structure of a published one; a subclass may do more."""
    return (
        type(layer).__name__ == kind.name
        and not isinstance(layer, kind.ours)
        and all(isinstance(getattr(layer, name, None), Attention) for name in kind.attentions)
        and all(isinstance(getattr(layer, name, None), keras.layers.Dense) for name in kind.denses)
        and all(hasattr(layer, name) for name in kind.numbers)
    )


def _convert(layer: Any, kind: _Kind) -> None:
    """Change the class of a published layer to ours; raise if their outputs differ."""
    if KERAS_3 and not layer.built:
        raise ValueError(f"replace: {layer.name}: this layer is not built; call the model first")
    ours = kind.ours(name=layer.name, dtype=layer.dtype_policy, **_options(layer, kind))
    before = _probe(layer, kind) if layer.built else None
    object.__setattr__(layer, "__class__", kind.ours)
    if not issubclass(kind.ours, SelfAttention):
        for name in parameters(kind.ours):
            setattr(layer, name, getattr(ours, name))
    for name, value in vars(ours).items():
        # Keras' description of the signature of `call`.
        if name.lstrip("_").startswith("call_"):
            setattr(layer, name, value)
    for name in kind.ours._fresh:
        setattr(layer, name, getattr(ours, name))
    if before is None:
        return
    if KERAS_3:  # remove Keras' wrappers of the old class's methods
        del layer.build, layer.quantize
    layer._note_widths()
    after = _probe(layer, kind)
    largest = max(1.0, float(np.nanmax(np.abs(before), initial=0.0)))
    difference = np.abs(after - before)
    difference[np.isnan(after) & np.isnan(before)] = 0.0
    tolerance = _TOLERANCE[layer.compute_dtype] * largest
    if not (difference <= tolerance).all():
        raise ValueError(
            f"replace: {layer.name}: its output differs from ours by {difference.max():.3g}, "
            f"expected at most {tolerance:.3g}; its class is not the published one"
        )


def _options(layer: Any, kind: _Kind) -> dict[str, Any]:
    """Return arguments of our class for a layer equal to a published one; raise without any."""
    configs = [getattr(layer, name).get_config() for name in kind.attentions]
    if any(config["dropout"] for config in configs):
        raise ValueError(f"replace: {layer.name}: dropout inside its attention is not supported")
    taken = [{name: config[name] for name in ATTENTION_OPTIONS} for config in configs]
    numbers = {name: getattr(layer, name) for name in kind.numbers}
    if issubclass(kind.ours, SelfAttention):
        return {**numbers, "attention_options": taken[0]}
    heads = [{name: config[name] for name in ("num_heads", "key_dim")} for config in configs]
    biases = {config["use_bias"] for config in taken}
    biases |= {getattr(layer, name).use_bias for name in kind.denses}
    if any(one != heads[0] for one in heads) or len(biases) > 1:
        found = "its attentions and Dense layers have different options"
        raise ValueError(f"replace: {layer.name}: {found}, which is not supported")
    return {
        **numbers,
        "fully_masked": "uniform",
        "activity_regularizer": layer.activity_regularizer,
        **heads[0],
        **taken[0],
    }


def _probe(layer: Any, kind: _Kind) -> Any:
    """Return the output of the layer for random tokens, always the same."""
    if kind.denses:
        widths = [getattr(layer, name).kernel.shape[0] for name in kind.denses]
    else:
        widths = [projections(getattr(layer, kind.attentions[0]))[0].kernel.shape[0]]
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((2, 5, int(width))) for width in widths]
    inputs = [ops.convert_to_tensor(part, layer.compute_dtype) for part in x]
    y = layer(inputs if kind.denses else inputs[0])
    dtype = "float64" if layer.compute_dtype == "float64" else "float32"
    return np.asarray(ops.convert_to_numpy(ops.cast(y, dtype)))
