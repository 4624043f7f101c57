"""Fitting tables in parts: the saved model, and errors in series outside the sample."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data import series_sample
from memattn.forecast.data.series_sample import Budget
from memattn.forecast.forecaster_file import forecaster_bytes

from .pieces import in_pieces, pieces
from .test_windows import name_outside, ragged, small

__all__ = ["in_pieces"]
pytestmark = pytest.mark.usefixtures("in_pieces")


@pytest.fixture(autouse=True)
def budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(500, 3))


def file_of(forecaster: Forecaster, **changed: Any) -> bytes:
    fitted = replace(forecaster._state("save"), **changed)
    return forecaster_bytes(fitted, forecaster, series=False)


def sampled(table: pd.DataFrame) -> pd.DataFrame:
    sample = series_sample.sample_of(small().panel(table), 0)
    assert sample is not None
    return table[table["unique_id"].isin(sample.panel.ids)]


@pytest.mark.parametrize("options", [{}, {"loss": "quantile"}, {"prior": None, "seed": 5}])
def test_a_fit_of_parts_saves_the_same_model_except_for_notes(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ragged()
    local = small(**options).fit(table)
    for parts in (1, 5):
        found = small(**options).fit(pieces(table, parts, 3))
        assert file_of(found) == file_of(local, notes=found.notes)
    calibration = [[n for n in one.notes if n.kind == "calibration"] for one in (found, local)]
    assert calibration[0] == calibration[1] != []


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["unique_id", "ds"])


def test_a_fit_of_parts_notes_what_a_fit_of_the_sampled_rows_notes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = ragged()
    found = small().fit(pieces(table, 4, 3))
    rows = sampled(table)
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**9, 10**9))
    alone = small().fit(in_order(rows))
    (sample,) = [note for note in found.notes if note.kind == "sample"]
    assert [note for note in found.notes if note != sample] == list(alone.notes)
    values, series = rows["y"].count(), rows["unique_id"].nunique()
    assert sample.text.startswith(f"trained on {values} values of {series} series, chosen by")


def test_a_fit_whose_sample_is_all_series_saves_the_same_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(series_sample, "BUDGET", Budget(10**9, 10**9))
    expected = file_of(small().fit(in_order(ragged())))
    assert file_of(small().fit(pieces(ragged(), 4, 3))) == expected


def days(name: str, start: str, step: int) -> pd.DataFrame:
    ds = pd.date_range(start, periods=40, freq=f"{step}D", unit="us")
    return pd.DataFrame({"unique_id": name, "ds": ds, "y": np.arange(1.0, 41)})


def with_other_frequency(kind: str) -> tuple[pd.DataFrame, str]:
    """Returns a table with one series of another frequency, outside the sample, and its name."""
    table = ragged()
    name = name_outside(table)
    others = {"weeks": days(name, "2018-01-03", 7), "days": days(name, "2018-01-01", 1)}
    others["middle of months"] = table[table["unique_id"] == name].assign(
        ds=lambda rows: rows["ds"] + pd.Timedelta(days=14)
    )
    others["middle of months"].iloc[3, 1] += pd.Timedelta(days=3)
    return pd.concat([table[table["unique_id"] != name], others[kind]]), name


@pytest.mark.parametrize("kind", ["weeks", "days", "middle of months"])
def test_a_series_of_another_frequency_is_an_error_or_dropped(kind: str) -> None:
    table, name = with_other_frequency(kind)
    given = pieces(table, 3, 4)
    with pytest.raises(DataError, match=f'series "{name}"'):
        small().fit(table)
    found = small().fit(given)  # the sampled series have one frequency
    calls = [lambda: found.predict(given), lambda: small().backtest(given, 2)]
    for call in calls:
        with pytest.raises(DataError, match=f'series "{name}": .*expected .*month.*as in') as e:
            call()
        assert e.value.column == "ds"
        assert e.value.line is not None
    given = pieces(table, 3, 997)  # each series in a part of its own
    found = small(on_bad_series="drop").fit(given)
    rows = found.predict(given).frame()
    assert set(rows["unique_id"]) == set(table["unique_id"]) - {name}
    assert [(note.kind, note.count) for note in found.worker_notes if "bad" in note.kind] == [
        ("bad-series", 1)
    ]


def test_a_series_of_another_frequency_than_freq_is_an_error() -> None:
    table, name = with_other_frequency("weeks")
    given = pieces(table, 3, 4)
    found = small(freq="MS").fit(given)
    with pytest.raises(DataError, match=f'series "{name}": .*expected .*month'):
        found.predict(given)


def test_too_many_missing_rows_in_the_sample_are_an_error_with_series_and_row() -> None:
    table = ragged()
    name = sampled(table)["unique_id"].iloc[-1]
    places = np.flatnonzero(table["unique_id"] == name)[8:24]
    given = pieces(table.drop(index=table.index[places]), 3, 4)
    with pytest.raises(DataError, match=f'row 1, .* series "{name}": found 16 of .* rows missing'):
        small().fit(given)
