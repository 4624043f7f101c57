"""Reads and writes PyTorch's files of tensors, ``.pt`` and ``.pth``, without PyTorch.

``torch.save`` writes a zip archive of a pickle and raw storages. `pickled` reads the pickle without
running it. Writing a pickle of a few tensors takes a dozen instructions.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.pickled import (
    MAX_PICKLE_BYTES,
    PickleError,
    StoredTensor,
    Table,
    read_pickle,
)
from memattn.convert.source import (
    FLOAT_SIZES,
    MAX_TENSORS,
    ByteOrder,
    Contents,
    Tensor,
    decode,
    parse_json,
)
from memattn.convert.zip_archive import Archive

_STORAGES = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
}
_MAX_DEPTH = 32
_CONFIG = "memattn_config"  # an entry of the root module in the metadata of state_dict()
_ALIGNMENT = 64  # bytes, of each storage in the file, so that it can be mapped
_ROOT = "archive"


def is_torch_file(archive: Archive) -> bool:
    """Whether ``torch.save`` wrote an archive, by its members."""
    return any(name.endswith("/data.pkl") for name in archive.members)


def read_torch_file(archive: Archive) -> Contents:
    """Return all tensors of a file of ``torch.save``, including those in nested containers."""
    source = archive.source
    roots = [name[: -len("data.pkl")] for name in archive.members if name.endswith("/data.pkl")]
    if len(roots) != 1:
        source.fail("", f"{len(roots)} pickles", "one")
    root = roots[0]
    if f"{root}constants.pkl" in archive.members:
        expected = "a state_dict: torch.save(torch.jit.load(FILE).state_dict(), OTHER)"
        source.fail("", "a TorchScript program", expected)
    try:
        value = read_pickle(archive.read(f"{root}data.pkl", MAX_PICKLE_BYTES))
    except PickleError as error:
        source.fail(f"{root}data.pkl", error.found, error.expected)
    order: ByteOrder = "<"
    if f"{root}byteorder" in archive.members:
        order = ">" if archive.read(f"{root}byteorder", 16) == b"big" else "<"

    def tensor_of(path: tuple[str, ...], stored: StoredTensor) -> Tensor:
        name = ".".join(path)
        dtype = _STORAGES.get(stored.storage.kind, stored.storage.kind)
        return Tensor(
            name,
            tuple(part for key in path for part in key.replace("/", ".").split(".")),
            stored.shape,
            dtype,
            load=lambda: _load(archive, root, stored, dtype, order),
            key=stored,
        )

    tensors = [tensor_of(path, stored) for path, stored in _walk(archive, value)]
    return Contents(tensors, ".", config=_config_of(archive, value))


def _walk(archive: Archive, value: object) -> Iterator[tuple[tuple[str, ...], StoredTensor]]:
    """Yield every tensor with its path of keys; containers are visited once, so cycles end."""
    seen: set[int] = set()
    count = 0
    pending: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while pending:
        path, here = pending.pop()
        if isinstance(here, StoredTensor):
            yield path, here
        elif isinstance(here, Table | list | tuple) and id(here) not in seen:
            if len(path) > _MAX_DEPTH:
                archive.source.fail("", "containers nested too deep", f"at most {_MAX_DEPTH}")
            seen.add(id(here))
            count += len(here)
            if count > MAX_TENSORS:
                archive.source.fail("", f"more than {MAX_TENSORS} values", "fewer")
            items = here.items() if isinstance(here, Table) else enumerate(here)
            pending += reversed([((*path, str(key)), item) for key, item in items])


def _load(archive: Archive, root: str, tensor: StoredTensor, dtype: str, order: ByteOrder) -> Array:
    name = f"{root}data/{tensor.storage.key}"
    size = tensor.storage.count * FLOAT_SIZES[dtype]
    data = archive.read(name)
    if len(data) != size:
        archive.source.fail(name, f"{len(data)} bytes", f"{size}, as the pickle says")
    flat = decode(data, dtype, (tensor.storage.count,), order)
    strides = tuple(step * flat.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view).reshape(tensor.shape)


def _config_of(archive: Archive, value: object) -> Any:
    """Return the config that `torch_file_bytes` wrote, or None."""
    metadata = value.attributes.get("_metadata") if isinstance(value, Table) else None
    entry = metadata.get("") if isinstance(metadata, Table) else None
    text = entry.get(_CONFIG) if isinstance(entry, Table) else None
    if not isinstance(text, str):
        return None
    return parse_json(archive.source, _CONFIG, text.encode("utf-8", "surrogatepass"))


def torch_file_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return a ``state_dict`` in the format of ``torch.save``, which loads with `weights_only`."""
    members = {"data.pkl": _pickle(weights, config), "byteorder": b"little", "version": b"3\n"}
    members |= {
        f"data/{index}": weight.astype(weight.dtype.newbyteorder("<")).tobytes()
        for index, weight in enumerate(weights.values())
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            member = zipfile.ZipInfo(f"{_ROOT}/{name}")
            before = buffer.tell() + 30 + len(member.filename) + 4  # header, name, id and length
            padding = -before % _ALIGNMENT
            member.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(member, data)
    return buffer.getvalue()


def _pickle(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return a pickle, in protocol 2, of an OrderedDict of tensors with metadata."""
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    parts = [b"\x80\x02", ordered_dict, b"("]
    for index, (name, weight) in enumerate(weights.items()):
        storage = {"float32": "FloatStorage", "float64": "DoubleStorage"}[weight.dtype.name]
        strides = [step // weight.itemsize for step in weight.strides]
        parts += [
            _text(name),
            b"ctorch._utils\n_rebuild_tensor_v2\n(",
            b"(" + _text("storage") + b"ctorch\n" + storage.encode() + b"\n",
            _text(str(index)) + _text("cpu") + _integer(weight.size) + b"tQ",
            b"K\x00(" + b"".join(map(_integer, weight.shape)) + b"t",
            b"(" + b"".join(map(_integer, strides)) + b"t",
            b"\x89" + ordered_dict + b"tR",
        ]
    metadata = _text("version") + b"K\x01" + _text(_CONFIG) + _text(json.dumps(config))
    parts += [b"u}", _text("_metadata"), ordered_dict, _text(""), b"}(" + metadata + b"u"]
    return b"".join([*parts, b"ssb."])


def _text(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<cI", b"X", len(data)) + data


def _integer(value: int) -> bytes:
    """Return the instruction LONG1: a length and that many bytes, in two's complement."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return struct.pack("<cB", b"\x8a", len(data)) + data
