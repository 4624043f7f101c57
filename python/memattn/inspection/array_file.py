"""Arrays from NumPy's files, read with suspicion: sizes are checked before memory is taken."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from memattn.arrays import Array
from memattn.errors import DataError, printable, quoted

MAX_COMPRESSED_BYTES = 2**31  # unpacked; a .npy file is mapped, not read, and may be of any size


def read_array(path: Path) -> Array:
    """The array of a ``.npy`` file, mapped into memory, or the only one of a ``.npz`` file.

    Nothing is unpickled.

    Raises
    ------
    DataError
        The file cannot be read or is not of its kind.
    """
    try:
        if path.is_dir():
            raise DataError("not-a-file", "found a folder, expected an array file", file=path)
        if path.suffix.lower() == ".npz":
            return _read_npz(path)
        with path.open("rb") as file:
            _shape_and_dtype(file)
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        problem = "found no such file, expected an array file"
        raise DataError("not-found", problem, file=path) from None
    except OSError as error:
        problem = f"found a file that cannot be read ({error.strerror or error})"
        raise DataError("unreadable", f"{problem}, expected an array file", file=path) from None
    except Exception as error:
        # NumPy parses a header with Python's own parser, and a broken one raises what that raises.
        said = printable(str(error))[:200]
        problem = f"found a file that is no {path.suffix.lower()} file ({said}), expected one"
        raise DataError("malformed-array", problem, file=path) from None


def _read_npz(path: Path) -> Array:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(quoted(one.filename) for one in members[:8])
            found = f"{len(members)} arrays" + (f" ({names})" if members else "")
            raise DataError("shape", f"found {found}, expected one", file=path)
        if members[0].file_size > MAX_COMPRESSED_BYTES:
            found = f"an array of {members[0].file_size:,} bytes"
            expected = f"at most {MAX_COMPRESSED_BYTES:,} in a .npz file; save it as .npy"
            raise DataError("too-large", f"found {found}, expected {expected}", file=path)
        with archive.open(members[0]) as file:
            shape, dtype, fortran = _shape_and_dtype(file)
            count = math.prod(shape)
            data = file.read(count * dtype.itemsize + 1)
    if len(data) != count * dtype.itemsize:
        raise ValueError("its size is not what its header says")
    array: Array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array


def _shape_and_dtype(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """The header of a .npy file, which is read to its end."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if any(size < 0 for size in shape):
        raise ValueError(f"the shape {shape}")
    return shape, dtype, fortran
