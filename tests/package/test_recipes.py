"""The recipes in packaging/ and CITATION.cff have the current version and dependencies."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from .commands import ROOT, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # a dependency of pytest on Python 3.10

PACKAGING = ROOT / "packaging"
CONDA = (PACKAGING / "conda-forge" / "recipe.yaml").read_text()
VCPKG = json.loads((PACKAGING / "vcpkg" / "memattn" / "vcpkg.json").read_text())
CONTROL = (PACKAGING / "debian" / "control").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CMAKE = "".join(
    (ROOT / folder / "CMakeLists.txt").read_text() for folder in (".", "src", "src/kernels")
)
VERSION = re.search(r'MEMATTN_VERSION "(.*)"', (ROOT / "include/memattn/version.h").read_text())[1]
MINOR = VERSION.rpartition(".")[0]


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("CITATION.cff", r"^version: (\S+)$"),
        ("packaging/conda-forge/recipe.yaml", r'^  version: "(\S+)"$'),
        ("packaging/vcpkg/memattn/vcpkg.json", r'^  "version": "(\S+)",$'),
        ("packaging/debian/changelog", r"\Amemattn \((\S+)-\d+\) "),
    ],
)
def test_recipes_have_the_current_version(file: str, pattern: str) -> None:
    found = re.findall(pattern, (ROOT / file).read_text(), flags=re.MULTILINE)
    assert found == [VERSION]


def test_debian_packages_have_the_soname_in_their_names() -> None:
    packages = re.findall(r"^Package: (\S+)$", CONTROL, flags=re.MULTILINE)
    assert packages == [f"libmemattn{MINOR}", "libmemattn-dev"]
    files = {path.name for path in (PACKAGING / "debian").glob("*.install")}
    assert files == {f"{package}.install" for package in packages}


def test_debians_copyright_file_contains_the_licence() -> None:
    copyright_file = (PACKAGING / "debian" / "copyright").read_text()
    words = (ROOT / "LICENSE").read_text().split()
    text = [word for word in copyright_file.split() if word != "."]
    assert " ".join(words[words.index("Redistribution") :]) in " ".join(text)


def conda_packages(section: str) -> dict[str, str]:
    """Returns the names in one section of the requirements, with their versions."""
    block = re.search(rf"^  {section}:\n((?:    - .*\n)+)", CONDA, flags=re.MULTILINE)[1]
    return {
        name: rest for name, _, rest in (line[6:].partition(" ") for line in block.splitlines())
    }


def requirements(texts: list[str]) -> dict[str, str]:
    return {re.match(r"[\w-]+", text)[0]: re.sub(r"^[\w-]+", "", text) for text in texts}


def test_conda_has_the_requirements_of_pyproject() -> None:
    assert conda_packages("run") == {
        "python": "",
        **requirements(PROJECT["project"]["dependencies"]),
    }
    host = conda_packages("host")
    assert requirements(PROJECT["build-system"]["requires"]).items() <= host.items()
    assert conda_packages("build")["cmake"] == PROJECT["tool"]["scikit-build"]["cmake"]["version"]


def test_conda_tests_pass_with_this_package() -> None:
    """Run the tests of the recipe here; scripts/test --long runs them on the package itself."""
    tests = CONDA.partition("\ntests:\n")[2]
    modules = re.search(r"      imports:\n((?:        - .*\n)+)", tests)[1].split()[1::2]
    assert "memattn" in modules
    commands = re.findall(r"^      - (python .*)$", tests, flags=re.MULTILINE)
    assert commands
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in [f"python -c 'import {', '.join(modules)}'", *commands]:
        run("bash", "-c", command, env={**os.environ, "PATH": path})


def test_recipes_have_the_minimum_versions_of_cmake() -> None:
    highway = re.search(r"MEMATTN_HIGHWAY_MIN_VERSION ([\d.]+)", CMAKE)[1]
    json_library = re.search(r"memattn_find_package\(nlohmann_json ([\d.]+)", CMAKE)[1]
    cmake = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)", CMAKE)[1]
    host = conda_packages("host")
    assert (host["libhwy"], host["nlohmann_json"]) == (f">={highway}", f">={json_library}")
    ports = {one["name"]: one.get("version>=", "") for one in VCPKG["dependencies"]}
    assert ports["highway"] == highway
    assert ports["nlohmann-json"].startswith(json_library)
    for package in (
        f"cmake (>= {cmake})",
        f"libhwy-dev (>= {highway})",
        f"nlohmann-json3-dev (>= {json_library})",
    ):
        assert package in CONTROL


def test_recipes_use_existing_cmake_options() -> None:
    texts = (PACKAGING / "vcpkg/memattn/portfile.cmake", PACKAGING / "debian/rules")
    used = {name for text in texts for name in re.findall(r"-D(MEMATTN_\w+)", text.read_text())}
    assert len(used) >= 4
    assert used <= set(re.findall(r"(?:option|find_path)\((MEMATTN_\w+)", CMAKE))
