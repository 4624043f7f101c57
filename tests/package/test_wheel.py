"""The built wheel: repaired, small, and working in an environment without a compiler."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import memattn

from .commands import ROOT, check_wheel

KIND = "cp312-abi3" if sys.version_info >= (3, 12) else f"cp3{sys.version_info.minor}"
WHEELS = ROOT / "build" / "wheel" / f"{platform.machine()}-{KIND}"

BARE = "import sys; print(*sys.modules)"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that scripts/test or scripts/wheel built."""
    wheels = list(WHEELS.glob("*.whl"))
    assert len(wheels) == 1, (
        f"{WHEELS} holds {len(wheels)} wheels; run scripts/wheel, which builds one"
    )
    return wheels[0]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with only the wheel and NumPy, and no compiler."""
    numpy = ROOT / "build" / "package" / "numpy"
    pip = [sys.executable, "-m", "pip"]
    if not list(numpy.glob("*.whl")):
        subprocess.run(
            [*pip, "download", "--only-binary=:all:", "--no-deps", "--dest", numpy, "numpy<3"],
            check=True,
        )
    folder = tmp_path_factory.mktemp("fresh") / "environment"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-index", "--find-links", numpy, wheel)
    return python


def run(python: Path, *arguments: object) -> str:
    """Run Python with nothing else on PATH, and return its output."""
    environment = {"PATH": str(python.parent), "HOME": str(python.parent.parent)}
    for tool in ("cc", "c++", "gcc", "g++", "clang++", "cmake", "ninja"):
        assert shutil.which(tool, path=environment["PATH"]) is None
    result = subprocess.run(
        [str(word) for word in (python, *arguments)],
        cwd=python.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= 6_000_000


def test_the_wheel_has_the_glibc_version_of_the_guide(wheel: Path) -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text()
    oldest = re.search(r"Linux with glibc 2\.(\d+) or newer", page)[1]
    assert f"manylinux_2_{oldest}_{platform.machine()}" in wheel.name


def test_the_wheel_passes_check_wheel(wheel: Path) -> None:
    assert check_wheel.problems_of(wheel) == []


def change(wheel: Path, folder: Path, changes: dict[str, bytes | None]) -> Path:
    """Return a copy with other content of files, by the ends of their names; None removes one."""
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = next((c for end, c in changes.items() if name.endswith(end)), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return copy


def test_a_wheel_without_an_sbom_is_refused(wheel: Path, tmp_path: Path) -> None:
    (problem,) = check_wheel.problems_of(change(wheel, tmp_path, {".cdx.json": None}))
    assert problem.endswith(".dist-info/sboms/memattn.cdx.json")


@pytest.mark.parametrize("version", ["", "0.0.0-unknown", "NOTFOUND"])
def test_an_sbom_without_versions_is_refused(wheel: Path, tmp_path: Path, version: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".cdx.json"))
        sbom = json.loads(archive.read(name))
    sbom["components"][0]["version"] = version
    changed = change(wheel, tmp_path, {".cdx.json": json.dumps(sbom).encode()})
    assert check_wheel.problems_of(changed) == [f"its SBOM has version {version!r} of highway"]


@pytest.mark.parametrize(
    ("source", "flags", "problem"),
    [
        ("int f() { return own_symbol(); }", [], "own_symbol is not in glibc 2.28"),
        ("unsigned f() { return arc4random(); }", [], "arc4random needs glibc 2.36"),
        ("int f() { return 1; }", ["-Wl,-z,norelro"], "lacks RELRO"),
        ("int f() { return 1; }", ["-Wl,-z,lazy"], "lacks BIND_NOW"),
        ("int f() { return 1; }", ["-z", "execstack"], "lacks non-executable stack"),
        ("int f() { return 1; }", ["-Wl,--no-as-needed", "-lstdc++"], "needs libstdc++.so.6"),
    ],
)
def test_an_extension_with_wrong_dependencies_or_hardening_is_refused(
    wheel: Path, tmp_path: Path, source: str, flags: list[str], problem: str
) -> None:
    file = tmp_path / "extension.c"
    file.write_text(f"#include <stdlib.h>\nint own_symbol();\n{source}\n")
    command = ["gcc", "-shared", "-fPIC", file, "-o", tmp_path / "extension.so"]
    subprocess.run([*command, "-Wl,-z,relro,-z,now", *flags], check=True)
    extension = (tmp_path / "extension.so").read_bytes()
    changed = change(wheel, tmp_path, {".so": extension})
    assert check_wheel.problems_of(changed) == [problem]


def test_the_wheel_computes_saves_and_loads_a_layer(python: Path) -> None:
    code = (
        "import numpy as np, memattn\n"
        "layer = memattn.MemoryAugmentedAttention(64, 20, 4, seed=0)\n"
        "x = np.ones((32, 10, 64), np.float32)\n"
        "layer.save('layer.safetensors')\n"
        "y = memattn.MemoryAugmentedAttention.load('layer.safetensors')(x)\n"
        "assert (y == layer(x)).all()\n"
        "print(memattn.__version__, memattn.__file__)\n"
    )
    version, file = run(python, "-W", "error", "-c", code).split()
    assert f'"{version}"' in (ROOT / "include/memattn/version.h").read_text()
    assert Path(file).is_relative_to(python.parent.parent)


def test_the_wheel_gives_the_bits_of_a_native_build(python: Path) -> None:
    """Compares with the build that the tests import, on every instruction set."""
    digests = ROOT / "tests" / "package" / "digests.py"
    native = subprocess.run(
        [sys.executable, digests], capture_output=True, text=True, check=True
    ).stdout
    assert run(python, digests) == native
    isas = [line.split()[0] for line in native.splitlines() if re.search(r" [0-9a-f]{64}$", line)]
    assert isas[0] == memattn.active_isa()
    assert {"scalar", memattn.active_isa()} <= set(isas[1:])


def test_the_wheel_forecasts_one_series(python: Path) -> None:
    """Needs only NumPy and the networks in the wheel."""
    code = (
        "from memattn.forecast import quick\n"
        "found = quick([112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118], 3, 12)\n"
        "assert ((100 < found.mean) & (found.mean < 160)).all()\n"
        "print(found.season)\n"
    )
    assert run(python, "-W", "error", "-c", code).split() == ["12"]


def test_importing_the_package_imports_only_numpy(python: Path) -> None:
    code = f"from memattn import MemoryAugmentedAttention; {BARE}"
    modules = {name.partition(".")[0] for name in run(python, "-c", code).split()}
    at_start = {name.partition(".")[0] for name in run(python, "-c", BARE).split()}
    assert modules - at_start - set(sys.stdlib_module_names) == {"memattn", "numpy"}


def test_the_command_names_the_missing_extra(python: Path) -> None:
    result = subprocess.run(
        [python.parent / "memattn", "forecast"],
        env={**os.environ, "PATH": str(python.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "memattn[forecast]" in result.stdout
    assert "Traceback" not in result.stdout
