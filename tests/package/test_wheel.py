"""The wheel as others get it: repaired, small, and at home in an environment without a compiler."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .commands import ROOT, missing_hardening

WHEELS = ROOT / "build" / "wheel" / sys.implementation.cache_tag

BARE = "import sys; print(*sys.modules)"


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The wheel that scripts/test has built before; scripts/wheel builds it, too."""
    wheels = list(WHEELS.glob("*.whl"))
    assert len(wheels) == 1, (
        f"{WHEELS}: found {len(wheels)} wheels, expected the one of scripts/wheel"
    )
    return wheels[0]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel and NumPy, and never saw a compiler."""
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
    """Run Python where there is nothing but Python; what it prints."""
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


def test_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= 6_000_000


def test_runs_on_many_linuxes(wheel: Path) -> None:
    version = re.search(r"-manylinux_2_(\d+)_\w+\.whl$", wheel.name)
    assert version is not None
    assert int(version[1]) <= 36  # the C library of Debian 12, which the wheel is built on
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    # What the policy lets a wheel expect of the system is not in it, and nothing else is needed.
    assert [name for name in names if ".so" in name] == [
        name for name in names if re.fullmatch(r"memattn/_memattn\.[\w-]+\.so", name)
    ]


def test_extension_is_hardened(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        extension = next(name for name in archive.namelist() if name.endswith(".so"))
        library = Path(archive.extract(extension, tmp_path))
    assert missing_hardening(library) == set()


def test_computes(python: Path) -> None:
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


def test_forecasts_one_series(python: Path) -> None:
    """With NumPy alone, by the networks in the wheel."""
    code = (
        "from memattn.forecast import quick\n"
        "found = quick([112, 118, 132, 129, 121, 135, 148, 148, 136, 119, 104, 118], 3, 12)\n"
        "assert ((100 < found.mean) & (found.mean < 160)).all()\n"
        "print(found.season)\n"
    )
    assert run(python, "-W", "error", "-c", code).split() == ["12"]


def test_imports_nothing_heavy(python: Path) -> None:
    code = f"from memattn import MemoryAugmentedAttention; {BARE}"
    modules = {name.partition(".")[0] for name in run(python, "-c", code).split()}
    at_start = {name.partition(".")[0] for name in run(python, "-c", BARE).split()}
    assert modules - at_start - set(sys.stdlib_module_names) == {"memattn", "numpy"}


def test_command_says_what_it_lacks(python: Path) -> None:
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
