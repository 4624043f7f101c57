"""scripts/bench: installs the peers, measures all contestants, and writes table, JSON and plots."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import plot, tables
from bench.client import WorkerError
from bench.contestants import MEMATTN, PEERS, Contestant, lineup
from bench.environments import ROOT, MissingEnvironmentError, install
from bench.machine import commit, describe
from bench.measure import Group
from bench.shapes import LAYERS, SHAPES, TASKS
from bench.workers import Workers

BUILD = ROOT / "build" / "bench"


def names_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return an argparse type for comma-separated names."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            expected = ", ".join(known)
            raise argparse.ArgumentTypeError(f"found {unknown[0]}, expected some of {expected}")
        return names

    return parse


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    default_core = max(os.sched_getaffinity(0))
    parse = argparse.ArgumentParser("scripts/bench", description=__doc__)
    parse.add_argument(
        "--peers",
        type=names_of(list(PEERS)),
        default=list(PEERS),
        help=f"comma-separated, of {', '.join(PEERS)} (default: all); empty for only memattn",
    )
    parse.add_argument(
        "--shapes",
        type=names_of(list(SHAPES)),
        default=list(SHAPES),
        help="of " + ", ".join(SHAPES),
    )
    parse.add_argument(
        "--layers",
        type=names_of(LAYERS),
        default=list(LAYERS),
        help=f"of {', '.join(LAYERS)}: the layers to measure",
    )
    parse.add_argument(
        "--tasks", type=names_of(list(TASKS)), default=list(TASKS), help="of " + ", ".join(TASKS)
    )
    parse.add_argument("--quick", action="store_true", help="only 3 rounds")
    parse.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="of rounds per shape and task (default: 30)",
    )
    parse.add_argument(
        "--core", type=int, default=default_core, help="core to pin to (default: the last)"
    )
    parse.add_argument(
        "--output", type=Path, default=ROOT / "bench" / "results", help="folder of the results"
    )
    return parse


class Recipe:
    """How to start the process of each contestant."""

    def __init__(self, core: int, pythons: dict[str, Path]) -> None:
        self._core, self._pythons = core, pythons

    def __call__(
        self, contestant: Contestant
    ) -> tuple[list[str | Path], list[int], dict[str, str]]:
        """Return command, cores and additional environment."""
        environment = {
            "PYTHONPATH": str(ROOT),
            # Kept, so that the next run finds the compilers' output.
            "TORCHINDUCTOR_CACHE_DIR": str(BUILD / "torchinductor"),
        }
        if contestant.peer == "memattn" and contestant.mode != "python":
            cores = [self._core]
            if contestant.mode.startswith("cores"):
                cores = sorted(os.sched_getaffinity(0))
                environment["MEMATTN_NUM_THREADS"] = str(len(cores))
            return [BUILD / "layer_worker"], cores, environment
        python = self._pythons[contestant.peer]
        command: list[str | Path] = [python, "-m", "bench.peers.worker", contestant.peer]
        return command, [self._core], environment


def install_all(peers: Sequence[str], console: Console) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the interpreters of the peers, and the reasons why others are missing."""
    pythons, missing = {"memattn": Path(sys.executable)}, {}
    for peer in peers:
        with console.status(f"installing {PEERS[peer]}"):
            try:
                pythons[peer] = install(peer, BUILD / "logs" / f"install-{peer}.log")
            except MissingEnvironmentError as reason:
                missing[peer] = str(reason)
                console.print(f"{PEERS[peer]} is missing: {reason}", highlight=False)
    return pythons, missing


def start_all(workers: Workers, peers: Sequence[str], console: Console) -> dict[str, str]:
    """Start every peer once, so that a peer that cannot start is reported exactly once."""
    failed = {}
    for peer in peers:
        with console.status(f"starting {PEERS[peer]}"):
            try:
                workers(Contestant(peer, "", ""))
            except WorkerError as error:
                failed[peer] = f"does not start: {error}"
                console.print(f"{PEERS[peer]} {failed[peer]}", highlight=False)
    return failed


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the content of the result file."""
    begin = time.time()
    pythons, missing = install_all(options.peers, console)
    cores = len(os.sched_getaffinity(0))
    groups = []
    fewest, most = (3, 3) if options.quick else (5, 61)
    with Workers(Recipe(options.core, pythons), BUILD / "logs") as workers:
        workers(MEMATTN)
        missing |= start_all(workers, [peer for peer in options.peers if peer in pythons], console)
        peers = [peer for peer in options.peers if peer not in missing]
        for task in options.tasks:
            for name in (name for name in options.shapes if name in TASKS[task]):
                shape, folder = SHAPES[name], BUILD / "problems" / name
                if shape.layer not in options.layers:
                    continue
                chosen = lineup(task, peers, cores, shape.layer)
                group = Group(shape, task, chosen, workers, folder)
                with console.status("") as status:
                    group.load(status.update)
                    group.measure(options.seconds, fewest, most, status.update)
                group.unload()
                groups.append(group.to_json())
                done = f"{name}, {task}: {len(group.rounds)} rounds of {len(group.entries)}"
                console.print(f"{done}, {time.time() - begin:.0f} s", highlight=False)
    return {
        "format": 1,
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin),
        "command": command(sys.argv[1:]),
        "commit": commit(ROOT),
        "forced_isa": os.environ.get("MEMATTN_FORCE_ISA", ""),
        "core": options.core,
        "machine": describe(),
        "versions": workers.versions,
        "missing": missing,
        "groups": groups,
    }


def command(arguments: Sequence[str]) -> str:
    """Return the command that repeats a run, without the output folder."""
    kept = list(arguments)
    for place, argument in enumerate(arguments):
        if argument == "--output":
            del kept[place : place + 2]
            break
        if argument.startswith("--output="):
            del kept[place]
            break
    return shlex.join(["scripts/bench", *kept])


def main() -> int:
    """Run the command; return 130 if interrupted."""
    parse = parser()
    options = parse.parse_args()
    console = Console(stderr=True)
    if options.core not in os.sched_getaffinity(0):
        parse.error(f"--core: found {options.core}, expected one of {os.sched_getaffinity(0)}")
    if not options.seconds > 0:
        parse.error(f"--seconds: found {options.seconds}, expected a positive number")
    try:
        result = run(options, console)
    except WorkerError as error:
        console.print(f"memattn's own worker failed: {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; nothing was written")
        return 130
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / result["measured"].replace(":", "")
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(tables.everything(result))
    written = [stem.with_suffix(".json")]
    if any(group["layer"] == "memory" for group in result["groups"]):
        written += plot.write(result, stem)
    print("\nWritten: " + ", ".join(os.path.relpath(path) for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
