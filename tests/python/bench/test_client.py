"""The client of worker processes, with a small process in place of a worker."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.client import Worker, WorkerDiedError, WorkerError

ECHO = """
import os, sys, time
for line in sys.stdin:
    fields = line.rstrip("\\n").split("\\t")
    if fields[0] == "die": print("the end", file=sys.stderr); sys.exit(3)
    if fields[0] == "sleep": time.sleep(60)
    if fields[0] == "hello": print('ok {"threads": "%s"}' % os.environ["OMP_NUM_THREADS"])
    elif fields[0] == "bad": print("error it is bad")
    else: print("ok", len(fields), sorted(os.sched_getaffinity(0)))
    sys.stdout.flush()
"""
CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker([sys.executable, "-c", ECHO], [CORE], tmp_path / "worker.log")
    yield worker
    worker.close()


def test_a_worker_returns_answers_and_errors(worker: Worker) -> None:
    assert worker.ask("load", "a name with blanks", 3) == f"3 [{CORE}]"
    with pytest.raises(WorkerError, match="it is bad"):
        worker.ask("bad")
    assert worker.alive


def test_a_worker_has_one_thread(worker: Worker) -> None:
    assert worker.versions() == {"threads": "1"}


def test_a_dead_worker_is_an_error_with_its_output(worker: Worker) -> None:
    with pytest.raises(WorkerDiedError, match="the end"):
        worker.ask("die")
    assert not worker.alive
    with pytest.raises(WorkerDiedError):
        worker.ask("hello")


def test_a_worker_that_times_out_is_killed(worker: Worker) -> None:
    begin = time.monotonic()
    with pytest.raises(WorkerDiedError, match="no answer in time"):
        worker.ask("sleep", timeout=0.2)
    assert time.monotonic() - begin < 20
    assert not worker.alive


def test_the_python_worker_answers_the_client(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "bench.peers.worker", "memattn"]
    worker = Worker(command, [CORE], tmp_path / "log", {"PYTHONPATH": str(root)})
    try:
        assert json.loads(worker.ask("hello"))["memattn"]
        with pytest.raises(WorkerError, match="unknown command"):
            worker.ask("nonsense")
    finally:
        worker.close()
