"""Fixtures of the forecaster's tests."""

import signal
from collections.abc import Iterator

import pytest

from memattn.forecast.report import page

from ..sampling import LONG


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Makes SIGINT raise KeyboardInterrupt, even if pytest runs as a background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws one slot of each layer instead of nine, for reports of which a test reads the words.

    Slots are most of a report's time. The long form draws all.
    """
    if not LONG:
        monkeypatch.setattr(page, "SLOTS_DRAWN", 1)
