"""Holds the rooms of src/ to the direction of dependencies that docs/tour.md gives.

A file includes what its room may see; public headers include only public headers, and the examples
and bindings, which stand where a user does, see only those. Prints each violation as file:line and
ends with status 1.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Rooms that a room of src/ may include, besides itself and src/check.h.
ROOMS = {
    "kernels": set(),
    "io": set(),
    "train": {"kernels"},
    "layer": {"kernels", "io"},
    "forecast": {"kernels", "io", "train", "layer"},
}
# The lowest room that may include a public header; those not named here are for everyone.
PUBLIC_ROOM = {
    "config.h": "layer",
    "memory_augmented_attention.h": "layer",
    "scores_cache.h": "layer",
    "optimizers.h": "train",
    "panel_forecaster.h": "forecast",
}
# Folders that see the public headers and their own files only.
USERS = ("examples", "python/bindings")

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def includes(path: Path) -> list[tuple[int, str]]:
    """All quoted includes of a file as (line number, name)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = ((number, INCLUDE.match(line)) for number, line in enumerate(lines, start=1))
    return [(number, match[1]) for number, match in found if match]


def sources(folder: str) -> list[Path]:
    """All C++ files below a folder."""
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in {".h", ".cc", ".cpp"})


def may_include(room: str, name: str) -> bool:
    """Whether a file of src/ROOM may include NAME."""
    folder, _, file = name.partition("/")
    visible = ROOMS[room] | {room}
    if folder == "hwy":  # Google Highway, whose headers only kernels see
        return room == "kernels"
    if folder == "memattn":
        return PUBLIC_ROOM.get(file, room) in visible
    return name == "check.h" or folder in visible


def violations() -> list[str]:
    """All includes that go against the direction."""
    found = []
    for room in (path.name for path in sorted((ROOT / "src").iterdir()) if path.is_dir()):
        if room not in ROOMS:
            found.append(f"src/{room}: a room that scripts/check_includes.py does not know")
            continue
        found += [
            f"{path.relative_to(ROOT)}:{line}: src/{room} may not include {name}"
            for path in sources(f"src/{room}")
            for line, name in includes(path)
            if not may_include(room, name)
        ]
    for path in sources("include"):
        found += [
            f"{path.relative_to(ROOT)}:{line}: a public header may not include {name}"
            for line, name in includes(path)
            if not (ROOT / "include" / name).is_file()
        ]
    for path in (path for folder in USERS for path in sources(folder)):
        found += [
            f"{path.relative_to(ROOT)}:{line}: only public headers here, not {name}"
            for line, name in includes(path)
            if not any((place / name).is_file() for place in (ROOT / "include", path.parent))
        ]
    return found


def main() -> int:
    """Print the violations; 1 when there are any."""
    found = violations()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
