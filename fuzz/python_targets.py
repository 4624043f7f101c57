"""The Python fuzz targets, which pass bytes to readers; `fuzz_python.py` is the program.

A target returns, or raises one of `REFUSALS`. Any other exception is a finding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from memattn import FormatError, convert
from memattn.convert import hdf5_file, keras_file, pickled, zip_archive
from memattn.convert.source import open_source, parse_json
from memattn.csv_reader import read_csv
from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.checkpoint import FORMAT as CHECKPOINT_FORMAT
from memattn.forecast.checkpoint import Checkpoint
from memattn.forecast.data import arrow_columns, parquet_reader
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.panel import Form, Panel, panel_from_file
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.forecaster_file import FORMAT as FORECASTER_FORMAT
from memattn.inspection.array_file import read_array
from memattn.npy_header import NpyHeaderError, parse_npy_header

REFUSALS = (FormatError, DataError, NpyHeaderError, pickled.PickleError)

_FOLDER = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def _file(data: bytes, name: str = "input") -> Path:
    path = Path(_FOLDER.name) / name
    path.write_bytes(data)
    return path


def _npy(data: bytes) -> None:
    path = _file(data, "input.npy")
    with contextlib.suppress(NpyHeaderError):
        parse_npy_header(data)
    read_array(path)


def _model(data: bytes) -> None:
    """Read a file of any format of memattn convert; its first bytes determine the format."""
    path = _file(data)
    convert.find(path)
    convert.read(path)


def _zip(data: bytes) -> None:
    with open_source(_file(data)) as source, zip_archive.open_archive(source) as archive:
        for name in archive.members:
            archive.read_start(name, 100)
            archive.read(name)


def _pickle(data: bytes) -> None:
    pickled.read_pickle(data)


def _hdf5_listing(data: bytes) -> None:
    """Read possible answers of a compromised process that lists an HDF5 file."""
    with open_source(_file(bytes(4096))) as source:
        answer = parse_json(source, "answer", data)
        if not isinstance(answer, dict):
            return
        before = hdf5_file._ask_child
        hdf5_file._ask_child = lambda source: answer
        try:
            contents = keras_file.read_keras_weights(source)
        finally:
            hdf5_file._ask_child = before
        for tensor in contents.tensors:
            if tensor.dtype in hdf5_file.FLOAT_SIZES:
                tensor.load()


def _keras_config(data: bytes) -> None:
    """Read the config of a model, together with the weights of a model."""
    listing = json.dumps({"objects": [{"path": [], "attributes": {}}]}).encode()
    with open_source(_file(bytes(4096))) as source:
        config = parse_json(source, "config.json", data)
        before = hdf5_file._ask_child
        hdf5_file._ask_child = lambda source: json.loads(listing)
        try:
            keras_file.read_keras_weights(source, config)
        finally:
            hdf5_file._ask_child = before


def _csv(data: bytes) -> None:
    path = _file(data, "input.csv")
    arrow_columns.BYTES_A_COLUMN = 0
    arrow_columns.arrow_columns(path, path.read_bytes())
    read_csv(path)
    panel_from_file(path)


def _parquet(data: bytes) -> None:
    path = _file(data, "input.parquet")
    parquet_reader.CELLS_ANYWAY = 1 << 20
    with contextlib.suppress(DataError):
        panel_from_file(path)
    with parquet_reader.parquet_errors(path):
        parquet_reader._by_arrow(path, len(data))


def state_file(kind: str, data: bytes) -> bytes:
    """Return a file of the forecaster's state from its three parts, separated by zero bytes.

    They are the config as JSON, the header as JSON without its metadata, and the tensors. The
    length and the checksum are corrected, since a damaged file would get no further than these
    checks.
    """
    config, header, body = (*data.split(b"\0", 2), b"", b"")[:3]
    try:
        entries: Any = json.loads(header)
    except (ValueError, RecursionError):
        entries = {}
    if not isinstance(entries, dict):
        entries = {}
    metadata = {
        "format": kind,
        "format_version": "1",
        "config": config.decode("utf-8", "replace"),
        "checksum": "0" * 64,
    }
    text = json.dumps({**entries, "__metadata__": metadata}).encode()
    content = struct.pack("<Q", len(text)) + text + body
    entry = re.compile(rb'(?<="checksum": ")0{64}(?="}}?)')
    return entry.sub(hashlib.sha256(content).hexdigest().encode(), content, 1)


def _forecaster(data: bytes) -> None:
    Forecaster.load(_file(state_file(FORECASTER_FORMAT, data))).predict()


def panel_of_checkpoints() -> Panel:
    """Return the series of the corpus's checkpoints."""
    return Panel(
        ids=np.array(["a"], dtype=object),
        values=np.arange(1.0, 9.0),
        offsets=np.array([0, 8]),
        frequency=Frequency(Unit.DAY, 1),
        season=1,
        last=np.zeros(1, np.int64),
        day=np.zeros(1, np.int64),
        zone=None,
        notes=(),
        form=Form("csv"),
    )


def _checkpoint(data: bytes) -> None:
    path = _file(state_file(CHECKPOINT_FORMAT, data))
    Checkpoint(path, panel_of_checkpoints(), {"horizon": 2}, resume=True)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "npy": _npy,
    "npz": _model,
    "zip": _zip,
    "pickle": _pickle,
    "hdf5_listing": _hdf5_listing,
    "keras_config": _keras_config,
    "model_safetensors": _model,
    "csv": _csv,
    "parquet": _parquet,
    "forecaster": _forecaster,
    "checkpoint": _checkpoint,
}


def run(name: str, data: bytes) -> bool:
    """Return whether the target accepts the bytes; raises exceptions that no reader may raise."""
    try:
        TARGETS[name](data)
    except REFUSALS:
        return False
    return True
