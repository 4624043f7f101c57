"""Commands that the tests run: builds, and tools that inspect them."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def script(name: str) -> ModuleType:
    """Import a program in scripts/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_wheel = script("check_wheel")


def run(*command: object, **options: object) -> str:
    """Run a command and return its output; fail with the output if the command fails."""
    result = _run(*command, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}"
    return result.stdout


def fails(*command: object) -> str:
    """Run a command that must fail, and return its output on one line."""
    result = _run(*command)
    assert result.returncode != 0, result.stdout
    return " ".join(result.stdout.split())


def _run(*command: object, **options: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )


def configure(source: Path, build: Path, *options: str) -> list[object]:
    """Return the command that configures a build with Ninja.

    It has the flags of the release preset, so that ccache, if scripts/test uses it, finds the same
    object files.
    """
    flags = ["-DCMAKE_BUILD_TYPE=Release", "-DMEMATTN_WERROR=ON"]
    return ["cmake", "-S", source, "-B", build, "-G", "Ninja", *flags, *options]


def cmake(source: Path, build: Path, *options: str) -> None:
    """Configure and build; a build folder of another checkout is removed first."""
    cache = build / "CMakeCache.txt"
    home = f"CMAKE_HOME_DIRECTORY:INTERNAL={source}\n"
    if cache.exists() and home not in cache.read_text():
        shutil.rmtree(build)
    run(*configure(source, build, *options))
    run("cmake", "--build", build)


# Functions that end the process or write to its standard streams, which a library must not call: it
# throws. Allowed are std::terminate, which the compiler calls if an exception would leave a
# noexcept function, and __stack_chk_fail and the like, which end a process with corrupt memory.
_ENDS = r"abort|_?exit|_Exit|quick_exit|raise|__assert_(perror_)?fail|_ZSt6__glibcxx_assert_fail\w*"
_WRITES = r"(__)?v?[df]?printf(_chk)?|f?puts|f?putc|putchar|fwrite|perror|std(out|err)"
_STREAMS = r"_ZSt[45](w?cout|w?cerr|w?clog)|_ZNSt8ios_base4InitC[12]Ev"
_REFUSED = re.compile(rf"({_ENDS}|{_WRITES}|{_STREAMS})")


def refused_symbols(library: Path) -> set[str]:
    """Return the functions that a library or object file calls to end the process or to print."""
    tables = ["--dynamic"] if ".so" in library.name else []
    lines = run("nm", "--undefined-only", "--format=posix", *tables, library).splitlines()
    names = {line.split()[0].partition("@")[0] for line in lines if " U" in line}
    assert names
    return {name for name in names if _REFUSED.fullmatch(name)}
