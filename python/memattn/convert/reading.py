"""`find` and `read`: the layers in a file of any format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

from memattn.arrays import Array
from memattn.convert.hdf5_file import SIGNATURE
from memattn.convert.keras_file import is_keras_archive, read_keras_archive, read_keras_weights
from memattn.convert.npz_file import is_npz, read_npz
from memattn.convert.recognise import Candidate, FoundLayer, options_of_ours, recognise
from memattn.convert.safetensors_file import is_safetensors, read_safetensors
from memattn.convert.source import Contents, SourceFile, Tensor, open_source
from memattn.convert.torch_file import is_torch_file, read_torch_file
from memattn.convert.weights import make_layer
from memattn.convert.zip_archive import open_archive
from memattn.errors import DataError, quoted
from memattn.layer_file import Layer, load

_KINDS = (
    ".keras, .weights.h5 or .h5 of Keras, .npz of NumPy, .pt or .pth of PyTorch, or safetensors"
)


def find(path: str | os.PathLike[str]) -> list[FoundLayer]:
    """List the layers in a file.

    Parameters
    ----------
    path : str or path
        ``.keras``, ``.weights.h5`` or ``.h5`` of Keras 2 and 3, ``.npz``, a ``state_dict`` of
        PyTorch or safetensors. The content decides, not the name.

    Returns
    -------
    list of FoundLayer
        The layers in the order of the file, at least one.

    Raises
    ------
    memattn.FormatError
        If the file is damaged or unsafe, or holds no layer that can be read.
    OSError
        If the file cannot be read.
    ModuleNotFoundError
        If the file is in HDF5 and h5py is not installed.
    """
    with _candidates(path) as (_, candidates):
        return [candidate.layer for candidate in candidates]


def read(path: str | os.PathLike[str], layer: str | None = None) -> Layer:
    """Read one layer.

    Parameters
    ----------
    path : str or path
        As for `find`.
    layer : str, optional
        The name of the layer as `find` returns it, the last part of that name, or its class if only
        one layer has it. Not needed for a file with one layer.

    Returns
    -------
    MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        The layer, in float64 if the file is, else in float32, which represents float16 and bfloat16
        exactly. A Keras layer has ``fully_masked="uniform"``, as in Keras, unless its config says
        otherwise.

    Raises
    ------
    memattn.errors.DataError
        If there are several layers and `layer` is not given, or none has that name; a subclass of
        ValueError.
    memattn.FormatError, OSError, ModuleNotFoundError
        As for `find`.
    """
    return find_and_read(path, layer)[1]


def find_and_read(path: str | os.PathLike[str], layer: str | None) -> tuple[FoundLayer, Layer]:
    """Return the layer that `read` returns, with its description from `find`."""
    with _candidates(path) as (source, candidates):
        chosen = _choose(source, candidates, layer)
        return chosen.layer, _layer_of(source, chosen)


def find_and_read_all(path: str | os.PathLike[str]) -> Iterator[tuple[FoundLayer, Layer]]:
    """Yield the same for every layer of a file."""
    with _candidates(path) as (source, candidates):
        for one in candidates:
            yield one.layer, _layer_of(source, one)


def _layer_of(source: SourceFile, candidate: Candidate) -> Layer:
    weights = {name: tensor.load() for name, tensor in candidate.tensors.items()}
    try:
        return make_layer(candidate.kind, weights, candidate.options)
    except ValueError as error:
        place = f"layer {quoted(candidate.layer.name)}"
        source.fail(place, f"invalid weights or options ({error})", "those of a layer")


@contextmanager
def _candidates(path: str | os.PathLike[str]) -> Iterator[tuple[SourceFile, list[Candidate]]]:
    """Yield the layers of a file, which stays open so that their weights can be read."""
    with open_source(path) as outer, _contents(outer) as (source, contents):
        found = recognise(source, contents)
        if not found:
            _fail_without_layer(source, contents)
        if contents.config is not None and len(found) == 1:
            options = options_of_ours(source, found[0].layer, contents.config)
            found = [replace(found[0], options=options)]
        yield source, found


@contextmanager
def _contents(source: SourceFile) -> Iterator[tuple[SourceFile, Contents]]:
    start = source.read_at(0, min(8, source.size), "")
    if start == SIGNATURE:
        yield source, read_keras_weights(source)
    elif start[:4] == b"PK\x03\x04":
        with open_archive(source) as archive:
            if is_keras_archive(archive):
                with read_keras_archive(archive) as inner:
                    yield inner
            elif is_torch_file(archive):
                yield source, read_torch_file(archive)
            elif is_npz(archive):
                yield source, read_npz(archive)
            else:
                source.fail("", "a zip archive of another kind", _KINDS)
    elif is_safetensors(source):
        contents, is_ours = read_safetensors(source)
        yield source, _ours(source) if is_ours else contents
    else:
        _fail_for_other_kinds(source, start)


def _ours(source: SourceFile) -> Contents:
    """Return the contents of a file that a layer's `save` wrote, read by `memattn.load`."""
    layer = load(source.path)

    def tensor_of(name: str, weight: Array) -> Tensor:
        return Tensor(name, tuple(name.split(".")), weight.shape, layer.dtype, lambda: weight)

    tensors = [tensor_of(name, weight) for name, weight in layer.weights.items()]
    return Contents(tensors, ".", config=layer.get_config())


def _fail_for_other_kinds(source: SourceFile, start: bytes) -> NoReturn:
    if start[:1] == b"{":
        expected = "the weights: convert the shard that holds the layer, or save without shards"
        source.fail("", "JSON, perhaps the index of weights in shards", expected)
    if start[:1] == b"\x80":
        expected = "a file that torch.save wrote since PyTorch 1.6: load it there and save it again"
        source.fail("", "a pickle, which is never run", expected)
    if start[:4] == b"\x93NUM":
        source.fail("", "one array", "all weights of a layer: numpy.savez(FILE, **weights)")
    source.fail("", "an unknown kind of file", _KINDS)


def _fail_without_layer(source: SourceFile, contents: Contents) -> NoReturn:
    expected = (
        "query, key, value and output kernels: beside a memory (S, U), beside kernels of source1 "
        "and source2, or twice, short and long"
    )
    names = [tensor.name.lower() for tensor in contents.tensors]
    if any("lora" in name for name in names):
        expected += "; LoRA factors have to be merged first"
    elif any(tensor.dtype.startswith(("int8", "uint8")) for tensor in contents.tensors):
        expected += ", not quantised"
    source.fail("", f"no layer of memattn among {len(names)} arrays", expected)


def _choose(source: SourceFile, candidates: list[Candidate], name: str | None) -> Candidate:
    if name is None:
        chosen = candidates
        found = f"{len(candidates)} layers"
    else:
        chosen = [c for c in candidates if c.layer.name == name] or [
            c for c in candidates if c.layer.name.replace(".", "/").rpartition("/")[2] == name
        ]
        chosen = chosen or [c for c in candidates if c.layer.layer == name]
        found = f"{len(chosen) or 'no'} layers named {quoted(name)}"
    if len(chosen) == 1:
        return chosen[0]
    shown = [f"{quoted(c.layer.name, 200)} ({c.layer.description})" for c in candidates[:20]]
    more = f" and {len(candidates) - 20} more" if len(candidates) > 20 else ""
    advice = f"pass {{layer}} with one of {', '.join(shown)}{more}"
    if len(candidates) == 1 and not candidates[0].layer.name:
        advice = "the only layer of the file has no name; leave out {layer}"
    problem = f"found {found}; {advice}"
    raise DataError("layer", problem, file=source.path, argument="layer")
