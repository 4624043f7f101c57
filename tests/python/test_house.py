"""The installed package: its content, its build, and its errors."""

import errno
import importlib.metadata
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

import memattn
from memattn import _memattn

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_the_same_everywhere() -> None:
    header = (ROOT / "include/memattn/version.h").read_text()
    version = re.search(r'MEMATTN_VERSION "(.*)"', header)[1]
    parts = re.findall(r"MEMATTN_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
    assert version == ".".join(parts)
    assert version == memattn.__version__ == _memattn.__version__
    assert version == importlib.metadata.version("memattn")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_wheel_contains_only_the_package() -> None:
    files = {str(file) for file in importlib.metadata.files("memattn")}
    inside = {file for file in files if file.startswith("memattn/")}
    assert {"memattn/py.typed", "memattn/_memattn.pyi", "memattn/__init__.py"} <= inside
    others = {file for file in files - inside if "/__pycache__/" not in file}
    assert all(re.match(r"memattn-[\d.]+\.dist-info/|\.\./.*/bin/memattn$", f) for f in others)
    assert any(file.endswith("LICENSE") for file in others)
    kinds = {Path(file).suffix for file in inside}
    assert kinds.isdisjoint({".cc", ".h", ".a", ".txt"})


def test_extension_is_stripped_and_stands_alone() -> None:
    library = Path(_memattn.__file__)
    assert os.fsencode(ROOT) not in library.read_bytes()
    sections = subprocess.run(
        ["readelf", "--sections", "--dynamic", "--wide", library],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ".symtab" not in sections
    assert ".debug" not in sections
    assert "RUNPATH" not in sections
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", sections))
    assert {name.split(".so")[0] for name in needed} <= {
        *("libstdc++", "libm", "libgcc_s", "libc", "ld-linux-x86-64")
    }


def test_import_needs_only_numpy() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys("
        "['pandas', 'narwhals', 'rich', 'click', 'matplotlib', 'jinja2', 'h5py', 'onnx']));"
        "import memattn; memattn.MemoryAugmentedAttention(4, 3, 2)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_nothing_leaks_at_exit() -> None:
    # nanobind reports objects that are still alive when the interpreter ends on stderr.
    code = (
        "import memattn, numpy as np\n"
        "from memattn import _memattn; _memattn.set_leak_warnings(True)\n"
        "layer = memattn.MemoryAugmentedAttention(4, 3, 2, seed=1)\n"
        "x = np.ones((2, 3, 4), np.float32)\n"
        "layer.backward(x, layer(x))\n"
        "try:\n    layer(x[..., :2])\n"
        "except ValueError as error:\n    kept = error\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_format_error_is_a_value_error() -> None:
    assert issubclass(memattn.FormatError, ValueError)
    assert memattn.FormatError.__module__ == "memattn"
    copy = pickle.loads(pickle.dumps(memattn.FormatError("text")))
    assert type(copy) is memattn.FormatError


def test_format_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no header")
    with pytest.raises(memattn.FormatError, match=re.escape(str(path))):
        memattn.MemoryAugmentedAttention.load(path)


def test_system_error_is_an_os_error(tmp_path: Path) -> None:
    path = tmp_path / "not there"
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))) as caught:
        memattn.MemoryAugmentedAttention.load(path)
    assert caught.value.errno == errno.ENOENT


def test_a_path_that_is_not_utf8_is_escaped_in_messages(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"odd \xff name")
    with pytest.raises(FileNotFoundError, match=r"odd \\xff name"):
        memattn.MemoryAugmentedAttention.load(path)


def source_files() -> list[Path]:
    """Return all C++ and Python sources of the project."""
    folders = ["include", "src", "python", "bench", "docs", "examples", "fuzz", "scripts", "tests"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    kinds = {".h", ".cc", ".py"}
    return sorted(
        path for path in files if path.suffix in kinds and ROOT / "tests/golden" not in path.parents
    )


def opens_with_purpose(path: Path, first: str) -> bool:
    """Return whether line `first` is a comment or docstring, or includes the header that has it."""
    if path.suffix == ".py":
        return first.startswith('"""')
    own = re.sub("_test$", "", path.stem)
    return first.startswith("// ") or re.fullmatch(rf'#include ".*\b{own}\.h"', first) is not None


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_source_file_states_its_purpose_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 500
    assert lines == [] or opens_with_purpose(path, lines[0])
