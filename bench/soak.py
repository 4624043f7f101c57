"""Uses memattn from eight threads for minutes, and checks that nothing grows or goes wrong.

    python -m bench.soak [--minutes 10] [--every 30]

Two threads train layers, two save and load layers, one fits, saves and loads forecasters, one
forecasts, and two send requests to an HTTP server on the loopback, which answers with a layer that
they share. Each result is compared, bit by bit, with the one computed at the start. For each row of
the table the threads pause, so that memory, descriptors and threads are those of an idle process.
Exits with status 1 if a result was wrong, if memory ends more than 1 % above its value after a
fifth of the time, or if the numbers of descriptors and threads have changed since then.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd

import memattn
from memattn import Adam, MemoryAugmentedAttention
from memattn.forecast import Forecaster

Task = Callable[[], bool]  # one piece of work, which returns whether it was right

WARM_UP = 0.2  # share of the time: two minutes of ten
MAX_GROWTH = 0.01
PAUSE = 60.0  # seconds for every thread to end its piece of work


# --- The work ---------------------------------------------------------------------------------


def new_layer(seed: int) -> MemoryAugmentedAttention:
    """Return a layer of 32 units, 24 slots and 4 heads."""
    return MemoryAugmentedAttention(32, 24, 4, seed=seed)


def example(seed: int) -> np.ndarray:
    """Return an input of shape (8, 12, 32)."""
    return np.random.default_rng(seed).normal(size=(8, 12, 32)).astype(np.float32)


def trained(seed: int) -> np.ndarray:
    """Return the outputs of a layer after ten steps of training."""
    layer, optimizer, x = new_layer(seed), Adam(learning_rate=0.003), example(seed)
    for _ in range(10):
        y = layer(x)
        optimizer.step(layer, layer.backward(x, 2 * y / y.size))
    return np.asarray(layer(x))


def saved_and_loaded(seed: int, path: Path) -> np.ndarray:
    """Return the outputs of a layer that was written to `path` and read again."""
    new_layer(seed).save(path)
    return np.asarray(MemoryAugmentedAttention.load(path)(example(seed)))


def series() -> pd.DataFrame:
    """Return twelve monthly series of five years."""
    rng = np.random.default_rng(0)
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    season = 0.3 * np.sin(2 * np.pi * np.arange(60) / 12)
    frames = [
        pd.DataFrame(
            {
                "unique_id": f"series {k}",
                "ds": months,
                "y": np.exp(3 + season + 0.03 * rng.normal(size=60).cumsum()),
            }
        )
        for k in range(12)
    ]
    return pd.concat(frames, ignore_index=True)


def forecasts(forecaster: Forecaster) -> np.ndarray:
    """Return the forecasts and their intervals as numbers."""
    return np.asarray(forecaster.predict(level=[80]).select_dtypes("number"))


def fitted_and_loaded(frame: pd.DataFrame, path: Path) -> np.ndarray:
    """Return the forecasts of a forecaster that was fitted, written to `path` and read again."""
    Forecaster(6, steps=20).fit(frame).save(path)
    return forecasts(Forecaster.load(path))


class Server(ThreadingHTTPServer):
    """Answers a POST of float32 numbers with the output of a layer that all requests share."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, layer: MemoryAugmentedAttention) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                x = np.frombuffer(body, np.float32).reshape(1, -1, 32)
                answer = np.asarray(layer(x)).tobytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


def asked(server: Server, x: np.ndarray) -> np.ndarray:
    """Return the server's answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PAUSE)
    try:
        connection.request("POST", "/", x.tobytes())
        answer = connection.getresponse().read()
    finally:
        connection.close()
    return np.frombuffer(answer, np.float32).reshape(x.shape)


def equal_to_first(work: Callable[[], np.ndarray]) -> Task:
    """Do the work once now; the task repeats it and compares all bits."""
    expected = work().tobytes()
    return lambda: work().tobytes() == expected


def tasks(folder: Path, server: Server) -> dict[str, Task]:
    """Return the work of each thread, by name."""
    frame = series()
    fitted = Forecaster(6, steps=20).fit(frame)
    x = example(7)[:1]
    return {
        "train 1": equal_to_first(lambda: trained(1)),
        "train 2": equal_to_first(lambda: trained(2)),
        "save and load 1": equal_to_first(lambda: saved_and_loaded(3, folder / "3.safetensors")),
        "save and load 2": equal_to_first(lambda: saved_and_loaded(4, folder / "4.safetensors")),
        "fit": equal_to_first(lambda: fitted_and_loaded(frame, folder / "forecaster")),
        "forecast": equal_to_first(lambda: forecasts(fitted)),
        "serve 1": equal_to_first(lambda: asked(server, x)),
        "serve 2": equal_to_first(lambda: asked(server, 2 * x)),
    }


# --- The threads ------------------------------------------------------------------------------


class Workers:
    """A thread for each task, which repeats it and can be paused."""

    def __init__(self, work: dict[str, Task]) -> None:
        self.done = dict.fromkeys(work, 0)
        self.wrong: list[str] = []
        self._changed = threading.Condition()
        self._paused = False
        self._stopped = False
        self._idle = 0
        self._threads = [
            threading.Thread(target=self._repeat, args=item, name=item[0]) for item in work.items()
        ]
        for thread in self._threads:
            thread.start()

    def _repeat(self, name: str, task: Task) -> None:
        while self._may_go_on():
            try:
                right = task()
            except Exception as error:  # a thread must not end unnoticed
                self.wrong.append(f"{name}: {type(error).__name__}: {error}")
                continue
            self.done[name] += 1
            if not right:
                self.wrong.append(f"{name}: other bits than the first time")

    def _may_go_on(self) -> bool:
        with self._changed:
            self._idle += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or not self._paused)
            self._idle -= 1
            return not self._stopped

    def pause(self) -> None:
        """Wait until every thread has ended its piece of work."""
        with self._changed:
            self._paused = True
            if not self._changed.wait_for(lambda: self._idle == len(self._threads), PAUSE):
                raise TimeoutError(f"a thread did not pause within {PAUSE:.0f} s")

    def go_on(self) -> None:
        """End a pause."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def stop(self) -> None:
        """End the threads."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()


# --- What is watched --------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """The resources of the process while its threads pause."""

    seconds: float
    memory: int  # resident bytes
    descriptors: int
    threads: int


def status_of_process() -> dict[str, str]:
    """Return /proc/self/status as a dictionary."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def sample(begin: float, threads: int) -> Sample:
    """Measure the process after the server's request threads have ended."""
    patience = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < patience:
        time.sleep(0.01)
    gc.collect()
    status = status_of_process()
    return Sample(
        time.monotonic() - begin,
        int(status["VmRSS"].split()[0]) * 1024,
        len(list(Path("/proc/self/fd").iterdir())),
        int(status["Threads"]),
    )


def verdict(samples: Sequence[Sample], minutes: float, wrong: Sequence[str]) -> list[str]:
    """Return the problems found, as text."""
    found = [f"{len(wrong)} pieces of work went wrong; the first: {wrong[0]}"] if wrong else []
    warm = next((s for s in samples if s.seconds >= WARM_UP * minutes * 60), None)
    last = samples[-1]
    if warm is None or warm is last:
        return [*found, "the run ended before its warm-up did"]
    growth = last.memory / warm.memory - 1
    print(f"memory since {warm.seconds:.0f} s: {growth:+.2%}")
    if not growth <= MAX_GROWTH:
        found.append(f"memory grew by {growth:.2%}, expected at most {MAX_GROWTH:.0%}")
    for name in ("descriptors", "threads"):
        before, after = getattr(warm, name), getattr(last, name)
        if before != after:
            found.append(f"{name}: {before} after the warm-up, {after} at the end")
    return found


def soak(minutes: float, every: float) -> list[str]:
    """Run for `minutes`, with a table row every `every` seconds; return the problems found."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as folder, Server(new_layer(0)) as server:
        serving = threading.Thread(target=server.serve_forever, name="server")
        serving.start()
        workers = Workers(tasks(Path(folder), server))
        threads = threading.active_count()
        print(
            f"{'seconds':>8}{'memory':>11}{'descriptors':>13}{'threads':>9}{'work':>10}{'wrong':>7}"
        )
        begin = time.monotonic()
        try:
            while not samples or samples[-1].seconds < minutes * 60:
                left = minutes * 60 - (time.monotonic() - begin)
                time.sleep(max(0.0, min(every, left)))
                workers.pause()
                now = sample(begin, threads)
                workers.go_on()
                samples.append(now)
                print(
                    f"{now.seconds:8.0f}{now.memory / 2**20:7.1f} MiB{now.descriptors:13}"
                    f"{now.threads:9}{sum(workers.done.values()):10}{len(workers.wrong):7}",
                    flush=True,
                )
        finally:
            workers.stop()
            server.shutdown()
            serving.join()
    print(*(f"{name}: {count}" for name, count in workers.done.items()), sep="  ")
    idle = [f"{name} was never done" for name, count in workers.done.items() if count == 0]
    return idle + verdict(samples, minutes, workers.wrong)


def main() -> int:
    """Parse the command line and soak; return 1 if something went wrong."""
    parser = argparse.ArgumentParser("python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between rows")
    options = parser.parse_args()
    memattn.set_num_threads(2)
    found = soak(options.minutes, options.every)
    print(*(found or ["all is well"]), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
