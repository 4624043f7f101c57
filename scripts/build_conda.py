"""Build the recipe of conda-forge with rattler-build, and run its tests, without conda-forge.

A channel that this program makes stands in for conda-forge. Its packages are Python, the compiler,
Highway and nlohmann-json of this machine, and wheels from PyPI. rattler-build solves the
environments from it, runs the recipe's script in them, and tests the package in a third
environment. Needs requirements/recipes.txt and the Debian packages of scripts/demo.

    python scripts/build_conda.py FOLDER     writes the channel and the package there
"""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from rattler_build import (
    FileEntry,
    Package,
    Stage0Recipe,
    ToolConfiguration,
    VariantConfig,
    assemble_package,
)
from rattler_build.progress import BuildStepEvent, LogEvent

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "packaging" / "conda-forge" / "recipe.yaml"
PLATFORM = {"x86_64": "linux-64", "aarch64": "linux-aarch64"}[platform.machine()]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = Path("lib", f"python{PYTHON}", "site-packages")
# What the recipe asks for and PyPI has; requirements/build.txt has the rest, pinned.
PROGRAMS = ["cmake", "ninja"]
WHEELS = [*PROGRAMS, "pip", "numpy>=1.24,<3"]
# As conda-forge sets them.
VARIANTS = f"""
python: ["{PYTHON}"]
c_stdlib: [sysroot]
c_stdlib_version: ["2.28"]
"""

Files = Iterable[tuple[Path, Path]]  # each with its place in an environment


class Channel:
    """A folder of conda packages with its index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, object] = {}
        (folder / PLATFORM).mkdir(parents=True)
        (folder / "noarch").mkdir()

    def add(self, name: str, version: str, files: Files, depends: Iterable[str] = ()) -> None:
        """Pack the files as one more package."""
        entries = [FileEntry.from_paths(file, place) for file, place in files]
        if not entries:
            raise FileNotFoundError(f"found no files for the conda package {name}")
        folder = self.folder / PLATFORM
        depends = sorted(depends)
        options = {"files": entries, "depends": depends, "compression_level": 1}
        path = assemble_package(name, version, PLATFORM, "0", folder, **options).path
        content = path.read_bytes()
        self.index[path.name] = {
            "name": name,
            "version": version,
            "build": "0",
            "build_number": 0,
            "depends": depends,
            "subdir": PLATFORM,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        print(f"{name} {version}: {len(entries)} files")

    def write_index(self) -> None:
        """Write what a solver reads."""
        for subdir, packages in ((PLATFORM, self.index), ("noarch", {})):
            repodata = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages}
            (self.folder / subdir / "repodata.json").write_text(json.dumps(repodata))


def tree(folder: Path, place: Path, without: Iterable[str] = ()) -> Iterator[tuple[Path, Path]]:
    """Yield the files below a folder, with their places in an environment."""
    skipped = {"__pycache__", *without}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not skipped.intersection(inside.parts):
            yield path, place / inside


def python_files() -> Iterator[tuple[Path, Path]]:
    """Yield the files of the Python that runs, without installed packages."""
    base = Path(sys.base_prefix)
    program = base / "bin" / f"python{PYTHON}"
    yield program, Path("bin", program.name)
    yield program, Path("bin", "python")
    library, headers = Path("lib", f"python{PYTHON}"), Path("include", f"python{PYTHON}")
    yield from tree(base / library, library, without=("site-packages", "dist-packages", "test"))
    yield from tree(base / headers, headers)
    for shared in (base / "lib").glob("libpython*.so*"):
        yield shared, Path("lib", shared.name)


def wheel_files(wheel: Distribution, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files of an installed wheel; programs that are no Python go into bin and share."""
    name = wheel.metadata["Name"]
    if name in PROGRAMS:
        yield from tree(folder / name / "data", Path())
        if (folder / "bin" / name).read_bytes().startswith(b"\x7fELF"):
            yield folder / "bin" / name, Path("bin", name)
        return
    for file in wheel.files or []:
        path = folder / file
        if file.parts[0] not in ("..", "bin") and path.suffix != ".pyc" and path.is_file():
            yield path, SITE_PACKAGES / file


def add_wheels(channel: Channel, folder: Path) -> None:
    """Install wheels from PyPI into a folder, and pack each."""
    requirements = ROOT / "requirements" / "build.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    subprocess.run([*pip, "--requirement", str(requirements), *WHEELS], check=True)
    for wheel in distributions(path=[str(folder)]):
        name = wheel.metadata["Name"].lower().replace("_", "-")
        always = [text for text in wheel.requires or [] if ";" not in text]
        depends = {re.split(r"[^\w.-]", text)[0].lower() for text in always} | {"python"}
        if name in PROGRAMS:
            depends = set()
        channel.add(name, wheel.version, wheel_files(wheel, folder), depends)


def debian_version(package: str) -> str:
    """Return the upstream version of an installed Debian package."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    version = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\d+:|[-+].*", "", version)


def make_channel(folder: Path) -> Channel:
    """Make all packages that the recipe names, and those that they need."""
    channel = Channel(folder / "channel")
    channel.add("python", platform.python_version(), python_files())
    add_wheels(channel, folder / "wheels")
    usr = Path("/usr")
    for name, package, places in (
        ("libhwy", "libhwy-dev", ["include/hwy"]),
        ("nlohmann_json", "nlohmann-json3-dev", ["include/nlohmann", "share/cmake/nlohmann_json"]),
    ):
        files = [file for place in places for file in tree(usr / place, Path(place))]
        version = debian_version(package)
        if name == "libhwy":  # as conda-forge's: what is built with it depends on it
            exports = folder / "run_exports.json"
            exports.write_text(json.dumps({"weak": [f"{name} >={version}"]}))
            files.append((exports, Path("info", exports.name)))
        channel.add(name, version, files)
    activate = folder / "compiler.sh"
    activate.write_text(f"export CXX={shutil.which('g++')}\n")
    compiler = f"gxx_{PLATFORM}"
    place = Path("etc", "conda", "activate.d", f"{compiler}.sh")
    channel.add(compiler, debian_version("g++"), [(activate, place)])
    # The system's libc takes the place of conda-forge's.
    note = folder / "sysroot.txt"
    note.write_text("The compiler of the system uses the headers and libraries of the system.\n")
    channel.add(f"sysroot_{PLATFORM}", "2.28", [(note, Path("share", note.name))])
    channel.write_index()
    return channel


class Log:
    """Prints what rattler-build says."""

    def on_build_step(self, event: BuildStepEvent) -> None:
        """Print the name of the next step."""
        print(event.message, flush=True)

    def on_log(self, event: LogEvent) -> None:
        """Print a line of the log."""
        print(event.message, flush=True)


def main(folder: Path) -> None:
    """Build and test the package in a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    channel = make_channel(folder)
    recipe = Stage0Recipe.from_file(RECIPE)
    (variant,) = recipe.render(VariantConfig.from_yaml(VARIANTS))
    result = variant.run_build(
        tool_config=ToolConfiguration(test_strategy="native"),
        output_dir=folder / "output",
        channels=[channel.folder.as_uri()],
        progress_callback=Log(),
    )
    package = Package.from_file(result.packages[0])
    print(f"{package.filename}: {len(package.files)} files, depends on {package.depends}")
    expected = recipe.to_dict()["requirements"]["run"]
    if sorted(package.depends) != sorted(expected):
        raise ValueError(f"found dependencies {package.depends}, expected {expected}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
