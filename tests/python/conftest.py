"""Fixtures that the tests of readers share, and a compilation cache of JAX for each process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

# JAX warns, which is an error here, when it reads an entry that another process is still writing.
# So each worker of pytest-xdist, with the programs that it starts, has a cache of its own.
CACHE, WORKER = "JAX_COMPILATION_CACHE_DIR", "PYTEST_XDIST_WORKER"
if CACHE in os.environ and WORKER in os.environ:
    os.environ[CACHE] = str(Path(os.environ[CACHE], os.environ[WORKER]))


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Return a function that writes data.csv and returns its path."""

    def write(text: str | bytes) -> Path:
        path = tmp_path / "data.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write
