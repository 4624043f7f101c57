"""The Python fuzz targets accept their corpus and survive damage to it, without Atheris."""

import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "fuzz"
LISTED = subprocess.run(
    [sys.executable, FOLDER / "fuzz_python.py", "--list"],
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
REFUSED = {("npy", "text"), ("hdf5_listing", "refusal")}


@pytest.fixture(scope="module")
def targets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("python_targets", FOLDER / "python_targets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["python_targets"] = module
    spec.loader.exec_module(module)
    return module


def test_the_program_lists_the_targets(targets: ModuleType) -> None:
    assert list(targets.TARGETS) == LISTED


@pytest.mark.parametrize("name", LISTED)
def test_a_target_accepts_its_corpus_and_survives_damage(targets: ModuleType, name: str) -> None:
    files = sorted((FOLDER / "corpus" / name).iterdir())
    assert files
    rng = random.Random(0)
    for path in files:
        data = path.read_bytes()
        assert len(data) < 8192
        assert targets.run(name, data) == ((name, path.name) not in REFUSED)
        for _ in range(10):
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] = rng.randrange(256)
            targets.run(name, bytes(damaged))


def test_an_unknown_target_is_an_error() -> None:
    words = [sys.executable, FOLDER / "fuzz_python.py", "nothing"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "found 'nothing', expected --list or one of npy, " in done.stderr
