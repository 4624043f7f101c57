"""The driver's side of a contestant's process; bench/peers/worker.py documents the protocol."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

# One thread for every runtime, and only the CPU as device.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MEMATTN_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
}


class WorkerError(Exception):
    """A worker answered with an error."""


class WorkerDiedError(WorkerError):
    """A worker ended, or was ended because it did not answer in time."""


class Worker:
    """A process pinned to `cores`, with its standard error in `log`.

    It leads its own session. So Ctrl-C reaches only the driver, which then ends the process and
    everything that it started.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        cores: Sequence[int],
        log: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._rest = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", ",".join(map(str, cores)), *map(str, command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                cwd=log.parent,  # some peers leave files in their working folder
                env={**os.environ, **ENVIRONMENT, **(environment or {})},
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def ask(self, *fields: object, timeout: float = 120) -> str:
        """Send one line and return the answer."""
        stdin = self._process.stdin
        assert stdin is not None
        if stdin.closed:
            raise WorkerDiedError(self._last_words())
        line = "\t".join(str(field) for field in fields) + "\n"
        try:
            stdin.write(line.encode())
            reply = self._read_line(time.monotonic() + timeout)
        except BrokenPipeError:
            reply = ""
        status, _, answer = reply.partition(" ")
        if status == "ok":
            return answer
        if status == "error":
            raise WorkerError(answer)
        self.close()
        raise WorkerDiedError(self._last_words())

    def versions(self) -> dict[str, str]:
        """Return the versions it runs on: the first question, which also waits for its imports."""
        versions: dict[str, str] = json.loads(self.ask("hello", timeout=300))
        return versions

    def _read_line(self, deadline: float) -> str:
        """Return one line; empty at the end of the stream or after the deadline."""
        stdout = self._process.stdout
        assert stdout is not None
        while b"\n" not in self._rest:
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                with self.log.open("a") as log:
                    log.write("no answer in time\n")
                return ""
            chunk = os.read(stdout.fileno(), 65536)
            if not chunk:
                return ""
            self._rest += chunk
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode(errors="replace")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:300] if lines else f"ended with {self._process.returncode}"

    def close(self) -> None:
        """End the process and everything that it started."""
        for end in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, end)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
                break
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
