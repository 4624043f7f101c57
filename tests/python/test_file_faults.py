"""Failing calls, killed processes and the order of calls, for every writer of the package."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memattn import MemoryAugmentedAttention
from memattn.forecast import Forecaster

from .sampling import LONG

SOURCE = Path(__file__).parents[1] / "cpp" / "testing" / "file_faults.cc"


def test_every_writer_survives_every_failing_call(tmp_path: Path) -> None:
    shim, folder = tmp_path / "file_faults.so", tmp_path / "written"
    folder.mkdir()
    compiler = [os.environ.get("CXX", "c++"), "-std=c++20", "-shared", "-fPIC"]
    includes = f"-I{SOURCE.parents[1]}"
    subprocess.run([*compiler, includes, "-o", str(shim), str(SOURCE)], check=True)
    program = [sys.executable, str(Path(__file__).with_name("faulty_writers.py"))]
    done = subprocess.run(
        [*program, str(folder), "1" if LONG else "40"],
        env=os.environ | {"LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == [], done.stdout
    assert int(done.stdout.splitlines()[-1]) > 100


SAVING_FORECASTERS = """
import sys
from pathlib import Path
import numpy as np, pandas as pd
from memattn.forecast import Forecaster
from memattn.forecast.data.panel import panel_from_frame
folder, path = Path(sys.argv[1]), Path(sys.argv[2])
table = pd.DataFrame({"unique_id": "a", "ds": np.arange(40), "y": np.arange(40.0) % 4 + 1})
panel = panel_from_frame(table, freq=1)
fitted = [Forecaster(3, members=1, steps=2, seed=seed).fit(panel) for seed in range(2)]
for seed, forecaster in enumerate(fitted):
    forecaster.save(folder / str(seed))
print("ready", flush=True)
while True:
    for forecaster in fitted:
        forecaster.save(path)
"""


def test_a_killed_process_leaves_a_complete_forecaster(tmp_path: Path) -> None:
    written, path = tmp_path / "written", tmp_path / "written" / "forecaster"
    written.mkdir()
    seen = set()
    for turn in range(60 if LONG else 3):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVING_FORECASTERS, str(tmp_path), str(path)],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        while turn == 0 and not path.exists():
            time.sleep(0.001)
        time.sleep(random.Random(turn).uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        contents = [(tmp_path / str(seed)).read_bytes() for seed in range(2)]
        seen.add(contents.index(path.read_bytes()))  # equal seeds give equal bytes each time
        assert len(list(written.iterdir())) <= 2
    assert seen
    Forecaster.load(path).save(path)
    assert path.read_bytes() in contents
    assert list(written.iterdir()) == [path]


SAVING = """
import sys
from pathlib import Path
from memattn import MemoryAugmentedAttention, convert
path = Path(sys.argv[1])
layers = [MemoryAugmentedAttention(64, 512, 2, seed=seed) for seed in range(2)]
print("ready", flush=True)
while True:
    for layer in layers:
        convert.write(layer, path)
"""


@pytest.mark.parametrize("name", ["layer.safetensors", "layer.npz"])
def test_a_killed_process_leaves_a_complete_layer(tmp_path: Path, name: str) -> None:
    from memattn import convert

    path = tmp_path / name
    contents = []
    for seed in range(2):
        convert.write(MemoryAugmentedAttention(64, 512, 2, seed=seed), path)
        contents.append(path.read_bytes())
    for turn in range(100 if LONG else 4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.Random(turn).uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert path.read_bytes() in contents
        # The next process's first write removes the file that this one left.
        assert len(list(tmp_path.iterdir())) <= 2
    convert.write(MemoryAugmentedAttention(64, 512, 2, seed=0), path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["layer.safetensors", "layer.npz"])
def test_files_are_synced_closed_and_renamed_in_order(tmp_path: Path, name: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    path, trace = tmp_path / name, tmp_path / "trace"
    code = "import sys; from memattn import MemoryAugmentedAttention as M, convert\n"
    code += "convert.write(M(4, 3, 2), sys.argv[1])"
    calls = "trace=fsync,close,renameat,renameat2,rename"
    strace = ["strace", "-f", "-y", "-e", calls, "-o", str(trace)]
    done = subprocess.run(
        [*strace, sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    if done.returncode != 0 and "ptrace" in done.stderr:
        pytest.skip("this machine does not let strace trace")
    assert done.returncode == 0, done.stderr
    order = []
    for line in trace.read_text().splitlines():
        call = line.split(None, 1)[1]
        if ".memattn-" in call:
            order.append(call.split("(")[0] + " file")
        elif call.startswith("fsync") and f"<{tmp_path}>" in call:
            order.append("fsync folder")
    order = [one.replace("renameat2", "renameat") for one in order]
    assert order[:4] == ["fsync file", "close file", "renameat file", "fsync folder"]
