"""A contestant's process: keeps models loaded, and times them on commands from standard input.

A command is a line of fields separated by tabs; each gets one line as an answer, ``ok ANSWER`` or
``error MESSAGE``. ``bench/layer_worker.cc`` has the same protocol:

    hello                                          versions, as JSON
    load ID MODE TASK FORM FOLDER LAYER SIZES...   makes a model ready; SIZES as bench/shapes.py
                                                   has them for "memory", or for "cross" and
                                                   "hierarchical"
    run ID FILE                                    one call; its result goes to FILE, raw
    time ID CALLS WARM_UP                          ns of CALLS calls; WARM_UP before do not count
    latency ID CALLS                               ns of each call: p50 p99 p99.9 maximum
    unload ID

The end of standard input ends the process.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from bench.pairs import PairProblem
from bench.problem import Problem
from bench.shapes import PairShape, Shape


@dataclass
class Model:
    """A timed `call`, and `read`, which turns its result into [y] or [y, grad_x, grads...]."""

    call: Callable[[], Any]
    read: Callable[[Any], list[Any]]


class Worker:
    """Answers the commands; `peer` is the module that makes the models."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self._models: dict[str, Model] = {}

    def answer(self, fields: list[str]) -> str:
        """Return the answer to one command."""
        verb, *rest = fields
        if verb not in ("hello", "load", "run", "time", "latency", "unload"):
            raise ValueError(f"unknown command {verb}")
        answer: str = getattr(self, verb)(*rest)
        return answer

    def hello(self) -> str:
        """Return the versions of everything that the peer runs on."""
        return json.dumps({**self._peer.versions(), "python": sys.version.split()[0]})

    def load(
        self, name: str, mode: str, task: str, form: str, folder: str, layer: str, *sizes: str
    ) -> str:
        """Make a model and call it once, which compiles it."""
        path, numbers = Path(folder), map(int, sizes)
        problem: Problem | PairProblem
        if layer == "memory":
            problem = Problem.load(path, Shape(path.name, *numbers))
        else:
            problem = PairProblem.load(path, PairShape(path.name, layer, *numbers))
        model = self._peer.load(problem, mode, task, form)
        model.call()
        self._models[name] = model
        return ""

    def run(self, name: str, file: str) -> str:
        """Write the result of one call."""
        model = self._models[name]
        parts = [np.asarray(part, np.float32).ravel() for part in model.read(model.call())]
        np.concatenate(parts).tofile(file)
        return ""

    def time(self, name: str, calls: str, warm_up: str) -> str:
        """Time many calls together."""
        call = self._models[name].call
        for _ in range(int(warm_up)):
            call()
        repeats = range(int(calls))
        begin = perf_counter_ns()
        for _ in repeats:
            call()
        return str(perf_counter_ns() - begin)

    def latency(self, name: str, calls: str) -> str:
        """Time every call separately."""
        call = self._models[name].call
        times = []
        for _ in range(int(calls)):
            begin = perf_counter_ns()
            call()
            times.append(perf_counter_ns() - begin)
        times.sort()
        last = len(times) - 1
        return " ".join(str(times[last * share // 1000]) for share in (500, 990, 999, 1000))

    def unload(self, name: str) -> str:
        """Unload a model."""
        del self._models[name]
        gc.collect()
        return ""


def main() -> None:
    """Serve the peer named on the command line."""
    # Output of the runtimes goes to standard error, so that standard output has only answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker: Worker | None = None
    for line in sys.stdin:
        try:
            if worker is None:
                worker = Worker(importlib.import_module(f"bench.peers.{sys.argv[1]}_peer"))
                gc.disable()
            reply = "ok " + worker.answer(line.rstrip("\n").split("\t"))
        except Exception as error:  # an exception of a runtime is an answer, not an end
            text = " ".join(str(error).split())
            reply = f"error {type(error).__name__}: {text[:300]}"
        answers.write(reply + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
