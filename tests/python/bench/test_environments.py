"""Why a peer is missing, and that its environment is made once."""

import sys
from pathlib import Path

import pytest
from bench import environments
from bench.contestants import PEERS
from bench.environments import MissingPeerError


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A peer of nothing at all, installed below tmp_path."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing\n")
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "environments")
    monkeypatch.setattr(environments, "requirements_file", lambda _: requirements)
    return requirements


def test_every_peer_is_pinned() -> None:
    for peer in PEERS:
        assert "==" in environments.requirements_file(peer).read_text()


def test_an_environment_is_kept_until_its_requirements_change(empty: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    python = environments.install("nobody", log)
    made = (python.parent.parent / ".stamp").stat().st_mtime_ns
    assert environments.install("nobody", log) == python
    assert (python.parent.parent / ".stamp").stat().st_mtime_ns == made
    empty.write_text("# nothing, again\n")
    environments.install("nobody", log)
    assert (python.parent.parent / ".stamp").stat().st_mtime_ns != made


def test_a_peer_that_pip_cannot_install_has_a_reason(empty: Path, tmp_path: Path) -> None:
    empty.write_text("not-there @ file:///nowhere/not_there-1.0-py3-none-any.whl\n")
    with pytest.raises(MissingPeerError, match="nowhere"):
        environments.install("nobody", tmp_path / "log")
    assert not (environments.FOLDER / "nobody").exists()


def test_a_peer_without_a_python_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_version", lambda _: (3, 14))
    assert environments.choose_python("jax") == sys.executable
    with pytest.raises(MissingPeerError, match=r"needs Python 3\.10 to 3\.11"):
        environments.choose_python("fusionlab")
