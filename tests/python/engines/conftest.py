"""Fixtures of the engines' tests: MEMATTN_TEST_ENGINE names the engine of a process."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.engine_clusters import CLUSTERS

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns the path of the file of `dying.die_once`; workers inherit it by the environment."""
    path = tmp_path_factory.mktemp("mark") / "dead"
    os.environ["MEMATTN_TEST_MARK"] = str(path)
    os.environ["MEMATTN_TEST_DRIVER"] = str(os.getpid())
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    os.environ["PYSPARK_PYTHON"] = sys.executable
    sys.path.insert(0, str(HERE))
    return path


@pytest.fixture(scope="session")
def engine(mark: Any) -> Iterator[Any]:
    """Starts two workers of the engine, and stops them after all tests."""
    found = CLUSTERS[os.environ["MEMATTN_TEST_ENGINE"]](2)
    yield found
    found.stop()
