"""Ctrl-C and SIGTERM, at any moment: a prompt end, a line of text, nothing half-written."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.Popen[str]"]

COMMAND = [sys.executable, "-m", "memattn.cli"]

# The promise is 0.2 s; a machine that is busy with other tests may need longer.
PROMPT = 1.0
MESSAGES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def heed_signals() -> None:
    """Undoes a SIGINT that is ignored, as children of a shell's background job inherit it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_handler(process: subprocess.Popen[str]) -> None:
    """Waits until the command handles SIGTERM, which it does after SIGINT."""
    bit = 1 << (signal.SIGTERM - 1)
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught and int(caught[1], 16) & bit:
            return
        time.sleep(0.001)
    raise AssertionError("the command never handled SIGTERM")


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Sends the signal; the seconds until the end, and stderr."""
    start = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=30)
    seconds = time.monotonic() - start
    _, stderr = process.communicate()
    return seconds, stderr


@pytest.mark.parametrize("number", MESSAGES, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", [0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6])
def test_while_importing_and_training(
    start: Start,
    data: Path,
    tmp_path: Path,
    moment: float,
    number: signal.Signals,
) -> None:
    # So many epochs that it trains still, on any machine.
    process = start(
        "forecast", data, "--horizon", "24", "--epochs", "1000000", "--report", "r.html"
    )
    wait_for_handler(process)
    time.sleep(moment)
    seconds, stderr = end(process, number)
    assert process.returncode == 128 + number
    assert stderr == f"memattn: {MESSAGES[number]}, nothing was written halfway\n"
    assert seconds < PROMPT
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", MESSAGES, ids=lambda number: number.name)
def test_while_in_compiled_code_for_long(number: signal.Signals) -> None:
    """A training step of a very large model takes seconds; here a key that takes minutes."""
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
    assert stderr == f"memattn: {MESSAGES[number]}, nothing was written halfway\n"
    assert seconds < PROMPT


@pytest.mark.parametrize("moment", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0])
def test_while_drawing_and_writing(start: Start, data: Path, tmp_path: Path, moment: float) -> None:
    """The whole run takes about as long as these moments."""
    process = start("forecast", data, "--horizon", "24", "--epochs", "1", "--report", "report.html")
    wait_for_handler(process)
    time.sleep(moment)
    seconds, stderr = end(process, signal.SIGINT)
    assert seconds < PROMPT
    assert "Traceback" not in stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names <= {"forecast.csv", "report.html"}
    if process.returncode == 0:
        assert names == {"forecast.csv", "report.html"}
    else:
        assert process.returncode == 130
    if "forecast.csv" in names:
        assert (tmp_path / "forecast.csv").read_text().count("\n") == 25
    if "report.html" in names:
        assert (tmp_path / "report.html").read_text().endswith("</html>\n")


def test_an_ignored_signal_stays_ignored(data: Path, tmp_path: Path) -> None:
    """As under nohup, or in the background of a shell."""
    import sys

    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "memattn.cli",
            "forecast",
            data,
            "--horizon",
            "2",
            "--epochs",
            "300",
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    ) as process:
        wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "forecast.csv").exists()
