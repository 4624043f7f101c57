"""Series to forecast, small enough for a test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def seasonal_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two noisy daily cycles, 800 hours long."""
    rng = np.random.default_rng(7)
    hours = np.arange(800)
    one = 20 + 5 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 1, 800)
    two = 300 + 40 * np.cos(2 * np.pi * hours / 24) + rng.normal(0, 9, 800)
    times = np.datetime64("2024-03-01T00:00") + hours.astype("timedelta64[h]")
    path = tmp_path_factory.mktemp("seasonal") / "seasonal.csv"
    rows = [f"{time}:00Z,{a:.3f},{b:.3f}" for time, a, b in zip(times, one, two, strict=True)]
    path.write_text("\n".join(["time,one,two", *rows]) + "\n")
    return path


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who is started in the background ignores interrupts, and so do its tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
