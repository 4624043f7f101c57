"""Messages of CMake if a dependency is missing or too old."""

import shutil
from pathlib import Path

import pytest

from .commands import ROOT, fails, run


@pytest.mark.parametrize(
    ("package", "debian", "option"),
    [
        ("nlohmann_json", "nlohmann-json3-dev", "MEMATTN_INSTALL"),
        ("GTest", "libgtest-dev", "MEMATTN_BUILD_TESTS"),
        ("benchmark", "libbenchmark-dev", "MEMATTN_BUILD_BENCHMARKS"),
    ],
)
def test_a_missing_dependency_is_named_with_its_package(
    tmp_path: Path, package: str, debian: str, option: str
) -> None:
    output = fails(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path),
        *("-DMEMATTN_BUILD_TESTS=OFF", f"-D{option}=ON"),
        f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON",
    )
    assert f"memattn: {package} " in output
    assert f"sudo apt-get install {debian}" in output


def test_missing_highway_is_named_with_its_package(tmp_path: Path) -> None:
    output = fails(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path, "-DMEMATTN_BUILD_TESTS=OFF"),
        "-DCMAKE_IGNORE_PATH=/usr/include",
    )
    assert "memattn: Highway " in output
    assert "sudo apt-get install libhwy-dev" in output


@pytest.mark.parametrize(
    "header", ["highway.h", "base.h"]
)  # old and new releases define the version in different headers
@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("1.0.2", "is 1.0.2."),
        ("0.17.0", "is 0.17.0."),
        (None, "is too old to say its version."),
        ("1.0.3", None),
        ("1.4.0", None),
    ],
)
def test_old_highway_is_refused(
    tmp_path: Path, header: str, version: str | None, problem: str | None
) -> None:
    headers = tmp_path / "include" / "hwy"
    headers.mkdir(parents=True)
    (headers / "highway.h").touch()
    if version is not None:
        numbers = zip(("MAJOR", "MINOR", "PATCH"), version.split("."), strict=True)
        lines = [f"#define HWY_{part} {number}\n" for part, number in numbers]
        (headers / header).write_text("".join(lines))
    command = [
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path / "build"),
        *("-DMEMATTN_BUILD_TESTS=OFF", f"-DMEMATTN_HIGHWAY_INCLUDE_DIR={headers.parent}"),
    ]
    if problem is None:
        run(*command)
    else:
        output = fails(*command)
        assert "memattn: Highway 1.0.3 or newer is needed" in output
        assert problem in output
        assert "MEMATTN_HIGHWAY_INCLUDE_DIR" in output


CLANG = "clang++-14" if shutil.which("clang++-14") else "clang++"


@pytest.mark.parametrize(
    ("compiler", "target"), [("g++", ""), (CLANG, ""), (CLANG, "aarch64-linux-gnu")]
)
def test_hardening_uses_the_flags_that_the_compiler_supports(
    tmp_path: Path, compiler: str, target: str
) -> None:
    """clang 14 warns about -fstack-clash-protection on Arm, which -Werror makes an error."""
    (tmp_path / "file.cc").write_text("int f() { return 1; }\n")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\n"
        "project(hardened LANGUAGES CXX)\n"
        f"include({ROOT}/cmake/MemattnTargets.cmake)\n"
        "add_library(hardened STATIC file.cc)\n"
        "target_compile_options(hardened PRIVATE -Werror)\n"
        "memattn_harden(hardened)\n"
    )
    build = tmp_path / "build"
    run(
        *("cmake", "-G", "Ninja", "-S", tmp_path, "-B", build, "-DCMAKE_BUILD_TYPE=Release"),
        *(f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_CXX_COMPILER_TARGET={target}"),
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",  # there may be no linker for the target
    )
    flags = (build / "build.ninja").read_text()
    assert "-fstack-protector-strong" in flags
    if not target:
        assert "-fstack-clash-protection" in flags
    run("cmake", "--build", build)
