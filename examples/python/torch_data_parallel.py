"""Trains one model in two processes, each with its part of every batch (data parallelism)."""

import argparse
import os
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from memattn.torch import MemoryAugmentedAttention


def train(rank: int, processes: int, steps: int, save: str) -> None:
    """Trains on this process's part of the batch; the first process prints the loss."""
    model = DistributedDataParallel(MemoryAugmentedAttention(16, 20, 4, seed=0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    x = torch.randn(32, 10, 16, generator=torch.Generator().manual_seed(1)).chunk(processes)[rank]
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(model(x), x + torch.sin(2 * x))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if rank == 0:
        print(f"{processes} processes, loss of the first part after {steps} steps: {loss:.4f}")
        torch.save(model.module.state_dict(), save)


def join(rank: int, folder: str, processes: int, steps: int, save: str) -> None:
    """Runs one process of the group."""
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=processes)
    # train() returns, and so frees the model, before the group ends. A model that is the last owner
    # of the group would stop the group's threads while it holds the GIL, and could deadlock.
    train(rank, processes, steps, save)
    dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--save", default=os.devnull, help="file for the weights")
    options = parser.parse_args()
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # this machine only
    with TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(join, (folder, *vars(options).values()), options.processes)
