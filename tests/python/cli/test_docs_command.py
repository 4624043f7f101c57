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
    """The environment, without documentation of its own."""
    folder = tmp_path / "environment"
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder / "share/doc/memattn/html"


def test_of_the_environment(call: Run, prefix: Path) -> None:
    page = make_site(prefix, memattn.__version__)
    done = call("docs")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{page}\n", "")


def test_of_a_clone(call: Run, tmp_path: Path) -> None:
    page = make_site(tmp_path / "build/docs/html", memattn.__version__)
    done = call("docs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"page": str(page), "version": memattn.__version__}
    assert parts_of(done.stdout, "docs") == expected


def test_another_version_is_passed_over(call: Run, prefix: Path, tmp_path: Path) -> None:
    make_site(prefix, OLD)
    page = make_site(tmp_path / "build/docs/html", memattn.__version__)
    assert call("docs").stdout == f"{page}\n"


def test_none_says_what_to_do(call: Run, prefix: Path) -> None:
    done = call("docs")
    assert (done.returncode, done.stdout) == (2, "")
    version = memattn.__version__
    assert f"no documentation of memattn {version} is installed (looked in {prefix}" in done.stderr
    assert f"unpack memattn-docs-{version}.tar.gz" in done.stderr
    assert f"into {prefix.parents[1]}, or run scripts/docs" in done.stderr


def test_only_another_version(call: Run, prefix: Path) -> None:
    make_site(prefix, OLD)
    done = call("docs")
    assert done.returncode == 2
    assert f"{prefix} has that of {OLD}" in done.stderr


def test_what_is_no_site_of_ours(call: Run, prefix: Path, tmp_path: Path) -> None:
    make_site(prefix, memattn.__version__, project="other")
    make_site(tmp_path / "build/docs/html", memattn.__version__).unlink()
    done = call("docs", "--json")
    assert done.returncode == 2
    assert '"kind": "no-docs"' in done.stderr
