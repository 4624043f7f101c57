"""A slow task is run a second time by the engine, and the result has its rows once."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget

from .series import assert_same_rows, months, plain


def test_rows_of_a_task_that_runs_twice_appear_once(
    engine: Any, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dying import SLOW, Slow

    monkeypatch.setattr(series_sample, "BUDGET", Budget(600, 3))
    mark.unlink(missing_ok=True)
    expected = Forecaster(3, season=12, steps=5).fit(months())
    given = engine.send(months(), 4)
    found = Slow(3, season=12, steps=5).fit(given)
    begin = time.monotonic()
    forecasts = engine.back(found.predict(given, level=[80]))
    assert time.monotonic() - begin < SLOW
    runs = Counter(one.name.rsplit(" ", 2)[0] for one in mark.parent.iterdir() if one != mark)
    assert max(runs.values()) == 2
    assert sum(runs.values()) == len(runs) + 1
    local = plain(expected, tmp_path / "model").predict(months(), level=[80])
    assert_same_rows(forecasts, local)
