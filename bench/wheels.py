"""Compares the speed of two builds of the extension, both on this machine and Python.

    python -m bench.wheels installed WHEEL.whl [--rounds 40]

Each build is a wheel, or `installed` for the memattn that this Python imports. Each has a process
that stays alive. In every round both do the same short piece of work, one after the other, so that
a slow machine slows both. A ratio above 1 means that the second build is slower.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import zipfile
from pathlib import Path

from .client import Worker
from .stats import ratio, spread

# The number of calls of each piece of work that take about two milliseconds.
TASKS = {
    "one token, a Python call": 400,
    "forward, 32 x 10 tokens": 40,
    "backward, 32 x 10 tokens": 12,
    "forward, 64 x 96 tokens": 1,
    "step of Adam": 60,
    "quick forecast": 40,
}

WORKER = """
import json, sys, time
import numpy as np
from memattn import Adam, MemoryAugmentedAttention, _memattn, active_isa
from memattn.forecast import quick

rng = np.random.default_rng(0)
small, large = (MemoryAugmentedAttention(u, s, 4, seed=0) for u, s in ((64, 20), (128, 128)))
token, docs, big = (rng.normal(size=shape).astype(np.float32)
                    for shape in ((1, 1, 64), (32, 10, 64), (64, 96, 128)))
y = small(docs)
gradients = small.backward(docs, y)
optimizer, history = Adam(), 100 + rng.normal(size=60).cumsum()
tasks = dict(zip(TASKS, (
    lambda: small(token), lambda: small(docs), lambda: small.backward(docs, y), lambda: large(big),
    lambda: optimizer.step(small, gradients), lambda: quick(history, 12, 12)), strict=True))

for line in sys.stdin:
    name, *count = line.rstrip("\\n").split("\\t")
    if name == "hello":
        print("ok", json.dumps({"isa": active_isa(), "file": _memattn.__file__}), flush=True)
        continue
    task, count = tasks[name], int(count[0])
    begin = time.perf_counter()
    for _ in range(count):
        task()
    print("ok", (time.perf_counter() - begin) / count, flush=True)
"""


def start(build: str, folder: Path, core: int) -> Worker:
    """Start the process of one build."""
    environment = {}
    if build != "installed":
        site = folder / "site"
        with zipfile.ZipFile(build) as archive:
            archive.extractall(site)
        environment["PYTHONPATH"] = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    code = f"TASKS = {list(TASKS)!r}\n{WORKER}"
    return Worker([sys.executable, "-c", code], [core], folder / "worker.log", environment)


def main() -> None:
    """Measure, and print a line for each piece of work."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("builds", nargs=2, help="a wheel, or the word installed")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        workers = [
            start(build, Path(folder) / str(k), core) for k, build in enumerate(arguments.builds)
        ]
        for worker in workers:
            print(*worker.versions().values())
        print(f"{'':28}{'first, µs':>12}{'second, µs':>12}{'ratio':>8}   quartiles")
        for task, count in TASKS.items():
            rounds = []
            for k in range(arguments.rounds + 2):
                order = [0, 1] if k % 2 else [1, 0]
                times = {str(side): float(workers[side].ask(task, count)) for side in order}
                if k >= 2:  # the first two warm up
                    rounds.append(times)
            first, second = (spread([one[side] for one in rounds]).median * 1e6 for side in "01")
            found = ratio(rounds, "1", "0")
            print(
                f"{task:28}{first:12.2f}{second:12.2f}{found.median:8.3f}"
                f"   {found.low:.3f} to {found.high:.3f}"
            )
        for worker in workers:
            worker.close()


if __name__ == "__main__":
    main()
