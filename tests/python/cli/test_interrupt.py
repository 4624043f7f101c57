"""Ctrl-C and SIGTERM end the command promptly, with one line of text and no partial files.

MEMATTN_LONG_TESTS=1 tries more moments, and each with both signals.
"""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from memattn.cli.errors import Stopped
from memattn.forecast import Forecaster

from ..sampling import some
from .conftest import COMMAND, Run, heed_signals

Start = Callable[..., "subprocess.Popen[str]"]

# The promise is 0.2 s; a machine that is busy with other tests may need longer.
PROMPT = 1.0
MESSAGES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
SIGNALS = list(MESSAGES)


def wait_for_handler(process: subprocess.Popen[str]) -> None:
    """Waits until the command handles SIGTERM; it handles SIGINT before."""
    bit = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught and int(caught[1], 16) & bit:
            return
        time.sleep(0.001)
    raise AssertionError("the command never handled SIGTERM")


def slowdown() -> float:
    """Returns how many times as long as its CPU seconds a computation takes now; 1 if idle."""
    begin, used = time.monotonic(), time.process_time()
    while time.process_time() - used < 0.1:
        pass
    return max(1.0, (time.monotonic() - begin) / 0.1)


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Sends the signal; returns the seconds until the process ends, and its stderr."""
    start = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=30)
    seconds = time.monotonic() - start
    _, stderr = process.communicate()
    return seconds / slowdown(), stderr


MOMENTS = (0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)


@pytest.mark.parametrize(
    ("moment", "number"),
    # Every second is each moment once, with either signal in turn.
    some([(MOMENTS[k], number) for k in range(7) for number in SIGNALS[:: 1 - 2 * (k % 2)]], 2),
)
def test_a_signal_ends_imports_and_training(
    start: Start,
    data: Path,
    tmp_path: Path,
    moment: float,
    number: signal.Signals,
) -> None:
    # So many steps that it is still training, on any machine.
    process = start("forecast", data, "--horizon", "24", "--steps", "1000000000")
    wait_for_handler(process)
    time.sleep(moment)
    seconds, stderr = end(process, number)
    assert process.returncode == 128 + number
    assert stderr == f"memattn: {MESSAGES[number]}; no file was left half-written\n"
    assert seconds < PROMPT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", MESSAGES, ids=lambda number: number.name)
def test_a_signal_ends_long_compiled_code(number: signal.Signals) -> None:
    """Derives a key, which takes minutes, like a training step of a very large model."""
    code = (
        "import hashlib; from memattn.cli.interrupt import end_on_signals; end_on_signals();"
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 1_000_000_000)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    wait_for_handler(process)
    time.sleep(0.3)
    seconds, stderr = end(process, number)
    assert process.returncode == 128 + number
    assert stderr == f"memattn: {MESSAGES[number]}; no file was left half-written\n"
    assert seconds < PROMPT


@pytest.mark.parametrize("moment", some([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], 2))
def test_a_signal_ends_printing_and_writing(
    start: Start, data: Path, tmp_path: Path, moment: float
) -> None:
    """The whole run takes about as long as these moments."""
    process = start("forecast", data, "--horizon", "24", "--steps", "1", "--model", "m")
    wait_for_handler(process)
    time.sleep(moment)
    seconds, stderr = end(process, signal.SIGINT)
    assert seconds < PROMPT
    assert "Traceback" not in stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names <= {"forecast.csv", "m"}
    if process.returncode == 0:
        assert names == {"forecast.csv", "m"}
    else:
        assert process.returncode == 130
    if "forecast.csv" in names:
        assert (tmp_path / "forecast.csv").read_text().count("\n") == 25


def test_an_ignored_signal_stays_ignored(data: Path, tmp_path: Path) -> None:
    """SIGINT is ignored under nohup, or in the background of a shell."""
    with subprocess.Popen(
        [*COMMAND, "forecast", data, "--horizon", "2", "--steps", "30"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:
        wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 0
    assert (tmp_path / "forecast.csv").exists()


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


# The first step of a training lasts until a signal stops it, or with `deaf` forever.
LONG_STEP = """
import time
from pathlib import Path
from memattn.cli import main
from memattn.forecast.forecaster import Forecaster
def slow(real):
    def fit(self, *data, progress, **options):
        def told(*step):
            Path("begun").touch()
            while True:
                try:
                    progress(*step)
                except BaseException:
                    if not {deaf}:
                        raise
                time.sleep(0.01)
        return real(self, *data, progress=told, **options)
    return fit
Forecaster.fit, Forecaster.backtest = slow(Forecaster.fit), slow(Forecaster.backtest)
main()
"""
KEPT = "to continue the training, add --resume to the same command"
FORECAST = ("forecast", "--horizon", "2", "--steps", "30", "--checkpoint", "state")


BACKTEST = ("backtest", "--windows", "3", "--refit", *FORECAST[1:])


def start_long_step(
    data: Path, folder: Path, *options: str, command: Sequence[str] = FORECAST, deaf: bool = False
) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_STEP.format(deaf=deaf), *command, str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        preexec_fn=heed_signals,
    )
    wait_for_file(folder / "begun")
    return process


@pytest.mark.parametrize("number", MESSAGES, ids=lambda number: number.name)
def test_a_stopped_training_resumes_to_the_same_result(
    run: Run, data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start_long_step(data, tmp_path)
    seconds, stderr = end(process, number)
    assert process.returncode == 128 + number
    assert stderr == f"memattn: {MESSAGES[number]}; {KEPT} (--checkpoint state)\n"
    assert seconds < PROMPT
    assert {path.name for path in tmp_path.iterdir()} == {"begun", "state"}
    assert run(*FORECAST, data, "--resume").returncode == 0
    assert run(*FORECAST[:-2], data, "--output", "whole.csv").returncode == 0
    found = [(tmp_path / name).read_bytes() for name in ("forecast.csv", "whole.csv")]
    assert found[0] == found[1]


def test_a_stopped_backtest_resumes_to_the_same_result(
    run: Run, data: Path, tmp_path: Path
) -> None:
    process = start_long_step(data, tmp_path, command=BACKTEST)
    seconds, stderr = end(process, signal.SIGINT)
    assert process.returncode == 130
    assert stderr == f"memattn: interrupted; {KEPT} (--checkpoint state)\n"
    assert seconds < PROMPT
    assert {path.name for path in tmp_path.iterdir()} == {"begun", "state"}
    assert run(*BACKTEST, data, "--resume").returncode == 0
    assert run(*BACKTEST[:-2], data, "--output", "whole.csv").returncode == 0
    found = [(tmp_path / name).read_bytes() for name in ("backtest.csv", "whole.csv")]
    assert found[0] == found[1]


def test_a_stopped_training_is_a_json_error(data: Path, tmp_path: Path) -> None:
    process = start_long_step(data, tmp_path, "--json")
    _, stderr = end(process, signal.SIGTERM)
    assert process.returncode == 143
    place = {"file": "state", "line": None, "column": None}
    expected = {"kind": "terminated", "message": f"terminated; {KEPT}", **place}
    assert json.loads(stderr)["error"] == expected


def test_a_second_signal_ends_the_command_at_once(data: Path, tmp_path: Path) -> None:
    process = start_long_step(data, tmp_path, deaf=True)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    seconds, stderr = end(process, signal.SIGTERM)
    assert process.returncode == 143
    assert stderr == "memattn: terminated; no file was left half-written\n"
    assert seconds < PROMPT
    assert {path.name for path in tmp_path.iterdir()} == {"begun"}


def test_a_stop_before_the_first_step_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Run, data: Path
) -> None:
    def fit(*arguments: Any, checkpoint: Path, **options: Any) -> None:
        raise Stopped(signal.SIGINT, checkpoint)

    monkeypatch.setattr(Forecaster, "fit", fit)
    done = call(*FORECAST, data)
    assert done.returncode == 130
    assert (
        done.stderr == "memattn: interrupted before the first training step; nothing was written\n"
    )
    assert list(tmp_path.iterdir()) == []
