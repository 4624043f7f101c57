"""Conversion of parameters and options from and to the NumPy layers, which read and write files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import jax.numpy as jnp
import numpy as np

from memattn.base_layer import BaseLayer
from memattn.jax.arguments import Array, Params, as_params


def from_numpy(layer: BaseLayer, config_class: Any) -> tuple[Params, Any]:
    """Return a layer's weights, and its options as a `config_class`.

    Without ``jax_enable_x64`` weights in float64 become float32.
    """
    options = layer.get_config()
    config = config_class(**{option.name: options[option.name] for option in fields(config_class)})
    return {name: jnp.asarray(array) for name, array in layer.weights.items()}, config


def to_numpy(where: str, params: Mapping[str, Array], config: Any, layer_class: Any) -> Any:
    """Return a `layer_class` with these parameters, in float64 or, if they are narrower, float32.

    Raises
    ------
    ValueError
        If a name or a shape does not fit.
    TypeError
        If a parameter does not hold real numbers.
    """
    arrays, dtype = as_params(where, params, config.shapes)
    kind = "float64" if dtype == jnp.float64 else "float32"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # already given when the config was made
        layer = layer_class(**asdict(config), dtype=kind, seed=0)
    layer.set_weights({name: np.asarray(array.astype(kind)) for name, array in arrays.items()})
    return layer
