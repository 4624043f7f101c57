"""Environments of peers: pinned, made once, shared with frameworks, and errors with reasons."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path

import pytest
from bench import environments
from bench.contestants import PEERS
from bench.environments import MissingEnvironmentError


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The requirements of an empty environment below tmp_path."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "environments")
    monkeypatch.setattr(environments, "requirements_file", lambda _: requirements)
    return requirements


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that, in the place of `python -m venv --clear FOLDER`, copies one environment.

    It takes a tenth of the time, most of which is the installation of pip.
    """
    folder = tmp_path_factory.mktemp("copied")
    made = folder / "made"
    subprocess.run([sys.executable, "-m", "venv", made], check=True)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\n[ "$*" = "-m venv --clear $4" ] && cp -a "{made}" "$4"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def fast(empty: Path, copying: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes environments by copies, where there is none yet, as after `--clear`."""

    def choose(name: str) -> Path:
        shutil.rmtree(environments.FOLDER / name, ignore_errors=True)
        return copying

    monkeypatch.setattr(environments, "choose_python", choose)


def test_all_requirements_are_pinned() -> None:
    names = {environments.HOST_OF_PEER.get(peer, peer) for peer in PEERS} | {*environments.HOSTS}
    files = {environments.requirements_file(name) for name in names}
    folder = environments.ROOT / "requirements"
    assert files == {*folder.glob("bench-*.txt"), *folder.glob("host-*.txt")}
    for file in files:
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        assert lines
        assert all("==" in line for line in lines)


def test_a_peer_shares_the_environment_of_its_framework(empty: Path, tmp_path: Path) -> None:
    """Also where another process is making that environment, which is waited for."""
    log = tmp_path / "log"
    with ThreadPoolExecutor(1) as pool:
        with environments._locked("keras2"):  # each opening of a lock file counts as a process
            other = pool.submit(environments.install, "fusionlab", log)
            with pytest.raises(TimeoutError):
                other.result(timeout=0.5)
            assert not (environments.FOLDER / "keras2").exists()
        assert other.result() == environments.install("keras2", log)


@pytest.mark.usefixtures("fast")
def test_an_environment_is_kept_until_its_requirements_change(empty: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    python = environments.install("nobody", log)
    made = (python.parent.parent / ".stamp").stat().st_mtime_ns
    assert environments.install("nobody", log) == python
    assert (python.parent.parent / ".stamp").stat().st_mtime_ns == made
    empty.write_text("# nothing, again\n")
    environments.install("nobody", log)
    assert (python.parent.parent / ".stamp").stat().st_mtime_ns != made


@pytest.mark.usefixtures("fast")
def test_a_failed_installation_is_an_error_with_its_reason(empty: Path, tmp_path: Path) -> None:
    empty.write_text("not-there @ file:///nowhere/not_there-1.0-py3-none-any.whl\n")
    with pytest.raises(MissingEnvironmentError, match="nowhere"):
        environments.install("nobody", tmp_path / "log")
    assert not (environments.FOLDER / "nobody").exists()


def test_a_missing_python_version_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_version", lambda _: (3, 14))
    assert environments.choose_python("jax") == sys.executable
    with pytest.raises(MissingEnvironmentError, match=r"needs Python 3\.10 to 3\.11"):
        environments.choose_python("keras2")
