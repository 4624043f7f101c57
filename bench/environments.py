"""Makes and maintains a separate environment, .venv-hosts/NAME, for each host and each peer.

A host is a framework that memattn has layers for, an engine is one whose tables it reads, and an
adapter connects it to a forecasting library; scripts/test runs their tests there. A peer is a
runtime that scripts/bench measures; a framework that is both host and peer has one environment.
Frameworks pin versions that conflict with others, so none can be installed into .venv.

    python -m bench.environments NAME...    makes them and prints their interpreters
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv-hosts"
LOGS = ROOT / "build" / "logs"

ENGINES = ("dask", "ray", "spark", "fugue")
ADAPTERS = ("sktime", "darts", "fev", "nixtla")
HOSTS = ("keras2", "keras3", "torch", "jax")
# The hosts in which peers of another name run; the peers torch and jax have their host's name.
HOST_OF_PEER = {"fusionlab": "keras2", "tensorflow": "keras3"}
# The newest Python that an environment has wheels for, if that is not the current one.
NEWEST_PYTHON = {"keras2": (3, 11)}


class MissingEnvironmentError(Exception):
    """An environment that cannot be made, with the reason."""


def requirements_file(name: str) -> Path:
    """Return the requirements file that pip installs into an environment."""
    kinds = {"host": HOSTS, "engine": ENGINES, "adapter": ADAPTERS}
    kind = next((kind for kind, names in kinds.items() if name in names), "bench")
    return ROOT / "requirements" / f"{kind}-{name}.txt"


def _version(python: str) -> tuple[int, ...] | None:
    code = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        result = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(map(int, result.stdout.split()))


def choose_python(name: str) -> str:
    """Return an interpreter for which the environment has wheels."""
    newest = NEWEST_PYTHON.get(name)
    candidates = [sys.executable, "python3", "/usr/bin/python3"]
    candidates += [f"python3.{minor}" for minor in range(newest[1] if newest else 14, 9, -1)]
    for python in candidates:
        version = _version(python)
        if version and version >= (3, 10) and (newest is None or version <= newest):
            return python
    wanted = f"3.10 to {newest[0]}.{newest[1]}" if newest else "3.10 or newer"
    raise MissingEnvironmentError(f"needs Python {wanted} with venv, and there is none")


def _reason(output: str) -> str:
    """Return the line of pip's output that has the error."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[0][:200]


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Keeps other processes from making the same environment while the block runs."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n")
    with (FOLDER / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(name: str, log: Path) -> Path:
    """Return the interpreter of an environment, which is made if it is missing or out of date.

    The name of a peer refers to the environment in which it runs. If another process is making the
    same environment, this one waits for it.
    """
    name = HOST_OF_PEER.get(name, name)
    with _locked(name):
        return _install(name, log)


def _install(name: str, log: Path) -> Path:
    folder = FOLDER / name
    python = folder / "bin" / "python"
    requirements = requirements_file(name)
    stamp = folder / ".stamp"
    wanted = f"{folder} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    base = choose_python(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    # Compiling a whole framework takes a minute; compiling its imports at first use takes seconds.
    options = ["--no-input", "--prefer-binary", "--no-compile"]
    commands: list[list[str | Path]] = [
        [base, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", *options, "-r", requirements],
    ]
    with log.open("w") as file:
        for command in commands:
            result = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            file.write(result.stdout + result.stderr)
            if result.returncode != 0:
                # Keeps nothing that is half installed, so the next run starts again.
                shutil.rmtree(folder, ignore_errors=True)
                raise MissingEnvironmentError(_reason(result.stderr or result.stdout))
    stamp.write_text(wanted)
    return python


def main(names: list[str]) -> None:
    """Make the environments named on the command line."""
    for name in names:
        try:
            print(install(name, LOGS / f"environment-{name}.log"), flush=True)
        except MissingEnvironmentError as reason:
            sys.exit(f"environment {name}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
