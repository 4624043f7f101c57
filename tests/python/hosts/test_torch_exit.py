"""A process with PyTorch may exit while a thread computes a layer, forward or backward.

PyTorch's own operators abort a process that exits while a daemon thread runs them. So each thread
here makes one call of the kernels, which begins before the process exits and would end long after.
"""

import functools
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..sampling import LONG

# Runs each program of the folder in a fork, and prints the exit code and output of each, as JSON.
# A fork does not import PyTorch again, and exits as any other process: through the interpreter's
# end and the destructors.
RUNNER = """
import json, os, pathlib, signal, sys, threading, time
import torch
from memattn.torch import CrossAttention, HierarchicalAttention, MemoryAugmentedAttention
from memattn.torch.kinds import CROSS, HIERARCHICAL, MEMORY

found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    output = path.with_suffix(".out")
    if not (child := os.fork()):
        signal.alarm(240)
        for stream in (1, 2):
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        exec(compile(path.read_text(), path, "exec"))
        break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found[path.stem] = code, output.read_text()
else:
    print(json.dumps(found))
"""

PROLOGUE = """
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


CASES = tuple(itertools.product(LAYERS, PROGRAMS))


@functools.cache
def outcomes(folder: Path, *cases: tuple[str, str]) -> dict[str, list[object]]:
    """Return the exit code and the output of each case, all of them forked by one process."""
    for layer, name in cases:
        code = f"{PROLOGUE.replace('LAYER', LAYERS[layer])}\n{PROGRAMS[name]}\nprint('end')"
        (folder / f"{layer} {name}.py").write_text(code)
    command = [sys.executable, "-W", "ignore", "-c", RUNNER, folder]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    found: dict[str, list[object]] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.mark.parametrize(("layer", "name"), CASES)
def test_a_process_exits_cleanly_while_a_thread_computes(
    layer: str, name: str, programs: Path, tmp_path: Path
) -> None:
    """The long form imports PyTorch again for each case."""
    found = outcomes(tmp_path, (layer, name)) if LONG else outcomes(programs, *CASES)
    assert found[f"{layer} {name}"] == [0, "end\n"]


def test_a_program_leaks_nothing_at_exit(tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # torch.compile reads the source
    program.write_text(
        "import torch\nfrom memattn import _memattn\n"
        "from memattn.torch import CrossAttention, HierarchicalAttention\n"
        "from memattn.torch import MemoryAugmentedAttention\n"
        "_memattn.set_leak_warnings(True)\n"
        "x = torch.ones(1, 2, 4)\n"
        "for kind, inputs in (\n"
        "    (lambda: MemoryAugmentedAttention(4, 3, 2), (x,)),\n"
        "    (lambda: CrossAttention(4, 2), (x, x)),\n"
        "    (lambda: HierarchicalAttention(4, 2), (x, x)),\n"
        "):\n"
        "    layers = [kind() for _ in range(3)]\n"
        "    alive = layers[0](*inputs)\n"
        "    layers[1](*inputs).sum().backward()\n"
        "    torch.compile(layers[2], backend='aot_eager')(*inputs).sum().backward()\n"
    )
    result = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
