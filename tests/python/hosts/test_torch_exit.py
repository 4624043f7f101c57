"""A process with PyTorch may exit while a thread computes a layer, forward or backward.

PyTorch's own operators abort a process that exits while a daemon thread runs them. So each thread
here makes one call of the kernels, which begins before the process exits and would end long after.
"""

import subprocess
import sys

import pytest

PROLOGUE = """
import threading, time
import torch
from memattn.torch import CrossAttention, HierarchicalAttention, MemoryAugmentedAttention
from memattn.torch.kinds import CROSS, HIERARCHICAL, MEMORY

torch.set_num_threads(1)
kind, layer, batch, steps = LAYER  # several seconds in the kernels
def inputs(*shape):
    return [torch.ones(*shape, 64) for _ in kind.inputs]
few = inputs(1, 2)
layer(*few).sum().backward()
begun = threading.Event()

class Signalled:
    # Sets an event, then calls the kernels.
    def __init__(self, name):
        self.hosted = kind.hosted[torch.float32]
        self.call = getattr(self.hosted, name)
        setattr(self, name, self.signalled)
    def __getattr__(self, name):
        return getattr(self.hosted, name)
    def signalled(self, *arguments):
        begun.set()
        return self.call(*arguments)

def forward():
    with torch.no_grad():
        layer(*inputs(batch, steps))

def backward():
    layer(*inputs(batch, steps)).sum().backward()

def start(function):
    kind.hosted[torch.float32] = Signalled(function.__name__)
    threading.Thread(target=function, daemon=True).start()
    begun.wait()
    time.sleep(0.5)

def train(rank):
    layer(*few).sum().backward()
"""

LAYERS = {
    "memory": "MEMORY, MemoryAugmentedAttention(64, 4096, 8, key_dim=8, seed=0), 64, 500",
    "cross": "CROSS, CrossAttention(64, 8, seed=0), 32, 2048",
    "hierarchical": "HIERARCHICAL, HierarchicalAttention(64, 8, seed=0), 16, 2048",
}

PROGRAMS = {
    "forward": "start(forward)",
    "backward": "start(backward)",
    "a graph that is kept": "loss = layer(*few).sum(); start(forward)",
    "processes": (
        "import torch.multiprocessing\n"
        "torch.multiprocessing.start_processes(train, nprocs=2, start_method='fork')"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_process_exits_cleanly_while_a_thread_computes(layer: str, name: str) -> None:
    code = f"{PROLOGUE.replace('LAYER', LAYERS[layer])}\n{PROGRAMS[name]}\nprint('end')"
    command = [sys.executable, "-W", "ignore", "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (child.returncode, child.stdout, child.stderr) == (0, "end\n", "")
