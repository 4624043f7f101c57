"""memattn in PyTorch beside the same layer with scaled_dot_product_attention and the bare C++.

    scripts/bench --quick --peers '' --shapes token          # builds the worker in C++
    python -m bench.torch_layer --shapes docs                # writes a table

Needs an environment with PyTorch and memattn, .venv-hosts/torch unless --python names another one.
All contestants run on one core, in shuffled rounds, and are checked first (bench/README.md).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bench.client import WorkerError
from bench.contestants import MEMATTN, Contestant
from bench.environments import ROOT
from bench.machine import commit, describe
from bench.measure import Group
from bench.shapes import MEMORY_SHAPES
from bench.stats import quantile, ratio, spread, times
from bench.suite import BUILD, Recipe, names_of
from bench.tables import markdown, microseconds
from bench.workers import Workers

SDPA = Contestant("torch", "eager", "published")
FOLDED = Contestant("torch", "eager", "folded")
EAGER = Contestant("memattn_torch", "eager", "own")
COMPILED = Contestant("memattn_torch", "compile", "own")
ALONE = Contestant("memattn_torch", "alone", "own", ("step",))

NAMES = {
    MEMATTN: "memattn, bare C++",
    EAGER: "memattn.torch",
    COMPILED: "memattn.torch, torch.compile",
    ALONE: "PyTorch alone: a Function that knows its gradients",
    SDPA: "scaled_dot_product_attention",
    Contestant("torch", "compile", "published"): "scaled_dot_product_attention, torch.compile",
    FOLDED: "folded by hand in PyTorch",
    Contestant("torch", "compile", "folded"): "folded by hand, torch.compile",
}


def table(group: Group) -> str:
    """Return a row per contestant: its time, its speed-up over SDPA, and its time over bare C++."""
    rows = []
    for entry in group.entries:
        name = NAMES[entry.contestant]
        taken = times(group.rounds, entry.key)
        if not taken:
            rows.append([name, entry.error or "", "", ""])
            continue
        time, faster = spread(taken), ratio(group.rounds, SDPA.key, entry.key)
        added = [one[entry.key] - one[MEMATTN.key] for one in group.rounds]
        rows.append(
            [
                name,
                f"{microseconds(time.median)} ({microseconds(time.low)} to "
                f"{microseconds(time.high)})",
                f"{faster.median:.2f}",
                "" if entry.contestant == MEMATTN else microseconds(quantile(added, 0.5)),
            ]
        )
    sizes = ", ".join(map(str, group.shape.sizes))
    title = f"{group.shape.name} ({sizes}), {group.task}"
    return markdown([title, "µs (quartiles)", "times faster than SDPA", "µs over bare C++"], rows)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parse = argparse.ArgumentParser("python -m bench.torch_layer", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--shapes", type=names_of(list(MEMORY_SHAPES)), default=["docs"])
    parse.add_argument("--tasks", type=names_of(["forward", "step"]), default=["forward", "step"])
    parse.add_argument("--seconds", type=float, default=10.0, help="of rounds for each group")
    parse.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parse.add_argument("--python", type=Path, default=ROOT / ".venv-hosts/torch/bin/python")
    return parse


def main() -> int:
    """Measure, and print tables."""
    options = parser().parse_args()
    if not options.python.exists():
        sys.exit(f"--python: found no {options.python}, expected one with PyTorch and memattn")
    pythons = dict.fromkeys(("torch", "memattn_torch"), options.python)
    machine = describe()
    print(f"{machine['processor']} ({machine['vectors']}), core {options.core}, {commit(ROOT)}\n")
    with Workers(Recipe(options.core, pythons), BUILD / "logs") as workers:
        for task in options.tasks:
            for name in options.shapes:
                lineup = [one for one in NAMES if task in one.tasks]
                group = Group(MEMORY_SHAPES[name], task, lineup, workers, BUILD / "problems" / name)
                group.load(lambda _: None)
                group.measure(options.seconds, 5, 61, lambda _: None)
                group.unload()
                print(table(group) + "\n", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WorkerError as error:
        sys.exit(f"memattn's own worker failed: {error}")
