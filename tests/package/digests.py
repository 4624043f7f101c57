"""Prints a digest of the kernels' results on each instruction set, to compare two builds.

Without an argument it runs itself once for every instruction set of any machine, and prints the
last line of each run: the digest, or the error that this machine lacks the instruction set.
"""

import hashlib
import os
import subprocess
import sys

import numpy as np

from memattn import Adam, MemoryAugmentedAttention, active_isa
from memattn.forecast import quick

ISAS = ("", "avx3_bf16", "avx3", "avx2", "sse4", "neon", "scalar")  # "": the best of the machine


def main() -> None:
    """Compute on the instruction set in the environment variable, and print the digest."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for units, slots, heads, tokens in ((64, 20, 4, 10), (33, 7, 3, 5), (128, 100, 8, 96)):
            layer = MemoryAugmentedAttention(units, slots, heads, seed=1, dtype=dtype)
            x = rng.normal(size=(3, tokens, units)).astype(dtype)
            optimizer = Adam(learning_rate=0.01)
            for _ in range(2):
                y = layer(x)
                digest.update(y.tobytes())
                optimizer.step(layer, layer.backward(x, y))
            digest.update(layer(x).tobytes())
    layer = MemoryAugmentedAttention(64, 20, 4, seed=1, precision="bfloat16")
    digest.update(layer(rng.normal(size=(3, 10, 64)).astype(np.float32)).tobytes())
    digest.update(quick(100 + rng.normal(size=60).cumsum(), 12, 12).mean.tobytes())
    print(active_isa(), digest.hexdigest())


if __name__ == "__main__":
    if sys.argv[1:] == ["here"]:
        main()
        sys.exit()
    for isa in ISAS:
        result = subprocess.run(
            [sys.executable, __file__, "here"],
            env={**os.environ, "MEMATTN_FORCE_ISA": isa},
            capture_output=True,
            text=True,
            check=False,
        )
        print((result.stdout or result.stderr).strip().splitlines()[-1])
