"""`memattn docs` names the documentation of this version, or says how to get it."""

import sys
from pathlib import Path

import pytest

import memattn

from .conftest import Run, parts_of
from .site import make_site

OLD = "0.0.1"


@pytest.fixture(autouse=True)
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sets an empty environment; returns the folder of its documentation."""
    folder = tmp_path / "environment"
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder / "share/doc/memattn/html"


def test_documentation_in_the_environment_is_found(call: Run, prefix: Path) -> None:
    page = make_site(prefix, memattn.__version__)
    done = call("docs")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{page}\n", "")


def test_documentation_built_in_a_clone_is_found(call: Run, tmp_path: Path) -> None:
    page = make_site(tmp_path / "build/docs/html", memattn.__version__)
    done = call("docs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"page": str(page), "version": memattn.__version__}
    assert parts_of(done.stdout, "docs") == expected


def test_documentation_of_another_version_is_skipped(
    call: Run, prefix: Path, tmp_path: Path
) -> None:
    make_site(prefix, OLD)
    page = make_site(tmp_path / "build/docs/html", memattn.__version__)
    assert call("docs").stdout == f"{page}\n"


def test_missing_documentation_is_an_error_with_advice(call: Run, prefix: Path) -> None:
    done = call("docs")
    assert (done.returncode, done.stdout) == (2, "")
    version = memattn.__version__
    assert f"no documentation of memattn {version} is installed (looked in {prefix}" in done.stderr
    assert f"unpack memattn-docs-{version}.tar.gz" in done.stderr
    assert f"into {prefix.parents[1]}, or run scripts/docs" in done.stderr


def test_the_error_names_another_installed_version(call: Run, prefix: Path) -> None:
    make_site(prefix, OLD)
    done = call("docs")
    assert done.returncode == 2
    assert f"{prefix} holds version {OLD}" in done.stderr


def test_other_projects_and_sites_without_an_index_are_skipped(
    call: Run, prefix: Path, tmp_path: Path
) -> None:
    make_site(prefix, memattn.__version__, project="other")
    make_site(tmp_path / "build/docs/html", memattn.__version__).unlink()
    done = call("docs", "--json")
    assert done.returncode == 2
    assert '"kind": "no-docs"' in done.stderr
