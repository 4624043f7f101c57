"""The output of `progress=True`."""

import sys

import numpy as np
import pytest

from memattn.forecast import Forecaster

from .panels import flat_panel

PANEL = flat_panel([np.exp(np.random.default_rng(k).normal(size=40)) for k in range(20)])


def test_without_rich_one_line_is_rewritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    Forecaster(3, steps=20).fit(PANEL, progress=True)
    told = capsys.readouterr()
    lines = told.err.split("\r")
    assert lines[-1].startswith("training: step 40 of 40, loss ")
    assert told.err.endswith("\n")
    assert told.out == ""
    Forecaster(3, steps=20).backtest(PANEL, progress=True)
    assert "step 40 of 40" not in capsys.readouterr().out


def test_rich_draws_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    Forecaster(3, steps=20).fit(PANEL, progress=True)
    assert capsys.readouterr().err.strip() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    Forecaster(3, steps=20).fit(PANEL, progress=True)
    assert "training" in capsys.readouterr().err


@pytest.mark.parametrize("none", [None, False])
def test_nothing_is_shown_by_default(none: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
    Forecaster(3, steps=5).fit(PANEL, progress=none)
    assert capsys.readouterr() == ("", "")


def test_an_invalid_progress_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Forecaster\.fit: progress: found 'yes', expected True"):
        Forecaster(3).fit(PANEL, progress="yes")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="progress: found 1"):
        Forecaster(3).backtest(PANEL, progress=1)  # type: ignore[arg-type]
