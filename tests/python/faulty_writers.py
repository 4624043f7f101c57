"""Runs every writer of the package while file operations fail, for test_file_faults: FOLDER STRIDE.

Runs under LD_PRELOAD of tests/cpp/testing/file_faults.cc. Prints every problem, and at the end the
number of faults.
"""

import contextlib
import ctypes
import errno
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from memattn import CrossAttention, MemoryAugmentedAttention, convert, files
from memattn.cli import app, output
from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.frames import forecast_frame
from memattn.forecast.data.panel import panel_from_frame
from memattn.forecast.data.table_files import kind_of_file, table_bytes
from memattn.forecast.report import page

CALLS = ["open", "write", "fsync", "close", "rename", "fchmod", "fstat", "flock", "unlink"]
ERRORS = [
    errno.ENOSPC,
    errno.EIO,
    errno.EDQUOT,
    errno.EACCES,
    errno.EINTR,
    0,
]  # 0: a write of one byte


def repairs(folder: Path) -> Callable[[Path], object]:
    """Return a function that writes the repair of `memattn doctor` for a layer with equal slots."""
    ill = folder.with_name("ill.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning that zeros cannot learn
        MemoryAugmentedAttention(4, 3, 2, memory_initializer="zeros").save(ill)

    def repair(path: Path) -> None:
        said = io.TextIOWrapper(io.BytesIO())
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = app.run(["doctor", str(ill), "--repair", str(path)])
        if code != 0:
            said.seek(0)
            raise OSError(said.read())

    return repair


def report_and_figure(fitted: Forecaster) -> dict[str, Callable[[Path], object]]:
    """Return writers of a report and a figure, each drawn only once."""
    state = fitted._state("test")
    html, svg = page.render_report(state, [80]), page.series_picture(state, ".svg", None, [80])
    page.render_report = lambda *_, **__: html
    page.series_picture = lambda *_: svg
    return {"report.html": fitted.write_report, "figure.svg": fitted.write_figure}


def writers(folder: Path, long: bool) -> dict[str, Callable[[Path], object]]:
    """Return the writer of each file name; with `long`, also of the report and its figure."""
    layer = MemoryAugmentedAttention(4, 3, 2, seed=1)
    table = pd.DataFrame(
        {
            "unique_id": np.repeat(["a", "b"], 30),
            "ds": np.tile(np.arange(30), 2),
            "y": np.exp(np.random.default_rng(0).normal(size=60)),
        }
    )
    panel = panel_from_frame(table, freq=1)
    fitted = Forecaster(3, members=1, steps=2).fit(panel)

    def parquet(path: Path) -> None:
        found = fitted.forecasts()
        frame = forecast_frame(found.panel, found.values, kind=kind_of_file(path))
        output.write_file(path, table_bytes(frame, path))

    def keep(path: Path) -> None:
        path.unlink(missing_ok=True)
        Forecaster(3, members=1, steps=2).fit(panel, checkpoint=path)

    few: dict[str, Callable[[Path], object]] = {
        "repaired.safetensors": repairs(folder),
        "layer.safetensors": layer.save,
        "cross.safetensors": CrossAttention(4, 2, source1_units=3, seed=1).save,
        "layer.npz": lambda path: convert.write(layer, path),
        "layer.pt": lambda path: convert.write(layer, path),
        "layer.weights.h5": lambda path: convert.write(layer, path),
        "forecaster": fitted.save,
        "table.csv": lambda path: files.write_atomically(path, b"a,b\n1,2\n"),
        "table.parquet": parquet,
        "layer.onnx": lambda path: convert.write(layer, path),
        "checkpoint": keep,
    }
    return few | report_and_figure(fitted) if long else few


def main(folder: Path, stride: int) -> None:
    faults = ctypes.CDLL(None)
    total = turn = 0
    for name, write in writers(folder, stride == 1).items():
        path = folder / name
        write(path)
        new = path.read_bytes()
        old = b"" if name == "checkpoint" else b"old"
        for call in CALLS:
            for error in ERRORS:
                for nth in range(1, 1000):
                    turn += 1
                    if turn % stride and nth > 1:
                        break
                    if old:
                        path.write_bytes(old)
                    faults.file_faults_arm(str(folder).encode(), call.encode(), nth, error, 0)
                    said = ""
                    try:
                        write(path)
                    except (OSError, DataError) as problem:
                        said = str(problem)
                    calls = faults.file_faults_disarm()
                    found = path.read_bytes() if path.exists() else b""
                    expected = [new] if not said or "replaced" in said else [old]
                    place = f"{name}: {call} {nth}, error {error}: {said or 'nothing said'}"
                    if found not in expected and not (name == "checkpoint" and found):
                        print(f"{place}: {found[:20]!r}")
                    if [one.name for one in folder.iterdir()] not in ([name], []):
                        print(f"{place}: left {[one.name for one in folder.iterdir()]}")
                    if calls < nth:
                        break
                    total += 1
        path.unlink(missing_ok=True)
    print(total)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
