"""Installs each peer into an environment of its own, .venv-bench/PEER, and keeps it."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-bench"

# The newest Python that a peer has files for, where that is not the present one.
NEWEST_PYTHON = {"fusionlab": (3, 11)}


class MissingPeerError(Exception):
    """A peer that cannot be had, with the reason."""


def requirements_file(peer: str) -> Path:
    """What pip installs for a peer."""
    return ROOT / "requirements" / f"bench-{peer}.txt"


def _version(python: str) -> tuple[int, ...] | None:
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(map(int, result.stdout.split()))


def choose_python(peer: str) -> str:
    """An interpreter that the peer has files for."""
    newest = NEWEST_PYTHON.get(peer)
    candidates = [sys.executable, "python3", "/usr/bin/python3"]
    candidates += [f"python3.{minor}" for minor in range(newest[1] if newest else 14, 9, -1)]
    for python in candidates:
        version = _version(python)
        if version and version >= (3, 10) and (newest is None or version <= newest):
            return python
    wanted = f"3.10 to {newest[0]}.{newest[1]}" if newest else "3.10 or newer"
    raise MissingPeerError(f"needs Python {wanted} with venv, and there is none")


def _reason(output: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[0][:200]


def install(peer: str, log: Path) -> Path:
    """Return the interpreter of the peer's environment, made if it is not there or out of date."""
    folder = FOLDER / peer
    python = folder / "bin" / "python"
    requirements = requirements_file(peer)
    stamp = folder / ".stamp"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    base = choose_python(peer)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    log.parent.mkdir(parents=True, exist_ok=True)
    commands: list[list[str | Path]] = [
        [base, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", "--no-input", "--prefer-binary", "-r", requirements],
    ]
    with log.open("w") as file:
        for command in commands:
            result = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            file.write(result.stdout + result.stderr)
            if result.returncode != 0:
                # Nothing half-installed is kept: the next run begins again.
                shutil.rmtree(folder, ignore_errors=True)
                raise MissingPeerError(_reason(result.stderr or result.stdout))
    stamp.write_text(wanted)
    return python
