"""Reads Keras' files: ``.keras``, ``.weights.h5`` and the older ``.h5``, of Keras 2 and Keras 3.

Names and options of layers come from the config of the model. Nothing is ever built from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from memattn.convert.hdf5_file import Hdf5Object, list_hdf5
from memattn.convert.source import (
    MAX_JSON_BYTES,
    Contents,
    SourceFile,
    parse_json,
    source_in_memory,
)
from memattn.convert.weights import KIND_OF
from memattn.convert.zip_archive import Archive

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"
_LEGACY_WEIGHTS = "model_weights"  # the group of weights in a .h5 file of a whole model


def is_keras_archive(archive: Archive) -> bool:
    """Whether ``model.save("NAME.keras")`` wrote an archive, by its members."""
    return _CONFIG in archive.members and "metadata.json" in archive.members


@contextmanager
def read_keras_archive(archive: Archive) -> Iterator[tuple[SourceFile, Contents]]:
    """Yield the part of a ``.keras`` file that holds the weights, and its contents."""
    source = archive.source
    if "model.weights.json" in archive.members:
        expected = "one piece: save it with fewer layers, or without max_shard_size"
        source.fail("", "weights in shards", expected)
    if "model.weights.npz" in archive.members:
        source.fail("", "weights as pickled arrays", "model.weights.h5: save the model as usual")
    config = parse_json(source, _CONFIG, archive.read(_CONFIG, MAX_JSON_BYTES))
    with source_in_memory(source, _WEIGHTS, archive.read(_WEIGHTS)) as weights:
        yield weights, read_keras_weights(weights, config)


def read_keras_weights(source: SourceFile, config: Any = None) -> Contents:
    """Return the weights in an HDF5 file of Keras.

    Parameters
    ----------
    source : SourceFile
        The file.
    config : JSON, optional
        The config of the model, if the file itself does not hold it.
    """
    objects = list_hdf5(source)
    attributes = objects[0].attributes
    # A text that was not UTF-8 in the file is not UTF-8 here either, so that JSON refuses it.
    texts = {name: text.encode("utf-8", "surrogatepass") for name, text in attributes.items()}
    if "model_config" in texts:
        config = parse_json(source, "model_config", texts["model_config"])
    ours = None
    if "memattn_config" in texts:
        ours = parse_json(source, "memattn_config", texts["memattn_config"])
    tensors = [described.tensor for described in objects if described.tensor is not None]
    if any(described.path == (_LEGACY_WEIGHTS,) for described in objects):
        # The optimizer's variables lie beside this group, under the names of the weights.
        inside = [tensor for tensor in tensors if tensor.parts[0] == _LEGACY_WEIGHTS]
        tensors = [replace(tensor, parts=tensor.parts[1:]) for tensor in inside]
    return Contents(
        tensors,
        "/",
        names={**_names_in_config(config), **_names_in_file(objects)},
        layer_configs=_layer_configs(config),
        config=ours,
        # Keras 2 and 3 give equal scores to keys that are all masked.
        fully_masked="uniform",
    )


def _names_in_file(objects: list[Hdf5Object]) -> dict[tuple[str, ...], str]:
    """Return layers' names by path, which Keras 3 stores beside the variables."""
    return {
        described.path[:-1]: described.attributes["name"]
        for described in objects
        if described.path[-1:] == ("vars",) and "name" in described.attributes
    }


def _names_in_config(config: Any) -> dict[tuple[str, ...], str]:
    """Return layers' names by path, from the config.

    Groups of layers in a file are named after the layers' classes and numbered in order.
    """
    names: dict[tuple[str, ...], str] = {}
    pending: list[tuple[tuple[str, ...], Any]] = [((), config)]
    while pending:
        path, model = pending.pop()
        used: dict[str, int] = {}
        for layer in _items(_get(_get(model, "config"), "layers")):
            class_name, name = _get(layer, "class_name"), _get(_get(layer, "config"), "name")
            if not isinstance(class_name, str):
                continue
            snake = _snake_case(class_name.rpartition(">")[2])
            count = used[snake] = used.get(snake, -1) + 1
            here = (*path, "layers", f"{snake}_{count}" if count else snake)
            if isinstance(name, str):
                names[here] = name
            pending.append((here, layer))
    return names


def _layer_configs(config: Any) -> dict[str, Mapping[str, Any]]:
    """Return the config of each layer in a model's config, by name, without names used twice."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    pending = [config]
    while pending:
        here = pending.pop()
        pending += _items(here)
        if not isinstance(here, dict):
            continue
        pending += here.values()
        class_name, inner = _get(here, "class_name"), _get(here, "config")
        name = _get(inner, "name")
        if isinstance(class_name, str) and isinstance(name, str):
            class_name = class_name.rpartition(">")[2]
            known = inner if class_name in KIND_OF else {}
            found.setdefault(name, []).append({"class_name": class_name, "config": known})
    return {name: configs[0] for name, configs in found.items() if len(configs) == 1}


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _snake_case(name: str) -> str:
    """Return a class name in snake case, such as ``"memory_augmented_attention"``."""
    words = re.sub(r"(?<=.)([A-Z][a-z]+)", r"_\1", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
