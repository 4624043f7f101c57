"""bench/compare A B: compares the library of two commits, interleaved on one core of this machine.

Each commit is checked out and built in a temporary folder. The worker is this tree's, so even a
commit from before it can be measured. "." is the working tree as it is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench.client import WorkerError
from bench.contestants import Contestant
from bench.environments import ROOT
from bench.measure import Group
from bench.shapes import SHAPES, TASKS
from bench.stats import ratio, spread, times
from bench.suite import names_of
from bench.tables import TASK_NAMES, markdown, microseconds
from bench.workers import Workers

SIDES = {name: Contestant(name, "float32", "own") for name in ("A", "B")}


class CompareError(Exception):
    """A commit is missing or does not build."""


def _run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-15:])
        raise CompareError(f"{' '.join(map(str, command))}\n{tail}")
    return result.stdout.strip()


def describe(commit: str) -> str:
    """Return a short description of a commit."""
    if commit == ".":
        return "the working tree"
    return _run("git", "-C", ROOT, "log", "-1", "--format=%h %s", f"{commit}^{{commit}}")


def check_out(commit: str, folder: Path, cleanup: ExitStack) -> Path:
    """Return a tree of the commit, which is removed when `cleanup` ends."""
    if commit == ".":
        return ROOT
    _run("git", "-C", ROOT, "worktree", "add", "--detach", folder, commit)
    remove = ["git", "-C", str(ROOT), "worktree", "remove", "--force", str(folder)]
    cleanup.callback(subprocess.run, remove, capture_output=True, check=False)
    return folder


def build(source: Path, folder: Path) -> Path:
    """Build the worker with that tree's library."""
    _run(
        *("cmake", "-S", ROOT / "bench", "-B", folder, "-G", "Ninja"),
        *("-DCMAKE_BUILD_TYPE=Release", f"-DMEMATTN_SOURCE={source}"),
    )
    _run("cmake", "--build", folder, "--target", "layer_worker")
    return folder / "layer_worker"


def compare(options: argparse.Namespace, console: Console) -> list[list[str]]:
    """Measure, and return the rows of the table."""
    rows = []
    with ExitStack() as cleanup:
        temporary = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="memattn-")))
        binaries = {}
        for name, commit in zip(SIDES, (options.a, options.b), strict=True):
            console.print(f"{name}: {describe(commit)}", highlight=False)
            with console.status(f"building {name}"):
                tree = check_out(commit, temporary / name, cleanup)
                binaries[name] = build(tree, temporary / f"build-{name}")
        workers = cleanup.enter_context(
            Workers(lambda side: ([binaries[side.peer]], [options.core], {}), temporary / "logs")
        )
        for task in options.tasks:
            for name in (name for name in options.shapes if name in TASKS[task]):
                group = Group(
                    SHAPES[name],
                    task,
                    list(SIDES.values()),
                    # A also computes the reference.
                    lambda side: workers(SIDES.get(side.peer, SIDES["A"])),
                    temporary / name,
                )
                with console.status("") as status:
                    group.load(status.update)
                    group.measure(options.seconds, 3 if options.quick else 7, 101, status.update)
                group.unload()
                rows.append(_row(group))
    return rows


def _row(group: Group) -> list[str]:
    errors = [f"{entry.contestant.peer}: {entry.error}" for entry in group.entries if entry.error]
    name = f"{group.shape.name}, {TASK_NAMES[group.task].lower()}"
    if errors:
        return [name, *["failed"] * 3, "; ".join(errors)]
    a, b = (SIDES[side].key for side in "AB")
    medians = [microseconds(spread(times(group.rounds, key)).median) for key in (a, b)]
    value = ratio(group.rounds, a, b)
    quartiles = f"{value.low:.3f} to {value.high:.3f}"
    return [name, *medians, f"{value.median:.3f}", quartiles]


def main() -> int:
    """Run the command; return 130 if interrupted."""
    parse = argparse.ArgumentParser("bench/compare", description=__doc__)
    parse.add_argument("a", metavar="A", help="a commit, or . for the working tree")
    parse.add_argument("b", metavar="B", help="another commit")
    parse.add_argument("--shapes", type=names_of(list(SHAPES)), default=list(SHAPES))
    parse.add_argument("--tasks", type=names_of(list(TASKS)), default=list(TASKS))
    parse.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parse.add_argument("--quick", action="store_true", help="3 rounds")
    parse.add_argument("--seconds", type=float, default=8.0, help="for each shape and task")
    options = parse.parse_args()
    if options.quick:
        options.seconds = 1e-9
    console = Console(stderr=True)
    try:
        rows = compare(options, console)
    except (CompareError, WorkerError) as error:
        console.print(str(error), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    print(markdown(["", "A, µs", "B, µs", "B is times faster", "quartiles"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
