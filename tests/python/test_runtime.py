"""The instruction set in use, and the memory that a thread holds, from Python."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import memattn


def in_a_thread(function: object) -> list[object]:
    """Return the result of the function in a new thread."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found


def test_scratch_belongs_to_its_thread_and_can_be_released() -> None:
    layer = memattn.MemoryAugmentedAttention(16, 20, 4, seed=0)
    x = np.ones((4, 50, 16), np.float32)
    expected = layer(x)

    def hold_and_release() -> list[int]:
        sizes = [memattn.scratch_bytes()]
        layer(x)
        sizes.append(memattn.scratch_bytes())
        layer.backward(x, x)
        sizes.append(memattn.scratch_bytes())
        memattn.release_scratch()
        sizes.append(memattn.scratch_bytes())
        np.testing.assert_array_equal(layer(x), expected)
        sizes.append(memattn.scratch_bytes())
        return sizes

    before, forward, backward, released, again = in_a_thread(hold_and_release)[0]
    assert before == released == 0
    assert 0 < forward < backward
    assert again == forward


def active_isa(forced: str | None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "MEMATTN_FORCE_ISA"}
    if forced is not None:
        environment["MEMATTN_FORCE_ISA"] = forced
    code = "import memattn; print(memattn.active_isa())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_the_best_or_the_forced_instruction_set_is_used() -> None:
    best = active_isa(None).stdout.strip()
    assert best in {"avx3_bf16", "avx3", "avx2", "sse4", "neon", "scalar"}
    assert active_isa(best).stdout.strip() == best
    assert active_isa("scalar").stdout.strip() == "scalar"
    found = active_isa("abacus")
    assert found.returncode == 1
    assert "ValueError" in found.stderr
    assert "abacus" in found.stderr


@pytest.mark.parametrize("name", ["active_isa", "scratch_bytes", "release_scratch"])
def test_the_functions_are_exported_and_documented(name: str) -> None:
    assert name in memattn.__all__
    assert getattr(memattn, name).__doc__
