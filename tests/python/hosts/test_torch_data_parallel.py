"""With DistributedDataParallel, two processes train the same weights as one process."""

import subprocess
import sys
from pathlib import Path

import torch

from memattn.torch import MemoryAugmentedAttention

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/python/torch_data_parallel.py"
STEPS = 40


def two_processes(file: Path) -> dict[str, torch.Tensor]:
    """Return the weights that the example trains in two processes, over loopback."""
    options = ["--steps", str(STEPS), "--processes", "2", "--save", str(file)]
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *options],
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("2 processes, loss of the first part after 40 steps: 0.")
    return torch.load(file)


def one_process() -> dict[str, torch.Tensor]:
    """Return the weights of the same training in this process, on whole batches."""
    model = MemoryAugmentedAttention(16, 20, 4, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    x = torch.randn(32, 10, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), x + torch.sin(2 * x)).backward()
        optimizer.step()
    return model.state_dict()


def test_two_processes_train_the_weights_of_one(tmp_path: Path) -> None:
    one, two = one_process(), two_processes(tmp_path / "weights.pt")
    assert list(one) == list(two)
    for name, weight in one.items():
        error = (weight - two[name]).abs().max()
        assert error <= 1e-6 * max(1, weight.abs().max()), name
    start = MemoryAugmentedAttention(16, 20, 4, seed=0).state_dict()
    assert (one["memory"] - start["memory"]).abs().max() > 1e-2  # training changed the weights
