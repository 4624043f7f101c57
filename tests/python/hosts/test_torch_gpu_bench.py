"""bench.torch_gpu on the CPU: its contestants agree, and it runs up to the line of the table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "bench.torch_gpu", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )


def test_without_a_cuda_device_it_is_an_error() -> None:
    result = run()
    assert (result.returncode, result.stdout) == (1, "")
    assert "found no CUDA device; run it where torch.cuda.is_available(), or" in result.stderr


def test_an_unknown_shape_is_an_error() -> None:
    result = run("--shapes", "docs,tiny")
    assert result.returncode == 2
    assert "found 'tiny', expected huge, docs, big" in result.stderr


@pytest.mark.parametrize("part", ["check", "contestants"])
def test_a_fallback_backend_is_not_timed_as_triton(part: str) -> None:
    """A layer that cannot use the requested Triton kernels falls back; the bench notices."""
    more = ', "step", ("eager",)' if part == "contestants" else ""
    code = (
        "import sys, torch\n"
        "from bench import torch_gpu\n"
        "smoke = sys.argv[1] == 'smoke'\n"
        "given = torch_gpu.SMOKE['smoke'], torch.bfloat16, torch.device('cpu')\n"
        f"torch_gpu.{part}(*given{more}, smoke=smoke)\n"
        "print('computed')\n"
    )
    results = [
        subprocess.run(
            [sys.executable, "-c", code, how],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "TRITON_INTERPRET": "0"},
        )
        for how in ("smoke", "measured")
    ]
    assert [result.stdout for result in results] == ["computed\n", ""], results[0].stderr
    assert results[1].returncode == 1
    assert results[1].stderr.startswith(
        "bench.torch_gpu: memattn, Triton: not computed here, but by plain: "
    )
    assert "need an NVIDIA GPU, not a tensor on cpu" in results[1].stderr


def test_the_smoke_run_times_all_contestants() -> None:
    result = run("--smoke", "--dtypes", "bf16")
    assert result.returncode == 0, result.stderr  # a contestant with wrong values ends the run
    lines = result.stdout.splitlines()
    rows = [line for line in lines if line.startswith("| ") and "mode" not in line]
    forms = ("published", "memory projected once", "memattn, plain", "memattn, Triton")
    for form in forms:  # forward and step, eager and compiled
        assert sum(row.startswith(f"| {form}") for row in rows) == 4, result.stdout
    last = lines[-1].strip("|").split("|")
    assert last[0].strip() == "CPU, no figure counts"
    page = (ROOT / "docs" / "pytorch.md").read_text().split("<!-- timed devices -->")[1]
    assert len(last) == len(page.split("\n\n")[1].splitlines()[0].strip("|").split("|"))
    assert all(float(cell) > 0 for cell in last[1:])
