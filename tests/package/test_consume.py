"""The library as others get it: installed and found by CMake and pkg-config, and as a subproject.

Each way builds and runs examples/cpp, with libmemattn static and shared. The builds lie in
build/package, so that a second run only compiles what has changed.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "cpp"
BUILD = ROOT / "build" / "package"
PROGRAMS = ["forward", "train"]
# All that libmemattn may need at run time.
RUNTIME = {"libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"}


def run(*command: object, **options: object) -> str:
    """Run a command; its output, or a failure that shows it."""
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}"
    return result.stdout


def fails(*command: object) -> str:
    """Run a command that has to fail; its output on one line."""
    result = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode != 0, result.stdout
    return " ".join(result.stdout.split())


def cmake(source: Path, build: Path, *options: str) -> None:
    """Configure and build with Ninja; a folder of another checkout is made anew."""
    cache = build / "CMakeCache.txt"
    home = f"CMAKE_HOME_DIRECTORY:INTERNAL={source}\n"
    if cache.exists() and home not in cache.read_text():
        shutil.rmtree(build)
    run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *options)
    run("cmake", "--build", build)


@pytest.fixture(scope="module", params=["static", "shared"])
def linkage(request: pytest.FixtureRequest) -> str:
    """One after the other; only the last step, linking, differs between them."""
    return request.param


@pytest.fixture(scope="module")
def prefix(linkage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed tree, moved after the installation: it must not know where it was made."""
    cmake(
        ROOT,
        BUILD / "library",
        f"-DBUILD_SHARED_LIBS={'ON' if linkage == 'shared' else 'OFF'}",
        "-DMEMATTN_BUILD_TESTS=OFF",
        "-DMEMATTN_BUILD_EXAMPLES=OFF",
        "-DCMAKE_INSTALL_LIBDIR=lib",
    )
    folder = tmp_path_factory.mktemp(linkage)
    installed = folder / "installed"
    run("cmake", "--install", BUILD / "library", "--prefix", installed)
    return installed.rename(folder / "moved")


def test_installed_files(prefix: Path, linkage: str) -> None:
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


def test_installed_tree_knows_no_build_path(prefix: Path) -> None:
    places = [os.fsencode(place) for place in (ROOT, prefix.parent)]
    for path in prefix.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [place for place in places if place in content], path


def test_find_package(prefix: Path, tmp_path: Path) -> None:
    examples = shutil.copytree(EXAMPLES, tmp_path / "examples")
    cmake(examples, tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    output = run("ctest", "--test-dir", tmp_path / "build", "--output-on-failure")
    assert "100% tests passed" in output
    assert f"out of {len(PROGRAMS)}\n" in output


@pytest.mark.parametrize(("version", "fits"), [("0.1", True), ("0.0", False), ("0.2", False)])
def test_find_package_version(prefix: Path, tmp_path: Path, version: str, fits: bool) -> None:
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
def test_pkg_config(prefix: Path, tmp_path: Path, program: str) -> None:
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    flags = run("pkg-config", "--cflags", "--libs", "memattn", env=environment).split()
    binary = tmp_path / program
    run("g++", "-std=c++20", EXAMPLES / f"{program}.cc", *flags, "-o", binary)
    run(binary, env=environment)
    header = (ROOT / "include/memattn/version.h").read_text()
    version = run("pkg-config", "--modversion", "memattn", env=environment).strip()
    assert f'MEMATTN_VERSION "{version}"' in header


def test_shared_library_shows_and_needs_little(prefix: Path, linkage: str) -> None:
    library = prefix / "lib" / "libmemattn.so"
    if linkage == "static":
        assert not library.exists()
        return
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "--dynamic", library)))
    assert needed <= RUNTIME
    shown = run("nm", "--dynamic", "--defined-only", "--demangle", library)
    assert "memattn::MemoryAugmentedAttention<float>::forward" in shown
    assert "nlohmann" not in shown
    # Strong symbols are ours; templates of the standard library are weak wherever they are used.
    strong = re.findall(r"^[0-9a-f]+ [TDBR] (.*)$", shown, flags=re.MULTILINE)
    assert [name for name in strong if "memattn::" not in name] == []


PARENT = """
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

foreach(program forward train)
  add_executable(${program} "${MEMATTN_SOURCE}/examples/cpp/${program}.cc")
  target_link_libraries(${program} PRIVATE memattn::memattn)
endforeach()
"""


def test_add_subdirectory(linkage: str, tmp_path: Path) -> None:
    parent = BUILD / "parent"
    parent.mkdir(parents=True, exist_ok=True)
    (parent / "CMakeLists.txt").write_text(PARENT)
    shared = "ON" if linkage == "shared" else "OFF"
    build = BUILD / "parent-build"
    cmake(parent, build, f"-DMEMATTN_SOURCE={ROOT}", f"-DBUILD_SHARED_LIBS={shared}")
    for program in PROGRAMS:
        run(build / program)
    assert (build / "memattn/src/libmemattn.so").exists() or linkage == "static"
    run("cmake", "--install", build, "--prefix", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "debian", "option"),
    [
        ("nlohmann_json", "nlohmann-json3-dev", "MEMATTN_INSTALL"),
        ("GTest", "libgtest-dev", "MEMATTN_BUILD_TESTS"),
        ("benchmark", "libbenchmark-dev", "MEMATTN_BUILD_BENCHMARKS"),
    ],
)
def test_missing_dependency_is_named(
    tmp_path: Path, package: str, debian: str, option: str
) -> None:
    output = fails(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path),
        *("-DMEMATTN_BUILD_TESTS=OFF", f"-D{option}=ON"),
        f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON",
    )
    assert f"memattn: {package} " in output
    assert f"sudo apt-get install {debian}" in output


def test_missing_highway_is_named(tmp_path: Path) -> None:
    output = fails(
        *("cmake", "-G", "Ninja", "-S", ROOT, "-B", tmp_path, "-DMEMATTN_BUILD_TESTS=OFF"),
        "-DCMAKE_IGNORE_PATH=/usr/include",
    )
    assert "memattn: Highway " in output
    assert "sudo apt-get install libhwy-dev" in output
