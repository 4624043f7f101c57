"""Measures how libhdf5 behaves when it reads damaged files in the calling process.

    python fuzz/hdf5_in_process.py FILE [--count N]

h5py lists each of N copies of FILE, damaged in one to four bytes, in a separate fork. Prints how
many forks ended in which way, and the peak memory. memattn.convert does not read in this way; this
is the measurement behind that decision (docs/decisions.md).
"""

import argparse
import io
import os
import random
import resource
from collections import Counter
from pathlib import Path

import h5py


def damaged(data: bytes, seed: int) -> bytes:
    """Return a copy with one to four bytes changed."""
    rng = random.Random(seed)
    copy = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(copy))
        copy[at] = rng.choice((copy[at] ^ (1 << rng.randrange(8)), 0xFF, 0))
    return bytes(copy)


def list_all(data: bytes) -> None:
    """Read everything in the file: names, attributes, types and offsets."""
    with h5py.File(io.BytesIO(data), "r") as file:
        dict(file.attrs)

        def visit(name: str, found: h5py.HLObject) -> None:
            dict(found.attrs)
            if isinstance(found, h5py.Dataset):
                _ = found.shape, found.dtype, found.id.get_offset()

        file.visititems(visit)


def outcome(data: bytes) -> tuple[str, int]:
    """Return how a fork that lists the file ends, and its peak memory in kilobytes."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            list_all(data)
        except Exception:
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}", usage.ru_maxrss
    return ("refused" if os.WEXITSTATUS(status) else "read"), usage.ru_maxrss


def main() -> None:
    """Damage, list and count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=1500)
    options = parser.parse_args()
    data = options.file.read_bytes()
    ends: Counter[str] = Counter()
    most = 0
    for seed in range(options.count):
        end, memory = outcome(damaged(data, seed))
        ends[end] += 1
        most = max(most, memory)
    print(f"HDF5 {h5py.version.hdf5_version}: {dict(ends)}, at most {most / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
