"""A process may end at any moment while threads compute; its status and output stay its own.

Programs run in their own processes, several at once so that the machine is busy. To test another
Python, run this file with pytest in an environment that has NumPy and the extension for it.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .sampling import LONG

# The runs of each program; failures happen by chance.
RUNS = 20 if LONG else 2

# The beginning of every program. `in_threads(f)` lets daemon threads call f forever, and returns
# once each has called it.
PROLOGUE = """
import atexit, os, signal, sys, threading, time

def joined():
    if "worker" in globals():
        stopped.set()
        worker.join()
        print("joined", flush=True)

atexit.register(joined)  # before importing memattn, so that it runs after memattn's own

import numpy as np
import memattn
from memattn._memattn import PanelForecaster, set_num_threads

set_num_threads(3)
layer = memattn.MemoryAugmentedAttention(32, 64, 4, seed=1)
token, tokens = np.ones((1, 1, 32), np.float32), np.ones((4, 500, 32), np.float32)
series, offsets = np.exp(np.arange(180) % 7.0), np.arange(7) * 30

def panel(**options):
    sizes = {"units": 8, "memory_size": 4, "num_heads": 2, "min_history": 5, "batch_size": 64}
    return PanelForecaster(horizon=3, season=4, lookbacks=[4], **sizes, **options)

def in_threads(function, count=3):
    started = [threading.Event() for _ in range(count)]
    def loop(event):
        while True:
            function()
            event.set()
    for event in started:
        threading.Thread(target=loop, args=(event,), daemon=True).start()
    for event in started:
        event.wait()
    time.sleep(int(sys.argv[1]) % 10 * 0.007)
"""


@dataclass
class Program:
    """The code after the prologue, and the expected end of the process."""

    code: str
    status: int = 0
    stdout: str = "end\n"
    stderr: str = ""


FIT = """
def fit(progress):
    panel(steps=10**9).fit(series, offsets, progress)
def report(step, steps, loss):
    begun.set()
    for _ in range(20_000):  # Python code, in which the interpreter may end the thread
        pass
begun = threading.Event()
"""

SERVER = """
import http.server, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        y = layer(tokens)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(y.tobytes())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
def ask():
    try:
        urllib.request.urlopen(url).read()
    except OSError:
        pass
"""

PROGRAMS = {
    "large calls": Program("in_threads(lambda: layer(tokens)); print('end')"),
    "calls of one token": Program("in_threads(lambda: layer(token)); print('end')"),
    "calls with options": Program(
        "in_threads(lambda: layer(tokens, use_causal_mask=True, return_attention_scores=True))\n"
        "print('end')"
    ),
    "backward": Program("in_threads(lambda: layer.backward(tokens, tokens)); print('end')"),
    "optimizer steps": Program(
        "optimizer = memattn.Adam()\n"
        "gradients = layer.backward(token, token)\n"
        "in_threads(lambda: (layer(tokens), optimizer.step(layer, gradients)), 1); print('end')"
    ),
    "new layers": Program(
        "in_threads(lambda: memattn.MemoryAugmentedAttention(8, 4, 2).summary()); print('end')"
    ),
    "files": Program(
        "path = sys.argv[2] + '/layer.safetensors'\n"
        "layer.save(path)\n"
        "in_threads(lambda: memattn.MemoryAugmentedAttention.load(path)); print('end')"
    ),
    "errors": Program(
        "def wrong():\n"
        "    try:\n"
        "        layer._core.set_parameters(np.zeros(3, np.float32))\n"
        "    except ValueError:\n"
        "        pass\n"
        "in_threads(wrong); print('end')"
    ),
    "fit": Program(
        FIT + "threading.Thread(target=fit, args=(None,), daemon=True).start()\n"
        "time.sleep(0.1); print('end')"
    ),
    "fit with progress in Python": Program(
        FIT + "threading.Thread(target=fit, args=(report,), daemon=True).start()\n"
        "begun.wait(); time.sleep(int(sys.argv[1]) % 10 * 0.02); print('end')"
    ),
    "predict": Program(
        "model = panel(steps=2); model.fit(series, offsets)\n"
        "all, times = np.arange(6), np.full(6, 30)\n"
        "in_threads(lambda: model.predict(series, offsets, all, times)); print('end')"
    ),
    "sys.exit in a signal handler": Program(
        "def stop(*_):\n"
        "    print('end'); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "in_threads(lambda: layer(tokens)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)",
        status=3,
    ),
    "Ctrl-C": Program(
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background\n"
        "in_threads(lambda: layer(tokens))\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(9)\n"
        "except KeyboardInterrupt:\n"
        "    print('end'); sys.exit(130)",
        status=130,
    ),
    "a message to exit with": Program(
        "in_threads(lambda: layer(tokens)); sys.exit('over')", 1, stdout="", stderr="over\n"
    ),
    "os._exit": Program(
        "in_threads(lambda: layer(tokens)); print('end', flush=True); os._exit(4)", status=4
    ),
    "a server with threads": Program(SERVER + "in_threads(ask); print('end')"),
    "calls at exit": Program(
        "atexit.register(lambda: print(layer(tokens).shape))\n"
        "in_threads(lambda: layer(tokens)); print('end')",
        stdout="end\n(4, 500, 32)\n",
    ),
    # Waits here forever if a library parks threads as soon as exit functions run.
    "a thread that is joined at exit": Program(
        "stopped = threading.Event()\n"
        "def work():\n"
        "    while not stopped.is_set():\n"
        "        layer(tokens)\n"
        "worker = threading.Thread(target=work, daemon=True); worker.start()\n"
        "in_threads(lambda: layer(token)); print('end')",
        stdout="end\njoined\n",
    ),
    "a pool of threads": Program(
        "from multiprocessing.pool import ThreadPool\n"
        "pool = ThreadPool(3)\n"
        "found = pool.imap_unordered(layer, [tokens] * 10_000)\n"
        "next(found); print('end')"
    ),
    "a thread that is waited for": Program(
        "def last():\n"
        "    time.sleep(0.1); layer(tokens); print('end', flush=True); sys.exit(3)\n"
        "threading.Thread(target=last).start()\n"
        "in_threads(lambda: layer(tokens))"
    ),
    "a child of fork": Program(
        "in_threads(lambda: layer(tokens))\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    in_threads(lambda: layer(tokens)); sys.exit(5)\n"
        "print('end', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        stdout="end 5\n",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_ends_with_the_status_and_output_of_its_program(
    name: str, tmp_path: Path
) -> None:
    program = PROGRAMS[name]
    # Python 3.12 warns of a fork beside threads.
    command = [sys.executable, "-W", "ignore", "-c", PROLOGUE + program.code]
    children = [
        subprocess.Popen(
            [*command, str(run), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in range(RUNS)
    ]
    try:
        for child in children:
            stdout, stderr = child.communicate(timeout=120)
            assert (child.returncode, stdout, stderr) == (
                program.status,
                program.stdout,
                program.stderr,
            )
    finally:
        for child in children:
            child.kill()
            child.communicate()


def end_with_a_leak(prologue: str) -> str:
    code = (
        f"{prologue}\nimport ctypes, memattn\n"
        "layer = memattn.MemoryAugmentedAttention(4, 3, 2)\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(layer._core))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0
    return child.stderr


def test_leaks_are_reported_only_on_request() -> None:
    assert end_with_a_leak("") == ""
    asked = "from memattn import _memattn; _memattn.set_leak_warnings(True)"
    assert "leaked 1 instances" in end_with_a_leak(asked)


def test_no_object_leaks_at_exit() -> None:
    code = (
        PROLOGUE + "from memattn import _memattn; _memattn.set_leak_warnings(True)\n"
        "model = panel(steps=3)\n"
        "model.fit(series, offsets, lambda *_: True); model.training_state()\n"
        "model.predict(series, offsets, np.arange(6), np.full(6, 30))\n"
        "def fail(*_): raise LookupError\n"
        "try: panel(steps=3).fit(series, offsets, fail)\n"
        "except LookupError: pass\n"
        "optimizer = memattn.AdamW()\n"
        "for x in (token, tokens):\n"
        "    layer(x, out=x.copy()); layer(x, return_attention_scores=True, training=True)\n"
        "    optimizer.step(layer, layer.backward(x, x))\n"
        "for wrong in (lambda: layer(token[0]), lambda: layer._core.set_parameters(token)):\n"
        "    try: wrong()\n"
        "    except (TypeError, ValueError): pass\n"
        "hosted = _memattn.HostedFloat32(layer._core.config_json())\n"
        "weights = [np.ascontiguousarray(w) for w in layer.get_weights()]\n"
        "folded = hosted.fold([w.ctypes.data for w in weights], 1)\n"
        "threads = [threading.Thread(target=layer, args=(tokens,)) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")
