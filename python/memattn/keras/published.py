"""What was built with the published layer: models (`replace`) and files (`published_as_ours`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from memattn.keras.host import KERAS_3, keras, ops
from memattn.keras.layer import MemoryAugmentedAttention
from memattn.keras.learner import parameters

_NAME = MemoryAugmentedAttention.__name__
_REGISTERED = "fusionlab.nn.components>MemoryAugmentedAttention"
# What the published layer and ours may differ by, relative to the largest output.
_TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-1}
# Of the attention inside a published layer, what a layer of ours takes over.
_TAKEN = (
    *("num_heads", "key_dim", "value_dim", "use_bias", "kernel_initializer", "bias_initializer"),
    *("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"),
)
_COMPILED = ("train_function", "test_function", "predict_function", "train_tf_function")


def replace(model: Any) -> Any:
    """Turn every published ``MemoryAugmentedAttention`` inside a model into ours, in place.

    Each layer stays the object that it is, with its name, its variables and its place in the model,
    and becomes one of our class. So the weights and their order, an optimizer's state, the graph of
    a functional model and every reference that the model's own code holds stay as they were. Before
    a layer is accepted, both classes are run on it and compared.

    What Keras has compiled for ``fit``, ``evaluate`` and ``predict`` is compiled anew at the next
    call. A ``tf.function`` of your own that has run already keeps what it was traced with.

    Parameters
    ----------
    model : keras.Model or keras.layers.Layer
        Functional, sequential or subclassed; layers are found wherever Keras tracks them.

    Returns
    -------
    `model`

    Raises
    ------
    ValueError
        The model has no such layer, or one that computes something else; then nothing has changed.
    """
    layers = list(model._flatten_layers())
    found = [layer for layer in layers if _is_published(layer)]
    if not found and not any(isinstance(layer, MemoryAugmentedAttention) for layer in layers):
        raise ValueError(f"replace: model: found no {_NAME} in {model.name}, expected at least one")
    done: list[tuple[Any, type, dict[str, Any]]] = []
    try:
        for layer in found:
            done.append((layer, type(layer), dict(vars(layer))))
            _convert(layer)
    except Exception:
        for layer, kind, attributes in done:
            object.__setattr__(layer, "__class__", kind)
            vars(layer).clear()
            vars(layer).update(attributes)
        raise
    for layer in layers if found else []:
        if isinstance(layer, keras.Model):
            for name in _COMPILED:
                if hasattr(layer, name):
                    setattr(layer, name, None)
    return model


@contextmanager
def published_as_ours(num_heads: int | None = None) -> Iterator[None]:
    """Let Keras make ours where a file that it loads says the published layer.

    ::

        with published_as_ours(num_heads=4):
            model = keras.models.load_model("published.keras")

    Parameters
    ----------
    num_heads : int, optional
        Of the layers whose config does not say, as the published one's does not.
        ``memattn.convert.find(path)`` lists the layers in a file with it.

    Notes
    -----
    It changes Keras' registry of custom objects for as long as it lasts, since a class that is
    registered there, as fusionlab's is once it is imported, comes before what ``custom_objects``
    and ``custom_object_scope`` say. So no other thread should load a model meanwhile.
    """

    class Published(MemoryAugmentedAttention):
        @classmethod
        def from_config(cls, config: Mapping[str, Any]) -> MemoryAugmentedAttention:
            heads = config.get("num_heads", num_heads)
            if heads is None:
                raise ValueError(
                    f"{config.get('name', _NAME)}: found no num_heads in the file, where the "
                    "published layer does not put it, expected published_as_ours(num_heads=...)"
                )
            options = {"fully_masked": "uniform", **config, "num_heads": heads}
            layer: MemoryAugmentedAttention = MemoryAugmentedAttention.from_config(options)
            return layer

    registry = keras.saving.get_custom_objects()
    before = registry.get(_REGISTERED)
    registry[_REGISTERED] = Published
    try:
        yield
    finally:
        del registry[_REGISTERED]
        if before is not None:
            registry[_REGISTERED] = before


def _is_published(layer: Any) -> bool:
    """Whether it is a layer of that name and structure; a class derived from it may do more."""
    attention = getattr(layer, "attention", None)
    return (
        type(layer).__name__ == _NAME
        and not isinstance(layer, MemoryAugmentedAttention)
        and isinstance(attention, keras.layers.MultiHeadAttention)
        and hasattr(layer, "units")
        and hasattr(layer, "memory_size")
    )


def _convert(layer: Any) -> None:
    """Make a published layer one of ours, or raise."""
    config = layer.attention.get_config()
    if config["dropout"]:
        raise ValueError(f"replace: {layer.name}: found dropout in its attention, expected none")
    if KERAS_3 and not layer.built:
        raise ValueError(f"replace: {layer.name}: found no weights, expected a model that is built")
    options = {
        "units": layer.units,
        "memory_size": layer.memory_size,
        "fully_masked": "uniform",
        "activity_regularizer": layer.activity_regularizer,
        **{name: config[name] for name in _TAKEN},
    }
    before = _probe(layer) if layer.built else None
    ours = MemoryAugmentedAttention(name=layer.name, dtype=layer.dtype_policy, **options)
    object.__setattr__(layer, "__class__", MemoryAugmentedAttention)
    for name in parameters(MemoryAugmentedAttention):
        setattr(layer, name, getattr(ours, name))
    for name, value in vars(ours).items():
        # What Keras has noted of the signature of `call`.
        if name.lstrip("_").startswith("call_"):
            setattr(layer, name, value)
    layer.dropout_layer, layer._forced_route, layer.width = None, None, None
    if before is None:
        return
    if KERAS_3:  # wrappers around the methods of the class that it had
        del layer.build, layer.quantize
    layer.width = int(layer.get_weights()[1].shape[0])
    after = _probe(layer)
    largest = max(1.0, float(np.nanmax(np.abs(before), initial=0.0)))
    difference = np.abs(after - before)
    difference[np.isnan(after) & np.isnan(before)] = 0.0
    tolerance = _TOLERANCE[layer.compute_dtype] * largest
    if not (difference <= tolerance).all():
        raise ValueError(
            f"replace: {layer.name}: found a difference of {difference.max():.3g} between its "
            f"output and ours, expected at most {tolerance:.3g}: its class computes something else"
        )


def _probe(layer: Any) -> Any:
    """What the layer makes of some tokens."""
    width = layer.get_weights()[1].shape[0]  # of the query's kernel
    x = np.random.default_rng(0).standard_normal((2, 5, width))
    y = layer(ops.convert_to_tensor(x, layer.compute_dtype))
    dtype = "float64" if layer.compute_dtype == "float64" else "float32"
    return np.asarray(ops.convert_to_numpy(ops.cast(y, dtype)))
