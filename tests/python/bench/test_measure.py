"""Planning of samples and rounds, and handling of failed contestants in a group."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.client import WorkerDiedError, WorkerError
from bench.contestants import MEMATTN, PEAK, PEERS, Contestant, lineup
from bench.measure import Group, plan_calls, plan_rounds
from bench.problem import Problem
from bench.shapes import Shape
from bench.suite import command

SHAPE = Shape("small", 1, 2, 4, 3, 2)
GOOD, WRONG, DEAD = (Contestant(name, "m", "folded") for name in ("good", "wrong", "dead"))


class FakeWorker:
    """Answers like a worker; `peer` selects a fault."""

    def __init__(self, peer: str) -> None:
        self.peer, self.alive, self.rounds = peer, True, 0

    def ask(self, verb: str, *fields: Any, timeout: float = 0) -> str:
        if verb == "run":
            y = Problem.draw(SHAPE).x.ravel()
            dtype = np.float64 if fields[0] == "reference" else np.float32
            (y + (0.1 if self.peer == "wrong" else 0)).astype(dtype).tofile(fields[1])
        if verb == "load" and fields[1] == "peak":
            return "1000"
        if verb == "time":
            self.rounds += 1
            if self.peer == "dead" and self.rounds > 2:
                raise WorkerDiedError("killed")
            return str(int(fields[1]) * 5_000_000)
        return ""


def measured(tmp_path: Path, *contestants: Contestant) -> Group:
    workers = {name: FakeWorker(name) for name in ("memattn", "good", "wrong", "dead")}
    group = Group(SHAPE, "forward", list(contestants), lambda one: workers[one.peer], tmp_path)
    group.load(lambda _: None)
    group.measure(1e-9, 3, 3, lambda _: None)
    return group


def test_a_sample_takes_ten_milliseconds() -> None:
    assert plan_calls(1000) == (10_000, 2000)
    assert plan_calls(4e6) == (2, 0)
    assert plan_calls(3e8) == (1, 0)


def test_rounds_fill_the_time_within_limits() -> None:
    assert plan_rounds(1e9, 30, 7, 61) == 30
    assert plan_rounds(1e8, 30, 7, 61) == 61
    assert plan_rounds(1e10, 30, 7, 61) == 7


def test_all_contestants_are_timed_in_every_round(tmp_path: Path) -> None:
    group = measured(tmp_path, PEAK, MEMATTN, GOOD)
    assert [set(one) for one in group.rounds] == [{PEAK.key, MEMATTN.key, GOOD.key}] * 3
    assert group.rounds[0][GOOD.key] == 5e6
    contestants = group.to_json()["contestants"]
    assert contestants[0]["flops_per_call"] == 1000
    assert contestants[2]["error"] is None


def test_a_wrong_result_is_not_timed(tmp_path: Path) -> None:
    group = measured(tmp_path, MEMATTN, WRONG)
    assert "wrong result" in group.to_json()["contestants"][1]["error"]
    assert all(set(one) == {MEMATTN.key} for one in group.rounds)


def test_a_dead_process_fails_only_its_own_contestants(tmp_path: Path) -> None:
    other = Contestant("dead", "other", "folded")
    group = measured(tmp_path, MEMATTN, DEAD, other, GOOD)
    assert all({MEMATTN.key, GOOD.key} <= set(one) for one in group.rounds)
    errors = [one["error"] for one in group.to_json()["contestants"]]
    assert errors[0] is None
    assert errors[3] is None
    assert "killed" in errors[1]
    assert "killed" in errors[2]


def test_a_process_that_does_not_start_fails_only_its_own_contestants(tmp_path: Path) -> None:
    def worker_of(one: Contestant) -> FakeWorker:
        if one.peer == "dead":
            raise WorkerDiedError("cannot start")
        return FakeWorker(one.peer)

    group = Group(SHAPE, "forward", [MEMATTN, DEAD, GOOD], worker_of, tmp_path)
    group.load(lambda _: None)
    errors = [one["error"] for one in group.to_json()["contestants"]]
    assert errors == [None, "cannot start", None]


def test_the_lineup_has_every_peer_that_supports_the_task() -> None:
    everybody = lineup("forward", list(PEERS), 2)
    assert len({one.key for one in everybody}) == len(everybody)
    assert {one.peer for one in everybody} == {"memattn", *PEERS}
    training = {one.peer for one in lineup("step", list(PEERS), 1)}
    assert training == {"memattn", *PEERS} - {"onnxruntime", "openvino"}
    pairs = {one.peer for one in lineup("forward", list(PEERS), 2, "cross")}
    assert pairs == {"memattn", "onnxruntime", "openvino", "torch", "jax"}


def test_command_returns_the_command_line_without_the_output() -> None:
    assert command(["--quick", "--output", "folder", "--peers", ""]) == (
        "scripts/bench --quick --peers ''"
    )
    assert command(["--output=folder"]) == "scripts/bench"


def test_worker_died_error_is_a_worker_error() -> None:
    with pytest.raises(WorkerError):
        raise WorkerDiedError("x")
