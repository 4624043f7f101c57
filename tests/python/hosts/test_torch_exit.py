"""A process with PyTorch may end at any moment while threads use the layer, backward too."""

import os
import subprocess
import sys

import pytest

RUNS = 10 if os.environ.get("MEMATTN_LONG_TESTS") == "1" else 3

PROLOGUE = """
import os, sys, threading, time
import torch
from memattn.torch import MemoryAugmentedAttention

layer = MemoryAugmentedAttention(16, 20, 4, seed=0)
x = torch.ones(32, 20, 16)

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

def train():
    layer(x).square().mean().backward()

def leave(rank):
    in_threads(train, 1)
"""

PROGRAMS = {
    "forward": "in_threads(lambda: layer(x))",
    "backward": "in_threads(train)",
    "a graph that is kept": "loss = layer(x).sum(); in_threads(train)",
    "checkpointing": (
        "from torch.utils.checkpoint import checkpoint\n"
        "x.requires_grad_()\n"
        "in_threads(lambda: checkpoint(layer, x, use_reentrant=True).sum().backward())"
    ),
    "changed weights": (
        "def change():\n"
        "    with torch.no_grad():\n"
        "        layer.memory.mul_(0.99)\n"
        "    train()\n"
        "in_threads(change, 2)"
    ),
    "processes": (
        "import torch.multiprocessing\n"
        "torch.multiprocessing.start_processes(leave, nprocs=2, start_method='fork')"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_ends_as_its_program_does(name: str) -> None:
    code = f"{PROLOGUE}\n{PROGRAMS[name]}\nprint('end')"
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(run)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in range(RUNS)
    ]
    try:
        for child in children:
            stdout, stderr = child.communicate(timeout=240)
            assert (child.returncode, stdout, stderr) == (0, "end\n", "")
    finally:
        for child in children:
            child.kill()
            child.communicate()
