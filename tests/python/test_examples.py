"""Every program in examples/python runs, and prints what the documents say.

Programs that need a host have its name as a prefix and run in its environment, where
scripts/lib/hosts.sh sets MEMATTN_TEST_HOST. All others run where NumPy is enough. A program with
its own test in hosts/ runs there.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOST_OF_PREFIX = {"keras": ("keras2", "keras3"), "torch": ("torch",), "jax": ("jax",)}
HOST = os.environ.get("MEMATTN_TEST_HOST")
# A warning from Keras 3 with NumPy 2 when it reads a variable of TensorFlow.
WARNING_OF_KERAS = "__array__ implementation doesn't accept a copy keyword"
HOSTS = Path(__file__).parent / "hosts"
EXAMPLES = [
    path
    for path in sorted((Path(__file__).resolve().parents[2] / "examples/python").glob("*.py"))
    if HOST in HOST_OF_PREFIX.get(path.stem.partition("_")[0], (None,))
    and not (HOSTS / f"test_{path.name}").exists()
]


def test_the_host_has_examples() -> None:
    assert EXAMPLES


def test_the_first_example_of_a_host_is_short() -> None:
    prefix = next((p for p, hosts in HOST_OF_PREFIX.items() if HOST in hosts), "numpy")
    first = EXAMPLES[0].with_name(f"{prefix}_layer.py")
    assert len(first.read_text().splitlines()) < 40


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    options = ["-W", "error", "-W", f"ignore:{WARNING_OF_KERAS}:DeprecationWarning"]
    command = [sys.executable, *options, str(example), "--steps", "200"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not result.stderr or HOST == "keras3"  # TensorFlow reports that it has no GPU
    if example.stem == "memory_from_zeros":
        _, zeros, normal = (line.split() for line in result.stdout.splitlines())
        assert zeros[3] == "0"  # all slots are equal to the last bit
        assert float(zeros[2]) > 0.95 * float(zeros[1])
        assert float(normal[2]) < 0.5 * float(normal[1])
    if example.stem == "forecast_with_covariates":
        lines = result.stdout.splitlines()
        known, alone = (float(line.rpartition(" ")[2]) for line in lines[:2])
        assert known < 0.8 * alone
        sold = [
            float(line.split()[2]) for line in lines if line.startswith("price ") and ":" in line
        ]
        assert sold == sorted(sold, reverse=True)
        assert sold[0] > 1.1 * sold[-1]
