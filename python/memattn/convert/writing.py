"""`write`: writes one layer to a file in the format of its suffix."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memattn import _memattn
from memattn.arrays import Array
from memattn.convert.npz_file import npz_bytes
from memattn.convert.onnx_graph import onnx_bytes
from memattn.convert.onnx_pair_graph import pair_onnx_bytes
from memattn.convert.torch_file import torch_file_bytes
from memattn.convert.weights import (
    CROSS,
    HIERARCHICAL,
    MEMORY,
    PROJECTIONS,
    as_layer,
    names_of_count,
)
from memattn.errors import DataError
from memattn.extras import need

# The names of the layers in Keras.
_KERAS_NAMES = {
    MEMORY.name: "memory_augmented_attention",
    CROSS.name: "cross_attention",
    HIERARCHICAL.name: "hierarchical_attention",
}
# The attentions and Dense layers inside Keras' layers, by the prefixes of the weights' names.
_KERAS_ATTENTIONS = {
    MEMORY.name: {"": "attention"},
    CROSS.name: {"": "cross_attention"},
    HIERARCHICAL.name: {"short.": "short_term_attention", "long.": "long_term_attention"},
}
_KERAS_DENSES = {
    "source1": "source1_dense",
    "source2": "source2_dense",
    "short.dense": "short_term_dense",
    "long.dense": "long_term_dense",
}


def write(layer: object, path: str | os.PathLike[str]) -> None:
    """Write one layer to a file, atomically.

    Parameters
    ----------
    layer : MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        A layer of `memattn`, `memattn.keras` or `memattn.torch`.
    path : str or path
        The suffix selects the format: ``.safetensors``; ``.weights.h5`` for ``load_weights`` of a
        Keras model in which no other layer has weights; ``.npz``; ``.pt`` or ``.pth``, a
        ``state_dict`` for ``torch.load(weights_only=True)``; ``.onnx``, the folded graph without
        masks and dropout.

    Raises
    ------
    ValueError
        If the suffix is none of these, or the weights do not fit one of these layers.
    TypeError
        If `layer` is not a layer.
    OSError
        If the file cannot be written. An existing file is then unchanged.
    ModuleNotFoundError
        If h5py or onnx is needed and not installed.
    """
    target = Path(path)
    check_target(target)
    ours = as_layer(layer)
    ending = _ending(target)
    if ending == ".safetensors":
        ours.save(target)
        return
    _memattn.write_file_atomically(target, _WRITERS[ending](ours.weights, ours.get_config()))


def check_target(path: Path) -> None:
    """Raise DataError, a ValueError, unless the suffix of a file is one that `write` supports."""
    if not _ending(path):
        problem = f"the name must end in one of {', '.join(_ENDINGS)}, which selects the format"
        raise DataError("target", problem, file=path)
    extra, *modules = _NEEDED.get(_ending(path), ("",))
    need(f"writing {_ending(path)}", extra, *modules)


def _ending(path: Path) -> str:
    name = path.name.lower()
    return next((ending for ending in _ENDINGS if name.endswith(ending)), "")


def _hdf5_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return a weight file for a model with one layer, which Keras 2.15 and 3 both load."""
    import h5py

    named = names_of_count(len(weights))
    assert named is not None
    kind, snake = named[0], _KERAS_NAMES[named[0].name]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["memattn_config"] = json.dumps(config)
        file.create_group("vars")
        layer = file.create_group(f"layers/{snake}")
        layer.create_group("vars").attrs["name"] = snake
        if kind is MEMORY:
            layer["vars/0"] = weights["memory"]
        for group, name in _KERAS_DENSES.items():
            if f"{group}.kernel" in weights:
                _write_variables(layer.create_group(name), "dense", weights, group)
        for prefix, name in _KERAS_ATTENTIONS[kind.name].items():
            attention = layer.create_group(name)
            attention.create_group("vars").attrs["name"] = "multi_head_attention"
            for role in PROJECTIONS:
                projection = attention.create_group(f"{role}_dense")
                attention[f"_{role}_dense"] = projection  # a second name, for Keras 2.15
                said = "attention_output" if role == "output" else role
                _write_variables(projection, said, weights, f"{prefix}{role}")
    return buffer.getvalue()


def _onnx_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    return (onnx_bytes if "memory" in weights else pair_onnx_bytes)(weights, config)


def _write_variables(part: Any, name: str, weights: Mapping[str, Array], group: str) -> None:
    """Write the kernel and the bias, if any, of a sublayer that Keras calls `name`."""
    variables = part.create_group("vars")
    variables.attrs["name"] = name
    for index, weight in enumerate(("kernel", "bias")):
        if f"{group}.{weight}" in weights:
            variables[str(index)] = weights[f"{group}.{weight}"]


_WRITERS: dict[str, Callable[[Mapping[str, Array], Mapping[str, Any]], bytes]] = {
    ".weights.h5": _hdf5_bytes,
    ".npz": npz_bytes,
    ".pt": torch_file_bytes,
    ".pth": torch_file_bytes,
    ".onnx": _onnx_bytes,
}
_ENDINGS = (".safetensors", *_WRITERS)
_NEEDED = {".weights.h5": ("convert", "h5py"), ".onnx": ("onnx", "onnx")}  # extra, module
