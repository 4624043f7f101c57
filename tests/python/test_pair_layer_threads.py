"""The layers of two inputs and threads: their own, Python's, and at the end of the process."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import memattn

from .pairs import CLASSES, both, equal, inputs, small


@both
def test_results_do_not_depend_on_the_number_of_threads(kind: str) -> None:
    layer = CLASSES[kind](32, 4, seed=1)
    x = np.random.default_rng(0).standard_normal((48, 20, 32)).astype("float32")
    before = memattn.num_threads()
    results = []
    for threads in (1, 2, 5):
        memattn.set_num_threads(threads)
        y, scores = layer(x, x[::-1], return_attention_scores=True)
        results.append((y, scores, layer.backward(x, x[::-1], y)))
    memattn.set_num_threads(before)
    for result in results[1:]:
        equal(result, results[0])


def run_in_threads(compute: object, change: object, count: int = 4) -> None:
    """Call compute() in threads while change(i) runs in this one."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            compute()

    threads = [threading.Thread(target=loop) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        for i in range(60):
            change(i)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@both
@pytest.mark.parametrize("batch", [1, 32])
def test_concurrent_calls_are_consistent_while_weights_change(kind: str, batch: int) -> None:
    layer = small(kind)
    first, second = inputs(kind, batch=batch, steps=2 if batch == 1 else 20)
    states = [layer.get_weights(), small(kind, seed=2).get_weights()]
    results = []
    for state in states:
        layer.set_weights(state)
        results.append(layer(first, second))
    assert not np.array_equal(*results)
    wrong = []

    def compute() -> None:
        y = layer(first, second)
        if not any(np.array_equal(y, result) for result in results):
            wrong.append(y)

    run_in_threads(compute, lambda i: layer.set_weights(states[i % 2]))
    assert not wrong
    equal(layer(first, second), results[1])


@both
def test_a_brief_call_keeps_the_gil_and_a_long_call_releases_it(kind: str) -> None:
    layer = CLASSES[kind](64, 4, seed=1)
    brief, long = np.ones((1, 1, 64), np.float32), np.ones((64, 50, 64), np.float32)
    layer(brief, brief)  # folding is not brief
    turns, stop = 0, False

    def count() -> None:
        nonlocal turns
        while not stop:
            turns += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # from here on a thread gets the GIL only if another releases it
    thread = threading.Thread(target=count)
    thread.start()
    try:
        before = turns
        for _ in range(200):
            layer(brief, brief)
        assert turns == before
        for _ in range(50):
            layer(long, long)
            if turns > before:
                break
        assert turns > before
        layer.set_weights(layer.get_weights())
        before = turns
        for _ in range(200):  # the first of them folds
            layer.set_weights({})
            layer(brief, brief)
            if turns > before:
                break
        assert turns > before
    finally:
        stop = True
        sys.setswitchinterval(interval)
        thread.join()


def test_nothing_leaks_at_exit() -> None:
    code = (
        "import memattn, numpy as np\n"
        "from memattn import _memattn; _memattn.set_leak_warnings(True)\n"
        "x = np.ones((2, 3, 4), np.float32)\n"
        "for kind in (memattn.CrossAttention, memattn.HierarchicalAttention):\n"
        "    layer = kind(4, 2, seed=1)\n"
        "    layer.backward(x, x, layer(x, x))\n"
        "    try:\n        layer(x, x[..., :2])\n"
        "    except ValueError as error:\n        kept = error\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
