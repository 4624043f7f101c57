"""The archive of the site is reproducible, and `memattn docs` finds it once unpacked."""

import subprocess
import sys
import tarfile
from pathlib import Path

import memattn

from .pages import ROOT, SITE

PACK = "set -euo pipefail; source scripts/lib/docs.sh; archive_docs"
# Runs the command with another prefix of the environment.
ASK = (
    "import sys; sys.prefix = sys.argv[1]; from memattn.cli.app import run; sys.exit(run(['docs']))"
)


def pack(folder: Path) -> Path:
    """Writes the archive into a folder and returns its path."""
    subprocess.run(["bash", "-c", f"{PACK} '{folder}'"], cwd=ROOT, check=True)
    (archive,) = folder.iterdir()
    return archive


def test_the_archive_is_reproducible_and_found_by_the_command(tmp_path: Path) -> None:
    archive = pack(tmp_path / "one")
    assert archive.name == f"memattn-docs-{memattn.__version__}.tar.gz"
    assert archive.read_bytes() == pack(tmp_path / "two").read_bytes()
    share = tmp_path / "prefix" / "share" / "doc"
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        # Python 3.11.2 in Debian 12 does not have filters.
        opened.extractall(share, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    files = {member.name for member in members if member.isfile()}
    built = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*") if path.is_file()}
    assert files == {f"memattn/html/{name}" for name in built}
    assert all((member.uid, member.gid, member.mtime) == (0, 0, 0) for member in members)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path / "prefix")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{share / 'memattn/html/index.html'}\n"
