"""A fixture for reports of which a test reads the words."""

import pytest

from memattn.forecast.report import page

from ...sampling import LONG


@pytest.fixture
def few_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws one slot of each layer instead of nine, which is most of a report's time.

    The long form draws all.
    """
    if not LONG:
        monkeypatch.setattr(page, "SLOTS_DRAWN", 1)
