"""DistributedDataParallel: two processes reach the weights that one process reaches."""

import subprocess
import sys
from pathlib import Path

import torch

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/python/torch_data_parallel.py"


def trained(folder: Path, processes: int) -> dict[str, torch.Tensor]:
    """Return the weights after the example's training on so many processes."""
    file = folder / f"{processes}.pt"
    options = ["--steps", "40", "--processes", str(processes), "--save", str(file)]
    result = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return torch.load(file)


def test_two_processes_reach_the_weights_of_one(tmp_path: Path) -> None:
    one, two = trained(tmp_path, 1), trained(tmp_path, 2)
    assert list(one) == list(two)
    for name, weight in one.items():
        error = (weight - two[name]).abs().max()
        assert error <= 1e-6 * max(1, weight.abs().max()), name
    from memattn.torch import MemoryAugmentedAttention

    start = MemoryAugmentedAttention(16, 20, 4, seed=0).state_dict()
    assert (one["memory"] - start["memory"]).abs().max() > 1e-2  # something was learned
