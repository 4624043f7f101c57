"""bench.torch_gpu on the CPU: its contestants agree, and it runs up to the line of the table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench import torch_gpu

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


def test_an_unknown_shape_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        torch_gpu.main(["--shapes", "docs,tiny"])
    assert end.value.code == 2
    assert "found 'tiny', expected huge, docs, big" in capsys.readouterr().err


def test_a_fallback_backend_is_not_timed_as_triton() -> None:
    """A layer that cannot use the requested Triton kernels falls back; the bench notices."""
    code = (
        "import torch\n"
        "from bench import torch_gpu\n"
        "given = torch_gpu.SMOKE['smoke'], torch.bfloat16, torch.device('cpu')\n"
        "for part, more in ('check', ()), ('contestants', ('step', ('eager',))):\n"
        "    for smoke in (True, False):\n"
        "        try:\n"
        "            getattr(torch_gpu, part)(*given, *more, smoke=smoke)\n"
        "            print('computed')\n"
        "        except SystemExit as end:\n"
        "            print(end)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0"},
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[::2] == ["computed", "computed"]  # the smoke test
    assert len(lines) == 4
    for refused in lines[1::2]:
        assert refused.startswith(
            "bench.torch_gpu: memattn, Triton: not computed here, but by plain: "
        )
        assert "need an NVIDIA GPU, not a tensor on cpu" in refused


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.*:FutureWarning")
def test_the_smoke_run_times_all_contestants(capsys: pytest.CaptureFixture[str]) -> None:
    # A contestant with wrong values ends the run.
    assert torch_gpu.main(["--smoke", "--dtypes", "bf16"]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    rows = [line for line in lines if line.startswith("| ") and "mode" not in line]
    forms = ("published", "memory projected once", "memattn, plain", "memattn, Triton")
    for form in forms:  # forward and step, eager and compiled
        assert sum(row.startswith(f"| {form}") for row in rows) == 4, output
    last = lines[-1].strip("|").split("|")
    assert last[0].strip() == "CPU, no figure counts"
    page = (ROOT / "docs" / "pytorch.md").read_text().split("<!-- timed devices -->")[1]
    assert len(last) == len(page.split("\n\n")[1].splitlines()[0].strip("|").split("|"))
    assert all(float(cell) > 0 for cell in last[1:])
