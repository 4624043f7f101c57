"""Checks the content of wheels: requirements on the machine, hardening, and the SBOM.

python scripts/check_wheel.py WHEEL... prints a line for each wheel with every problem; a problem
gives exit status 1. Wheels for another architecture are read, not run.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

GLIBC = (2, 28)  # the newest allowed; scripts/lib/glibc.sh links against it
MACHINES = {"x86_64": "X86-64", "aarch64": "AArch64"}  # as readelf calls them
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libpthread.so.0"}
COMPILED_IN = {"highway", "nlohmann-json", "nanobind", "libstdc++"}

_NAME = re.compile(
    r"memattn-(?P<version>[^-]+)-(?P<python>cp3\d+)-(?P<abi>abi3|cp3\d+)-(?P<platforms>\S+)\.whl"
)
_UNDEFINED = re.compile(
    r"^ *\d+: .* (?P<bind>GLOBAL|WEAK) +DEFAULT +UND (?P<name>[^\s@]+)(?P<of>@\S+)?"
)


def _readelf(library: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(library)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def problems_of_symbols(library: Path) -> list[str]:
    """Return the symbols and libraries that an old Linux does not have.

    A new glibc would provide a symbol without a version, but an old one would not. Only the
    interpreter's symbols may lack a version.
    """
    problems = []
    for line in _readelf(library, "--dyn-syms").splitlines():
        found = _UNDEFINED.match(line)
        if not found or found["name"].startswith(("Py", "_Py")):
            continue
        version = re.search(r"@GLIBC_([\d.]+)", found["of"] or "")
        if found["of"] is None and found["bind"] == "GLOBAL":
            problems.append(f"{found['name']} is not in glibc {GLIBC[0]}.{GLIBC[1]}")
        elif version and tuple(map(int, version[1].split("."))) > GLIBC:
            problems.append(f"{found['name']} needs glibc {version[1]}")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", _readelf(library, "--dynamic")))
    others = {name for name in needed - LIBRARIES if not name.startswith("ld-linux-")}
    problems += [f"needs {name}" for name in sorted(others)]
    return problems


def missing_hardening(library: Path) -> set[str]:
    """Return missing hardening: calls bound at start, then read-only; no executable stack."""
    dynamic = _readelf(library, "--dynamic")
    segments = _readelf(library, "--segments")
    stack = re.search(r"GNU_STACK +(0x\w+ +){5}(\w+)", segments)
    found = {
        "BIND_NOW": re.search(r"\((FLAGS|FLAGS_1)\).*\b(BIND_NOW|NOW)\b", dynamic),
        "RELRO": "GNU_RELRO" in segments,
        "non-executable stack": stack and stack[2] == "RW",
    }
    return {name for name, there in found.items() if not there}


def problems_of_sbom(archive: zipfile.ZipFile, version: str) -> list[str]:
    """Return problems of the list of compiled-in components."""
    name = f"memattn-{version}.dist-info/sboms/memattn.cdx.json"
    if name not in archive.namelist():
        return [f"has no {name}"]
    sbom = json.loads(archive.read(name))
    problems = []
    if (sbom["bomFormat"], sbom["metadata"]["component"]["version"]) != ("CycloneDX", version):
        problems.append("its SBOM is not CycloneDX of this version")
    versions = {component["name"]: component["version"] for component in sbom["components"]}
    if versions.keys() != COMPILED_IN:
        problems.append(f"its SBOM names {sorted(versions)}, not {sorted(COMPILED_IN)}")
    problems += [
        f"its SBOM has version {found!r} of {part}"
        for part, found in versions.items()
        if not re.fullmatch(r"\d+(\.\d+)+", found)
    ]
    return problems


def problems_of_stable_abi(wheel: Path) -> list[str]:
    """Return symbols that an abi3 wheel uses outside the stable ABI of its oldest Python."""
    command = [sys.executable, "-m", "abi3audit", "--strict", "--summary", str(wheel)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if result.returncode == 0 else [f"abi3audit: {result.stdout}{result.stderr}".strip()]


def problems_of(wheel: Path) -> list[str]:
    """Return all problems of a wheel."""
    name = _NAME.fullmatch(wheel.name)
    if name is None:
        return ["its name is not one of a repaired wheel"]
    problems = []
    platforms = [
        re.fullmatch(r"manylinux_?(\d+_\d+|2014)_(\w+)", tag)
        for tag in name["platforms"].split(".")
    ]
    if None in platforms:
        return [f"{name['platforms']} is not manylinux"]
    machine = platforms[0][2]  # type: ignore[index]
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        libraries = [file for file in archive.namelist() if ".so" in file]
        suffix = (
            "abi3" if name["abi"] == "abi3" else f"cpython-{name['abi'][2:]}-{machine}-linux-gnu"
        )
        if libraries != [f"memattn/_memattn.{suffix}.so"]:
            return [f"holds {libraries}, not memattn/_memattn.{suffix}.so alone"]
        library = Path(archive.extract(libraries[0], folder))
        if MACHINES[machine] not in _readelf(library, "--file-header"):
            problems.append(f"its extension is not for {machine}")
        problems += problems_of_symbols(library)
        problems += [f"lacks {name}" for name in sorted(missing_hardening(library))]
        problems += problems_of_sbom(archive, name["version"])
    if name["abi"] == "abi3":
        problems += problems_of_stable_abi(wheel)
    return problems


def main(wheels: list[str]) -> int:
    """Check all wheels; return 1 if one has a problem."""
    failed = False
    for wheel in map(Path, wheels):
        problems = problems_of(wheel)
        failed = failed or bool(problems)
        print(f"{wheel.name}: {'; '.join(problems) or 'checked'}")
    return int(failed or not wheels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
