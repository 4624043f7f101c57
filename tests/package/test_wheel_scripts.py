"""The shell functions that build wheels, on machines where a tool or step fails."""

import platform
import subprocess
from pathlib import Path

import pytest

from .commands import ROOT


def program(path: Path, *lines: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path


def shell(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Run functions of scripts/lib/wheels.sh in another folder, to which they write."""
    if not (folder / "scripts").exists():
        (folder / "scripts").symlink_to(ROOT / "scripts")
    sources = "set -euo pipefail; source scripts/lib/setup.sh; source scripts/lib/wheels.sh"
    return subprocess.run(
        ["bash", "-c", f"{sources}; {script}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("zig", "status"), [(["echo zig broke >&2", "exit 3"], 3), (["exit 0"], 1)]
)
def test_a_failed_zig_build_leaves_no_glibc(tmp_path: Path, zig: list[str], status: int) -> None:
    program(tmp_path / "tools" / "bin" / "python", *zig)
    done = shell(tmp_path, "VENV=tools; stubs=$(glibc_stubs x86_64) || exit; echo $stubs")
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr
    assert not list(tmp_path.glob("build/glibc/*-2.28"))


@pytest.mark.parametrize("command", ["mkdir", "cp", "ln", "rm", "mv"])
def test_a_failed_step_leaves_no_glibc(tmp_path: Path, command: str) -> None:
    names = [f"{name}.so.1" for name in ("libc", "libm", "libdl", "librt", "libutil")]
    names += ["libpthread.so.0", "libld.so.2", "libc_nonshared.a"]
    program(
        tmp_path / "tools" / "bin" / "python",
        "mkdir -p $ZIG_LOCAL_CACHE_DIR/o/1",
        f"cd $ZIG_LOCAL_CACHE_DIR/o/1 && touch {' '.join(names)}",
    )
    stubs = "VENV=tools; stubs=$(glibc_stubs x86_64) || exit; echo $stubs"
    works = shell(tmp_path, stubs)
    folder = tmp_path / "build" / "glibc" / "x86_64-2.28"
    assert (works.returncode, works.stdout) == (0, f"{folder}\n")
    assert (folder / "libm.so").readlink() == Path("libm.so.1")
    other = tmp_path / "other"
    other.mkdir()
    (other / "tools").symlink_to(tmp_path / "tools")
    done = shell(other, f"{command}() {{ return 7; }}; {stubs}")
    assert (done.returncode, done.stdout) == (7, "")
    assert not (other / "build" / "glibc" / "x86_64-2.28").exists()


def test_a_failed_environment_is_an_error(tmp_path: Path) -> None:
    python = program(tmp_path / "python", "case $1 in -c) echo 3.99 ;; *) exit 5 ;; esac")
    program(tmp_path / "tools" / "bin" / "python", "echo 3.11")
    done = shell(tmp_path, f"VENV=tools; python=$(building_python {python}) || exit; echo $python")
    assert (done.returncode, done.stdout) == (5, "")


def test_headers_for_arm_have_a_complete_pyconfig(tmp_path: Path) -> None:
    """Debian's pyconfig.h includes one for the processor; other Pythons have a single file."""
    headers = tmp_path / "include" / "python3.11"
    headers.mkdir(parents=True)
    for name in ("Python.h", "pyconfig.h"):
        (headers / name).touch()
    python = program(tmp_path / "python", f"echo {headers}")
    done = shell(tmp_path, f"headers_for_arm {python}")
    assert (done.returncode, done.stdout) == (0, f"{headers}\n")

    config = headers.parent / f"{platform.machine()}-linux-gnu" / "python3.11" / "pyconfig.h"
    config.parent.mkdir(parents=True)
    config.touch()
    done = shell(tmp_path, f"headers_for_arm {python}")
    linked = tmp_path / "build" / "headers" / "python3.11"
    assert (done.returncode, done.stdout) == (0, f"{linked}\n")
    assert (linked / "Python.h").readlink() == headers / "Python.h"
    assert (linked / "pyconfig.h").readlink() == config

    program(python, "exit 6")
    assert shell(tmp_path, f"(cross_to_arm {python}) || exit").returncode == 6
