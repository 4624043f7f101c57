"""Checks the direction of dependencies between the modules of src/, as in docs/tour.md.

A module may include only the modules below it. Public headers may include only public headers.
Examples and bindings, like users, see the public headers and a few headers made for them. Prints
each violation as file:line and exits with status 1.
"""

import re
import sys
from pathlib import Path

from exit_status import report

ROOT = Path(__file__).resolve().parent.parent

# Modules that a module of src/ may include, besides itself and src/check.h.
MODULES = {
    "kernels": set(),
    "io": set(),
    "train": {"kernels", "io"},  # an optimizer's state is stored in a file
    "layer": {"kernels", "io"},
    "forecast": {"kernels", "io", "train", "layer"},
}
# The lowest module that may include a public header; any module may include the others.
PUBLIC_MODULE = {
    "config.h": "layer",
    "cross_attention.h": "layer",
    "hierarchical_attention.h": "layer",
    "layer_file.h": "layer",
    "memory_augmented_attention.h": "layer",
    "scores_cache.h": "layer",
    "optimizers.h": "train",
    "panel_forecaster.h": "forecast",
}
# Folders that may include only public headers, their own files, and the headers of src/ made for
# them.
USERS: dict[str, tuple[str, ...]] = {
    "examples": (),
    "python/bindings": (
        "forecast/conformal.h",
        "forecast/interruptible_work.h",
        "io/atomic_file.h",
        "io/printable.h",
        "io/temporary_file.h",
        "layer/brief.h",
        "layer/hosted.h",
        "layer/way_choice.h",
    ),
}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def includes(path: Path) -> list[tuple[int, str]]:
    """Return all quoted includes of a file as (line number, name)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found = ((number, INCLUDE.match(line)) for number, line in enumerate(lines, start=1))
    return [(number, match[1]) for number, match in found if match]


def sources(folder: str) -> list[Path]:
    """Return all C++ files below a folder."""
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in {".h", ".cc", ".cpp"})


def may_include(module: str, name: str) -> bool:
    """Return whether a file of src/MODULE may include NAME."""
    folder, _, file = name.partition("/")
    visible = MODULES[module] | {module}
    if folder == "hwy":  # Google Highway, which only kernels include
        return module == "kernels"
    if folder == "memattn":
        return PUBLIC_MODULE.get(file, module) in visible
    return name == "check.h" or folder in visible


def violations() -> list[str]:
    """Return all includes that violate the direction."""
    found = []
    for module in (path.name for path in sorted((ROOT / "src").iterdir()) if path.is_dir()):
        if module not in MODULES:
            found.append(f"src/{module}: a module that scripts/check_includes.py does not know")
            continue
        found += [
            f"{path.relative_to(ROOT)}:{line}: src/{module} may not include {name}"
            for path in sources(f"src/{module}")
            for line, name in includes(path)
            if not may_include(module, name)
        ]
    for path in sources("include"):
        found += [
            f"{path.relative_to(ROOT)}:{line}: a public header may not include {name}"
            for line, name in includes(path)
            if not (ROOT / "include" / name).is_file()
        ]
    for folder, extra in USERS.items():
        for path in sources(folder):
            found += [
                f"{path.relative_to(ROOT)}:{line}: only public headers here, not {name}"
                for line, name in includes(path)
                if name not in extra
                and not any((place / name).is_file() for place in (ROOT / "include", path.parent))
            ]
    return found


if __name__ == "__main__":
    sys.exit(report(violations()))
