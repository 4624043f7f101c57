"""Writes fuzz/corpus/TARGET for the Python targets: a few small valid files of each kind.

python fuzz/make_python_corpus.py
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import tempfile
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl

from memattn import MemoryAugmentedAttention, convert
from memattn._memattn import PanelForecaster
from memattn.convert import hdf5_file
from memattn.convert.source import open_source
from memattn.forecast import Forecaster
from memattn.forecast.checkpoint import Checkpoint
from memattn.forecast.forecaster_file import write_forecaster
from memattn.forecast.forecaster_settings import Setting, engine_options

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from python_targets import panel_of_checkpoints  # noqa: E402 - beside this file


def write(target: str, name: str, content: bytes | str) -> None:
    """Write one input."""
    folder = FOLDER / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)


def arrays() -> None:
    """Write NumPy arrays."""
    for name, array in {
        "floats": np.ones((2, 3), np.float32),
        "fortran": np.asfortranarray(np.ones((2, 3))),
        "integers": np.arange(4, dtype=">i8"),
        "text": np.array("config"),
    }.items():
        data = io.BytesIO()
        np.save(data, array)
        write("npy", name, data.getvalue())


def models(folder: Path) -> None:
    """Write layers in the formats of other libraries."""
    layer = MemoryAugmentedAttention(2, 2, 1, seed=1)
    convert.write(layer, folder / "layer.npz")
    write("npz", "layer", (folder / "layer.npz").read_bytes())
    data = io.BytesIO()
    np.savez_compressed(data, *layer.weights.values())
    write("npz", "in_order", data.getvalue())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a", b"stored")
        archive.writestr("b/c", b"deflated" * 20, zipfile.ZIP_DEFLATED)
    write("zip", "two_members", data.getvalue())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"zip64")
    write("zip", "zip64", data.getvalue())
    convert.write(layer, folder / "layer.pt")
    with zipfile.ZipFile(folder / "layer.pt") as archive:
        inside = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        write("pickle", "state_dict", archive.read(inside))
    state = OrderedDict(epoch=3, lr=0.1, names=["a", ("b", None)], done=True, big=2**70)
    write("pickle", "containers", pickle.dumps(state, protocol=2))
    parts = {f"encoder.{name}": weight for name, weight in layer.weights.items()}
    header, at = {}, 0
    for name, weight in parts.items():
        span = [at, at + weight.nbytes]
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": span}
        at += weight.nbytes
    text = json.dumps(header).encode()
    body = b"".join(weight.tobytes() for weight in parts.values())
    write("model_safetensors", "model", struct.pack("<Q", len(text)) + text + body)
    path = folder / "layer.weights.h5"
    convert.write(layer, path)
    with h5py.File(path, "r+") as file:
        file["layers"].create_group("dense/vars").attrs["name"] = "dense"
    with open_source(path) as source:
        answer = hdf5_file._ask_child(source)
    for described in answer["objects"]:
        if described.get("offset") is not None:
            described["offset"] %= 2048
    write("hdf5_listing", "layer", json.dumps(answer))
    refusal = {"place": "a", "found": "a soft link", "expected": "groups"}
    write("hdf5_listing", "refusal", json.dumps(refusal))
    inner = {"class_name": "Custom>MemoryAugmentedAttention", "config": {"name": "memory"}}
    inner["config"] |= {"memory_size": 2, "num_heads": 1, "seed": 1, "dropout": 0.1}
    dense = {"class_name": "Dense", "config": {"name": "dense", "units": 3}}
    model = {"class_name": "Sequential", "config": {"name": "model", "layers": [dense, inner]}}
    write("keras_config", "sequential", json.dumps(model))
    outer = {"class_name": "Functional", "config": {"name": "outer", "layers": [model, inner]}}
    write("keras_config", "nested", json.dumps(outer))


def tables(folder: Path) -> None:
    """Write series as CSV and Parquet."""
    days = pd.date_range("2024-01-01", periods=6)
    table = pd.DataFrame({"unique_id": ["a", "b"] * 3, "ds": days.repeat(1), "y": range(6)})
    write("csv", "long", table.to_csv(index=False))
    write("csv", "wide", "time;a;b\n2024-01-01T00:00Z;1;\n2024-01-01T01:00Z;2.5;NA\n")
    write("csv", "quarters", '"when","x, y"\r\n2013-Q1,1\r\n2013-Q2,"2"\r\n')
    write("csv", "numbers", "a\tb\n1\t2\n3\t4\n5\t-6e3\n")
    write("parquet", "pandas", table.to_parquet(engine="pyarrow", compression=None))
    data = io.BytesIO()
    pl.from_pandas(table).write_parquet(data, compression="zstd")
    write("parquet", "polars", data.getvalue())


def state_parts(path: Path) -> bytes:
    """Return a forecaster's state file in the form that `python_targets.state_file` takes."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    config = header.pop("__metadata__")["config"]
    return b"\0".join([config.encode(), json.dumps(header).encode(), data[8 + length :]])


def states(folder: Path) -> None:
    """Write saved forecasters and a checkpoint, as small as possible."""
    days = pd.date_range("2024-01-01", periods=6, tz="Europe/Berlin")
    table = pd.DataFrame({"unique_id": "a", "ds": days, "y": [1.0, 3, 2, 4, 3, 5]})
    path = folder / "forecaster"
    options = {"steps": 1, "lookback": 2, "season": 1}
    table.to_csv(folder / "table.csv", index=False)
    sources = {
        "pandas": table,
        "polars": pl.from_pandas(table.assign(ds=table["ds"].dt.tz_localize(None))),
        "csv": folder / "table.csv",
    }
    for name, source in sources.items():
        forecaster = Forecaster(1, **options, intervals=name == "csv").fit(source)
        fitted = forecaster._state("save")
        # Without the layers that read the past, whose weights would take half a megabyte.
        settings = {**fitted.settings, "layers": Setting(0, "")}
        engine = PanelForecaster(**engine_options(settings))
        smaller = replace(fitted, engine=engine, settings=settings)
        write_forecaster(path, smaller, forecaster)
        write("forecaster", name, state_parts(path))
    panel, settings = panel_of_checkpoints(), Forecaster(1, **options).fit(table).settings
    settings = {**settings, "horizon": Setting(2, ""), "layers": Setting(0, "")}
    engine = PanelForecaster(**engine_options(settings))
    path = folder / "checkpoint"
    Checkpoint(path, panel, {"horizon": 2}, resume=False)("final", engine, panel, None)
    write("checkpoint", "done", state_parts(path))


def main() -> None:
    """Write all inputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays()
        models(folder)
        tables(folder)
        states(folder)


if __name__ == "__main__":
    main()
