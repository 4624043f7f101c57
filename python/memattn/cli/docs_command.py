"""`memattn docs`: where the documentation of this version is, or how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from memattn.cli import output
from memattn.cli.options import Command

INDEX = "index.html"
INVENTORY = "objects.inv"  # written by Sphinx into every site; its head names the version


@click.command(
    "docs",
    cls=Command,
    examples=("memattn docs", 'xdg-open "$(memattn docs)"'),
)
def docs() -> None:
    """Print where the documentation is.

    Prints the path of its first page, to open in a browser. Wheels hold no documentation; its
    archive is unpacked into share/doc of the environment or of the system. In a clone, scripts/docs
    builds it. The exit code is 2 if there is none of this version.
    """
    from memattn import __version__
    from memattn.errors import DataError

    folders = places()
    found = {folder: version_of(folder) for folder in folders}
    for folder, version in found.items():
        if version == __version__:
            page = folder.absolute() / INDEX
            output.print_json("docs", {"page": str(page), "version": version})
            output.say(str(page))
            return
    others = [f"{folder} holds version {version}" for folder, version in found.items() if version]
    seen = "; ".join(others) or f"looked in {', '.join(map(str, folders))}"
    problem = (
        f"no documentation of memattn {__version__} is installed ({seen}); unpack "
        f"memattn-docs-{__version__}.tar.gz with tar -xf into {folders[0].parents[1]}, or run "
        "scripts/docs in a clone"
    )
    raise DataError("no-docs", problem)


def places() -> list[Path]:
    """Returns the folders that may hold a site: in the environment, the system and a clone."""
    share = Path("share/doc/memattn/html")
    folders = [Path(sys.prefix) / share, Path("/usr") / share, Path("build/docs/html")]
    return list(dict.fromkeys(folders))


def version_of(folder: Path) -> str | None:
    """Returns the version of the documentation in a folder, or None if there is none."""
    try:
        with (folder / INVENTORY).open("rb") as file:
            head = [file.readline(200) for _ in range(3)]
    except OSError:
        return None
    prefix = b"# Version: "
    known = head[1] == b"# Project: memattn\n" and head[2].startswith(prefix)
    if not known or not (folder / INDEX).is_file():
        return None
    return head[2].removeprefix(prefix).decode("utf-8", "replace").strip()
