"""The child process in which libhdf5 reads the structure of an untrusted file.

libhdf5 is a large parser in C. Version 1.12, which comes with h5py 3.8, crashes on some files that
differ from a valid one in a few bits, and takes a gigabyte for others (docs/decisions.md). So it
runs here, under limits of memory and time. The only output is a list of datasets as JSON. The
parent reads the values itself, from the listed offsets, after checking each against the file.

The descriptor of the open file is the second argument; `hdf5_file` has the whole command.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import h5py

MAX_MEMORY = 512 << 20  # bytes beyond those that the interpreter and h5py take
MAX_SECONDS = 30  # of processor time
MAX_OBJECTS = 50_000
MAX_DEPTH = 32
MAX_TEXT = 4 << 20  # bytes in an attribute


class RefusalError(Exception):
    """A refused file: the place in it, what was found there and what was expected."""


def main() -> None:
    """Print the file's objects, or why the file is refused; the parent handles a crash."""
    descriptor = int(sys.argv[2])
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        memory = int(file.read().split()[0]) * resource.getpagesize() + MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        with os.fdopen(descriptor, "rb") as raw, h5py.File(raw, "r") as file:
            answer = {"objects": _list(file)}
    except RefusalError as refusal:
        place, found, expected = refusal.args
        answer = {"place": place, "found": found, "expected": expected}
    except Exception as error:
        # h5py raises many types of errors for a damaged file.
        answer = {"place": "", "found": f"damaged HDF5 ({error})", "expected": "an intact file"}
    sys.stdout.write(json.dumps(answer))


def _list(file: h5py.File) -> list[dict[str, Any]]:
    """Return the root, then all objects below it, each under the first of its names."""
    if file.userblock_size != 0:
        raise RefusalError("", "a user block before the HDF5 data", "none")
    root = file["/"]
    objects = [{"path": [], "attributes": _texts(root, "model_config", "memattn_config")}]
    pending: list[tuple[tuple[str, ...], h5py.Group]] = [((), root)]
    seen = {_address(root)}
    while pending:
        path, group = pending.pop()
        if len(path) >= MAX_DEPTH:
            raise RefusalError(
                "/".join(path)[:200], "groups nested too deep", f"at most {MAX_DEPTH}"
            )
        inside: list[tuple[tuple[str, ...], h5py.Group]] = []
        for name in group:
            here = (*path, name)
            found = _get(group, here)
            if isinstance(found, h5py.Dataset):
                objects.append(_dataset(here, found))
            elif isinstance(found, h5py.Group) and _address(found) not in seen:
                seen.add(_address(found))
                texts = _texts(found, "name") if name == "vars" else {}
                objects.append({"path": here, "attributes": texts})
                inside.append((here, found))
            if len(objects) > MAX_OBJECTS:
                raise RefusalError("", f"more than {MAX_OBJECTS} objects", "fewer")
        pending += reversed(inside)
    return objects


def _address(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def _get(group: h5py.Group, path: tuple[str, ...]) -> Any:
    """Return the object at a path; soft and external links are refused."""
    link = type(group.get(path[-1], getlink=True))
    if link is not h5py.HardLink:
        kind = "an external link" if link is h5py.ExternalLink else "a soft link"
        found = f"{kind}, which is never followed"
        raise RefusalError("/".join(path), found, "groups and datasets only")
    return group[path[-1]]


def _dataset(path: tuple[str, ...], dataset: h5py.Dataset) -> dict[str, Any]:
    place = "/".join(path)
    expected = "contiguous values inside the file, as Keras writes them"
    properties = dataset.id.get_create_plist()
    if properties.get_external_count() > 0:
        raise RefusalError(place, "values in another file", expected)
    if dataset.is_virtual:
        raise RefusalError(place, "a virtual dataset", expected)
    if dataset.dtype.kind == "O" or dataset.dtype.hasobject:
        raise RefusalError(place, "values of varying length or references", "numbers")
    contiguous = properties.get_layout() == h5py.h5d.CONTIGUOUS and properties.get_nfilters() == 0
    # A dataset that is not contiguous is not refused here, since it may not be a weight.
    whole = dataset.shape is not None and contiguous
    return {
        "path": path,
        "attributes": _texts(dataset, "dtype"),
        "shape": dataset.shape if whole else None,
        "dtype": dataset.dtype.str if whole else "chunked or compressed values",
        "offset": dataset.id.get_offset() if whole else None,
        "stored": dataset.id.get_storage_size() if whole else 0,
    }


def _texts(here: Any, *names: str) -> dict[str, str]:
    """Return the named attributes that exist; each must be a short text."""
    found = {}
    for name in names:
        if name not in here.attrs:
            continue
        attribute = here.attrs.get_id(name)
        if attribute.shape != () or attribute.get_storage_size() > MAX_TEXT:
            raise RefusalError(f"{here.name}@{name}"[:200], "an attribute that is not text", "text")
        value = here.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            found[name] = value
    return found


if __name__ == "__main__":
    main()
