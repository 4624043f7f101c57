"""The machine, the instruction sets and the commit of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def _first(path: str, key: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    values = [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
    return values[0] if values else ""


def _vectors(flags: str) -> str:
    wanted = ("sse4_1", "avx2", "fma", "avx512f", "avx512vl", "avx512_bf16", "asimd", "sve", "sve2")
    return " ".join(flag for flag in wanted if flag in flags.split())


def describe() -> dict[str, Any]:
    """Return a short description of the machine."""
    cpu = "/proc/cpuinfo"
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    family, model = _first(cpu, "cpu family"), _first(cpu, "model\t")
    return {
        "processor": _first(cpu, "model name") or platform.machine(),
        "family": f"family {family}, model {model}" if family else "",
        "vectors": _vectors(_first(cpu, "flags") or _first(cpu, "Features")),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "kernel": platform.release().partition("-")[0],
        "governor": governor.read_text().strip() if governor.exists() else "not shown",
        "virtual": "hypervisor" in _first(cpu, "flags").split(),
    }


def commit(root: Path) -> str:
    """Return the tree's commit, with "+" if files differ from it; empty without git."""
    try:
        head, changes = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "--untracked-files=no"],
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changes else "")
