"""A group is a shape and a task: contestants are loaded, checked, and timed in shuffled rounds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.client import Worker, WorkerDiedError, WorkerError
from bench.contestants import MEMATTN, PEAK, PYTHON, Contestant
from bench.pairs import PairProblem
from bench.pairs import result_sizes as pair_result_sizes
from bench.problem import Problem, largest_error, result_sizes
from bench.shapes import AnyShape, Shape

# The errors allowed, relative to the largest value of the float64 result, by precision.
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2, "default": 2e-2}
SAMPLE_NS = 10_000_000  # a sample has as many calls as fit in about this time
WARM_UP_NS = 2_000_000  # calls before a sample, since other contestants ran
LATENCY_CALLS = 20_000  # at the token shape

Say = Callable[[str], None]


@dataclass
class Entry:
    """A contestant in a group: the calls of a sample, or the reason why it is out."""

    contestant: Contestant
    worker: Worker | None = None
    error: str | None = None
    relative_error: float | None = None
    calls: int = 1
    warm_up: int = 0
    estimate_ns: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return its name in the results."""
        return self.contestant.key


def plan_calls(one_ns: float) -> tuple[int, int]:
    """Return the calls of a sample and of its warm-up, if one takes `one_ns`."""
    calls = max(1, round(SAMPLE_NS / max(one_ns, 1.0)))
    warm_up = round(WARM_UP_NS / max(one_ns, 1.0))
    # A call of tens of milliseconds needs no warm-up.
    return calls, warm_up if calls > 1 else 0


def plan_rounds(round_ns: float, seconds: float, fewest: int, most: int) -> int:
    """Return as many rounds as the time allows, within limits."""
    return max(fewest, min(most, int(seconds * 1e9 / max(round_ns, 1.0))))


def write_reference(
    worker: Worker, folder: Path, shape: AnyShape, task: str
) -> np.ndarray[Any, Any]:
    """Write the float64 layer's values: y, and for a step all gradients."""
    file = folder / f"{task}.f64"
    worker.ask("load", "reference", "float64", task, "own", folder, shape.layer, *shape.sizes)
    worker.ask("run", "reference", file)
    worker.ask("unload", "reference")
    return np.fromfile(file, np.float64)


def _draw(shape: AnyShape) -> Problem | PairProblem:
    return Problem.draw(shape) if isinstance(shape, Shape) else PairProblem.draw(shape)


def _result_sizes(shape: AnyShape, task: str) -> dict[str, int]:
    if isinstance(shape, Shape):
        return result_sizes(shape, task)
    return pair_result_sizes(shape, task)


def _work(shape: AnyShape, task: str) -> dict[str, Any]:
    """Return the scale of a group's figures: flops, or the routes of layers that choose one."""
    return {"flops": shape.flops} if isinstance(shape, Shape) else {"routes": shape.routes(task)}


class Group:
    """Measures one shape and task. `worker_of` returns a contestant's process, or raises."""

    def __init__(
        self,
        shape: AnyShape,
        task: str,
        lineup: list[Contestant],
        worker_of: Callable[[Contestant], Worker],
        folder: Path,
    ) -> None:
        self.shape, self.task, self.folder = shape, task, folder
        self._worker_of = worker_of
        self.entries = [Entry(contestant) for contestant in lineup]
        self.rounds: list[dict[str, float]] = []

    def _fail(self, entry: Entry, error: WorkerError) -> None:
        entry.error = str(error)
        # A process that died takes all contestants in it along.
        if isinstance(error, WorkerDiedError) and entry.worker is not None:
            for other in self.entries:
                if other.worker is entry.worker:
                    other.error = other.error or f"its process ended: {error}"

    def _load(self, entry: Entry, reference: np.ndarray[Any, Any]) -> None:
        contestant, shape = entry.contestant, self.shape
        entry.worker = worker = self._worker_of(contestant)
        mode, form = contestant.mode, contestant.form
        sizes = (shape.layer, *shape.sizes)
        answer = worker.ask(
            "load", entry.key, mode, self.task, form, self.folder, *sizes, timeout=600
        )
        if contestant == PEAK:
            entry.extra["flops_per_call"] = int(answer)
        else:
            file = self.folder / "result.f32"
            worker.ask("run", entry.key, file)
            found = np.fromfile(file, np.float32).astype(np.float64)
            entry.relative_error = largest_error(found, reference, _result_sizes(shape, self.task))
            tolerance = TOLERANCES[contestant.precision]
            if not entry.relative_error <= tolerance:
                raise WorkerError(
                    f"wrong result: relative error {entry.relative_error:.1e}, "
                    f"expected at most {tolerance:.0e}"
                )
        calls = 1
        while True:  # one call may be too short to time
            taken = int(worker.ask("time", entry.key, calls, 0))
            if taken > WARM_UP_NS or calls >= 1 << 20:
                break
            calls *= 4
        entry.estimate_ns = taken / calls
        entry.calls, entry.warm_up = plan_calls(entry.estimate_ns)

    def load(self, say: Say) -> None:
        """Load all contestants and compare them with the reference."""
        _draw(self.shape).save(self.folder)
        core = self._worker_of(MEMATTN)
        reference = write_reference(core, self.folder, self.shape, self.task)
        for entry in self.entries:
            say(f"{self.shape.name}, {self.task}: loading {entry.contestant.label}")
            try:
                self._load(entry, reference)
            except WorkerError as error:
                self._fail(entry, error)

    def measure(self, seconds: float, fewest: int, most: int, say: Say, seed: int = 1) -> None:
        """Run rounds over all contestants, each in a new order."""
        shuffle = random.Random(seed).shuffle
        running = [entry for entry in self.entries if entry.error is None]
        cost = sum(entry.estimate_ns * (entry.calls + entry.warm_up) for entry in running)
        number = plan_rounds(cost, seconds, fewest, most)
        for index in range(number):
            say(f"{self.shape.name}, {self.task}: round {index + 1} of {number}")
            shuffle(running)
            taken: dict[str, float] = {}
            for entry in running:
                if entry.error is not None or entry.worker is None:
                    continue
                try:
                    answer = entry.worker.ask("time", entry.key, entry.calls, entry.warm_up)
                    taken[entry.key] = int(answer) / entry.calls
                except WorkerError as error:
                    self._fail(entry, error)
            self.rounds.append(taken)
        if self.shape.name == "token":
            self._measure_latency(say)

    def _measure_latency(self, say: Say) -> None:
        for entry in self.entries:
            ours = entry.contestant in (MEMATTN, PYTHON)
            if not ours or entry.error is not None or entry.worker is None:
                continue
            say(f"{self.shape.name}, {self.task}: latency of {entry.contestant.label}")
            percentiles = entry.worker.ask("latency", entry.key, LATENCY_CALLS).split()
            names = ("p50", "p99", "p99.9", "max")
            entry.extra["latency_ns"] = dict(zip(names, map(int, percentiles), strict=True))

    def unload(self) -> None:
        """Unload the models of all contestants."""
        for entry in self.entries:
            if entry.worker is not None and entry.worker.alive and entry.calls:
                try:
                    entry.worker.ask("unload", entry.key)
                except WorkerError:
                    continue  # never loaded, or its process ended: nothing to unload

    def to_json(self) -> dict[str, Any]:
        """Return all results, including raw rounds."""
        return {
            "layer": self.shape.layer,
            "shape": self.shape.axes,
            "name": self.shape.name,
            "task": self.task,
            **_work(self.shape, self.task),
            "contestants": [
                {
                    "key": entry.key,
                    "peer": entry.contestant.peer,
                    "mode": entry.contestant.mode,
                    "form": entry.contestant.form,
                    "precision": entry.contestant.precision,
                    "error": entry.error,
                    "relative_error": entry.relative_error,
                    "calls": entry.calls,
                    **entry.extra,
                }
                for entry in self.entries
            ],
            "rounds_ns": self.rounds,
            "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
