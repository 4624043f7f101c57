"""Use of the library in other projects: by CMake's find_package, pkg-config and as a subproject.

Each builds and runs examples/cpp, with libmemattn static and shared. The library is compiled once,
as the subproject, and installed from there; static and shared builds differ only in linking. The
build lies in build/package, so that a second run compiles only changed files.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from memattn.forecast import Forecaster

from .commands import ROOT, check_wheel, cmake, configure, fails, refused_symbols, run

EXAMPLES = ROOT / "examples" / "cpp"
PARENT = ROOT / "build" / "package" / "parent"
BUILD = ROOT / "build" / "package" / "build"
PROGRAMS = ["forecast", "forward", "train"]
# The only libraries that libmemattn may need at run time.
RUNTIME = {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}

PARENT_PROJECT = """
cmake_minimum_required(VERSION 3.25)
project(parent LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 17)

function(snapshot result)
  get_cmake_property(names VARIABLES)
  list(FILTER names INCLUDE REGEX
       "^(BUILD|CMAKE_(CXX|C|EXE|SHARED|MODULE|POSITION|VISIBILITY))_.*$")
  set(values "")
  foreach(name IN LISTS names)
    list(APPEND values "${name}=${${name}}")
  endforeach()
  foreach(property COMPILE_OPTIONS COMPILE_DEFINITIONS INCLUDE_DIRECTORIES LINK_OPTIONS)
    get_directory_property(value ${property})
    list(APPEND values "${property}=${value}")
  endforeach()
  set(${result} "${values}" PARENT_SCOPE)
endfunction()

snapshot(before)
add_subdirectory("${MEMATTN_SOURCE}" memattn)
snapshot(after)
if(NOT before STREQUAL after)
  message(FATAL_ERROR "changed by memattn:\\n${before}\\n${after}")
endif()
get_property(tests DIRECTORY "${MEMATTN_SOURCE}" PROPERTY TESTS)
if(tests OR TARGET example_forward)
  message(FATAL_ERROR "built for a parent: ${tests}")
endif()

foreach(program forecast forward train)
  add_executable(${program} "${MEMATTN_SOURCE}/examples/cpp/${program}.cc")
  target_link_libraries(${program} PRIVATE memattn::memattn)
endforeach()
"""


@pytest.fixture(scope="module")
def parent() -> Path:
    """The source of a project that has memattn as a subproject."""
    PARENT.mkdir(parents=True, exist_ok=True)
    (PARENT / "CMakeLists.txt").write_text(PARENT_PROJECT)
    return PARENT


@pytest.fixture(scope="module", params=["static", "shared"])
def linkage(request: pytest.FixtureRequest) -> str:
    """The kind of library; the two kinds differ only in linking."""
    return request.param


@pytest.fixture(scope="module")
def build(parent: Path, linkage: str) -> Path:
    """The build folder of the parent project with the library."""
    cmake(
        parent,
        BUILD,
        f"-DMEMATTN_SOURCE={ROOT}",
        f"-DBUILD_SHARED_LIBS={'ON' if linkage == 'shared' else 'OFF'}",
        "-DMEMATTN_INSTALL=ON",
        "-DCMAKE_INSTALL_LIBDIR=lib",
    )
    return BUILD


@pytest.fixture(scope="module")
def prefix(build: Path, linkage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed tree, moved after the installation, since it must not contain its path."""
    folder = tmp_path_factory.mktemp(linkage)
    installed = folder / "installed"
    run("cmake", "--install", build, "--prefix", installed)
    return installed.rename(folder / "moved")


def test_a_subproject_builds_and_runs_the_examples(build: Path, linkage: str) -> None:
    for program in PROGRAMS:
        run(build / program)
    assert (build / "memattn/src/libmemattn.so").exists() or linkage == "static"


def installations(build: Path) -> list[str]:
    """Returns the installation commands in a build folder, without the folder's path."""
    script = (build / "cmake_install.cmake").read_text().replace(str(build), "BUILD")
    return [line.strip() for line in script.splitlines() if "file(INSTALL" in line]


def test_a_subproject_is_not_installed_by_default(parent: Path, tmp_path: Path) -> None:
    source = f"-DMEMATTN_SOURCE={ROOT}"
    run(*configure(parent, tmp_path / "default", source))
    run("cmake", "--install", tmp_path / "default", "--prefix", tmp_path / "installed")
    assert not (tmp_path / "installed").exists()
    run(*configure(parent, tmp_path / "asked", source, "-DMEMATTN_INSTALL=ON"))
    run(*configure(ROOT, tmp_path / "alone", "-DMEMATTN_BUILD_TESTS=OFF"))
    asked = installations(tmp_path / "asked" / "memattn")
    assert len(asked) >= 5
    assert installations(tmp_path / "alone") == asked


def test_only_headers_libraries_and_package_files_are_installed(prefix: Path, linkage: str) -> None:
    files = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    headers = {f"include/memattn/{path.name}" for path in (ROOT / "include/memattn").iterdir()}
    libraries = {file for file in files if file.startswith("lib/libmemattn")}
    assert headers <= files
    assert "lib/pkgconfig/memattn.pc" in files
    if linkage == "static":
        assert libraries == {"lib/libmemattn.a"}
    else:
        names = r"lib/libmemattn\.so(\.\d+\.\d+(\.\d+)?)?"
        assert len(libraries) == 3
        assert all(re.fullmatch(names, library) for library in libraries)
    others = files - headers - libraries - {"lib/pkgconfig/memattn.pc"}
    assert all(re.fullmatch(r"lib/cmake/memattn/memattn\w+(-\w+)?\.cmake", f) for f in others)


def test_the_installed_tree_contains_no_build_path(prefix: Path) -> None:
    places = [os.fsencode(place) for place in (ROOT, prefix.parent)]
    for path in prefix.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [place for place in places if place in content], path


def test_find_package_builds_and_runs_the_examples(prefix: Path, tmp_path: Path) -> None:
    examples = shutil.copytree(EXAMPLES, tmp_path / "examples")
    cmake(examples, tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    output = run("ctest", "--test-dir", tmp_path / "build", "--output-on-failure")
    assert "100% tests passed" in output
    assert f"out of {len(PROGRAMS)}\n" in output
    sales = "".join(f"{2000 + k // 12}-{k % 12 + 1:02}-01,{100 + k % 12}\n" for k in range(60))
    (tmp_path / "sales.csv").write_text(f"ds,y\n{sales}")
    Forecaster(3).fit(tmp_path / "sales.csv").save(tmp_path / "sales.safetensors")
    output = run(tmp_path / "build/example_saved_forecast", tmp_path / "sales.safetensors")
    assert re.fullmatch(r"y: next 1\d\d?\.?\d*, 80 % between \S+ and \S+\n", output), output


@pytest.mark.parametrize(("version", "fits"), [("0.2", True), ("0.1", False), ("0.3", False)])
def test_find_package_accepts_compatible_versions_only(
    prefix: Path, tmp_path: Path, version: str, fits: bool
) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\nproject(versions LANGUAGES CXX)\n"
        f"find_package(memattn {version} CONFIG REQUIRED)\n"
    )
    command = ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build"]
    command.append(f"-DCMAKE_PREFIX_PATH={prefix}")
    if fits:
        run(*command)
    else:
        assert f'compatible with requested version "{version}"' in fails(*command)


@pytest.mark.parametrize("program", PROGRAMS)
def test_pkg_config_builds_and_runs_the_examples(
    prefix: Path, tmp_path: Path, program: str
) -> None:
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    flags = run("pkg-config", "--cflags", "--libs", "memattn", env=environment).split()
    binary = tmp_path / program
    run("g++", "-std=c++20", EXAMPLES / f"{program}.cc", *flags, "-o", binary)
    run(binary, env=environment)
    static = run("pkg-config", "--libs", "--static", "memattn", env=environment)
    assert "-pthread" in static.split()
    header = (ROOT / "include/memattn/version.h").read_text()
    version = run("pkg-config", "--modversion", "memattn", env=environment).strip()
    assert f'MEMATTN_VERSION "{version}"' in header


def test_the_shared_library_exports_only_its_own_symbols(prefix: Path, linkage: str) -> None:
    library = prefix / "lib" / "libmemattn.so"
    if linkage == "static":
        assert not library.exists()
        return
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "--dynamic", library)))
    assert needed <= RUNTIME
    shown = run("nm", "--dynamic", "--defined-only", "--demangle", library)
    assert "memattn::MemoryAugmentedAttention<float>::forward" in shown
    assert "memattn::version()" in shown
    assert "nlohmann" not in shown
    # All strong symbols must be ours; templates of the standard library are weak symbols.
    strong = re.findall(r"^[0-9a-f]+ [TDBR] (.*)$", shown, flags=re.MULTILINE)
    assert [name for name in strong if "memattn::" not in name] == []


def test_the_library_neither_prints_nor_ends_the_process(prefix: Path, linkage: str) -> None:
    suffix = "so" if linkage == "shared" else "a"
    assert refused_symbols(prefix / "lib" / f"libmemattn.{suffix}") == set()


@pytest.mark.parametrize(
    ("statement", "symbols"),
    [
        ('std::printf("%d", value);', {"printf"}),
        ('std::fprintf(stderr, "%d", value);', {"fprintf", "stderr"}),
        ('std::puts("text");', {"puts"}),
        ("std::abort();", {"abort"}),
        ("std::exit(value);", {"exit"}),
        ("_exit(value);", {"_exit"}),
        ("assert(value);", {"__assert_fail"}),
        ("std::cout << value;", {"_ZSt4cout"}),
        ("std::cerr << value;", {"_ZSt4cerr"}),
        ("throw value;", set()),
        ("noexcept_function(value);", set()),  # std::terminate
        ('std::snprintf(text, 4, "%d", value);', set()),  # writes to memory
    ],
)
def test_calls_that_print_or_end_the_process_are_found(
    tmp_path: Path, statement: str, symbols: set[str]
) -> None:
    # Most of the compilation would be <iostream>.
    streams = "#include <iostream>\n" if "std::c" in statement else ""
    (tmp_path / "code.cc").write_text(
        "#include <unistd.h>\n#include <cassert>\n#include <cstdio>\n#include <cstdlib>\n"
        f"{streams}void function(int);\nchar text[4];\n"
        "void noexcept_function(int value) noexcept { function(value); }\n"
        f"void caller(int value) {{ {statement} }}\n"
    )
    run("g++", "-c", "-O2", "-U_FORTIFY_SOURCE", tmp_path / "code.cc", "-o", tmp_path / "code.o")
    initializer = {"_ZNSt8ios_base4InitC1Ev"}  # from <iostream>
    assert refused_symbols(tmp_path / "code.o") - initializer == symbols


def test_the_library_and_its_parsers_are_hardened(prefix: Path, build: Path, linkage: str) -> None:
    if linkage == "shared":
        assert check_wheel.missing_hardening(prefix / "lib" / "libmemattn.so") == set()
    commands = run("ninja", "-C", build, "-t", "commands", "memattn/src/all").splitlines()
    flags = ["-fstack-protector-strong", "-fstack-clash-protection", "-D_FORTIFY_SOURCE=3"]
    parsers = ["io/json", "io/safetensors", "layer/layer_file", "forecast/saved_file"]
    for source in (*parsers, "train/optimizer_file", "kernels/simd"):
        command = next(line for line in commands if line.endswith(f"src/{source}.cc"))
        assert [flag in command for flag in flags] == [source != "kernels/simd"] * 3, source


def test_missing_hardening_is_found(tmp_path: Path) -> None:
    (tmp_path / "code.cc").write_text("int function() { return 1; }\n")
    library = tmp_path / "libcode.so"
    flags = ["-shared", "-fPIC", "-Wl,-z,lazy", "-Wl,-z,norelro", "-Wl,-z,execstack"]
    run("g++", *flags, tmp_path / "code.cc", "-o", library)
    assert check_wheel.missing_hardening(library) == {"BIND_NOW", "RELRO", "non-executable stack"}
