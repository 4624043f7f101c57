"""Golden files that other programs wrote, and builders of files for damage tests."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "keras"
KERAS_FILES = sorted(path.name for path in GOLDEN.iterdir() if not path.stem.endswith("_expected"))


def safetensors_bytes(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Returns a safetensors file of the arrays and metadata."""
    names = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "uint16": "BF16"}
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, array in arrays.items():
        entry = {"dtype": names[array.dtype.name], "shape": array.shape}
        header[name] = {**entry, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    values = b"".join(array.tobytes() for array in arrays.values())
    return struct.pack("<Q", len(text)) + text + values


def zip_bytes(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Returns a zip archive of the members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()
