"""A stand-in for a built documentation site, with the head that Sphinx gives its inventory."""

from pathlib import Path

HEAD = "# Sphinx inventory version 2\n# Project: {project}\n# Version: {version}\n# zlib\n"


def make_site(folder: Path, version: str, project: str = "memattn") -> Path:
    """Writes a site of one page; returns the page."""
    folder.mkdir(parents=True)
    head = HEAD.format(project=project, version=version).encode()
    (folder / "objects.inv").write_bytes(head + bytes(range(256)))
    page = folder / "index.html"
    page.write_text("<title>memattn</title>")
    return page
