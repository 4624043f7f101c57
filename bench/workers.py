"""The processes of a run: one for each peer, started at first use, all ended at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from bench.client import Worker, WorkerError
from bench.contestants import Contestant

# Returns a contestant's command, cores and additional environment; raises WorkerError if it is not
# available.
Recipe = Callable[[Contestant], tuple[list[str | Path], list[int], dict[str, str]]]


class Workers:
    """A context that returns a contestant's process when called, and ends all of them on exit."""

    def __init__(self, recipe: Recipe, logs: Path) -> None:
        self._recipe, self._logs = recipe, logs
        self._workers: dict[str, Worker] = {}
        self.versions: dict[str, dict[str, str]] = {}

    @staticmethod
    def _name(contestant: Contestant) -> str:
        # The layer in C++, in Python and on several cores runs in separate processes.
        own = contestant.form == "own" and contestant.mode not in ("float32", "peak")
        return f"{contestant.peer}-{contestant.mode}" if own else contestant.peer

    def __call__(self, contestant: Contestant) -> Worker:
        """Return the process of a contestant; one that died is started again."""
        name = self._name(contestant)
        worker = self._workers.get(name)
        if worker is None or not worker.alive:
            command, cores, environment = self._recipe(contestant)
            try:
                worker = Worker(command, cores, self._logs / f"{name}.log", environment)
            except OSError as error:
                raise WorkerError(f"{command[0]} cannot be started: {error}") from error
            self._workers[name] = worker
            self.versions[name] = worker.versions()
        return worker

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers.values():
            worker.close()
