"""One bad series among many is an error, or is left out with a note."""

import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.bad_series import BadSeriesError
from memattn.forecast.data.panel import panel_from_file, panel_from_frame
from memattn.forecast.data.windows import Rolling

from ..panels import LIBRARIES, days, frame_of, note, write_csv

DAYS = days(40)
WEEKS = [str(day) for day in np.datetime64("2024-01-01") + 7 * np.arange(12)]
BAD: dict[str, tuple[list[str], list[float], str]] = {
    "no value": (DAYS[:5], [np.nan] * 5, "none of its rows has a value"),
    "holes": ([DAYS[0], DAYS[20]], [1.0, 2.0], "19 of 21 rows missing or without a value"),
    "twice": ([*DAYS[:3], DAYS[2]], [1.0, 2.0, 3.0, 4.0], "twice with different values, 3 in"),
    "off the grid": (["2024-01-01", "2024-01-02T05:00"], [1.0, 2.0], ""),
    "weeks": (WEEKS, [1.0] * 12, "rows missing"),
    "infinite": (DAYS[:3], [1.0, -np.inf, 3.0], "-inf"),
    "too large": (DAYS[:3], [1.0, 1e200, 3.0], "1e+200"),
}


def table(bad: dict[str, tuple[list[str], list[float], str]], good: int = 5) -> dict[str, Any]:
    parts = [(f"g{k}", DAYS[k:], list(range(1, 41 - k))) for k in range(good)]
    parts += [(name, ds, y) for name, (ds, y, _) in bad.items()]
    return {
        "unique_id": [name for name, ds, _ in parts for _ in ds],
        "ds": [day for _, ds, _ in parts for day in ds],
        "y": [float(value) for _, _, y in parts for value in y],
    }


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("freq", [None, "D"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_bad_series_is_dropped(library: str, freq: str | None, name: str) -> None:
    frame = frame_of(library, table({name: BAD[name]}))
    with pytest.raises(DataError):
        panel_from_frame(frame, freq=freq)
    panel = panel_from_frame(frame, freq=freq, on_bad_series="drop")
    expected = panel_from_frame(frame_of(library, table({})), freq=freq)
    assert panel.ids.tolist() == expected.ids.tolist()
    np.testing.assert_array_equal(panel.values, expected.values)
    assert panel.frequency == expected.frequency
    text = note(panel, "bad-series")
    assert text.startswith(f'1 series left out: "{name}" (')
    assert BAD[name][2] in text
    assert text.count(f'"{name}"') == 1
    assert not any(word in text for word in ("expected", "; pass"))
    others = [str(one) for one in panel.notes if one.kind != "bad-series"]
    assert others == [str(one) for one in expected.notes]


def test_all_kinds_of_bad_series_are_dropped_at_once(tmp_path: Path) -> None:
    panel = panel_from_frame(frame_of("pandas", table(BAD)), on_bad_series="drop")
    assert len(panel) == 5
    assert note(panel, "bad-series").startswith(f"{len(BAD)} series left out: ")
    assert note(panel, "bad-series").endswith(" and 2 more")
    wide = {"date": DAYS, "a": range(40), "b": [*range(39), 1e200], "c": [""] * 39 + ["1"]}
    path = write_csv(tmp_path / "t.csv", {**wide, "d": [*["nan"] * 20, *range(20)]})
    with pytest.raises(DataError):
        panel_from_file(path, target_col=list("abcd"))
    panel = panel_from_file(path, target_col=list("abcd"), on_bad_series="drop")
    assert panel.ids.tolist() == ["a", "c", "d"]
    assert note(panel, "bad-series") == '1 series left out: "b" (1e+200)'


def test_only_bad_series_are_an_error() -> None:
    frame = frame_of("pandas", table({name: BAD[name] for name in ("infinite", "no value")}, 0))
    with pytest.raises(DataError, match=r"-inf|no value"):
        panel_from_frame(frame, on_bad_series="drop")
    with pytest.raises(DataError, match="on_bad_series: found 'skip', expected 'raise' or 'drop'"):
        panel_from_frame(frame, on_bad_series="skip")
    with pytest.raises(DataError, match="on_bad_series: found 'skip'"):
        Forecaster(3, on_bad_series="skip")


def test_bad_series_error_can_be_pickled() -> None:
    frame = frame_of("pandas", table({"infinite": BAD["infinite"]}, 0))
    with pytest.raises(BadSeriesError) as caught:
        panel_from_frame(frame, freq="D", on_bad_series="drop")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is BadSeriesError
    assert (str(copy), copy.count, copy.kind) == (str(caught.value), 1, caught.value.kind)
    assert str(copy.note) == str(caught.value.note)


def test_a_forecaster_drops_bad_series() -> None:
    frame = frame_of("pandas", table(BAD))
    forecaster = Forecaster(3, steps=2, intervals=False, on_bad_series="drop").fit(frame)
    assert note(forecaster, "bad-series")
    assert len(forecaster.predict()) == 15


@pytest.mark.parametrize(("good", "freq"), [(0, "D"), (5, None)])
def test_a_bad_row_after_the_first_cutoff_is_left_out(good: int, freq: str | None) -> None:
    late = {"late": (DAYS, [*range(1, 40), np.inf], "inf")}
    frame = frame_of("pandas", table(late, good))
    panel = panel_from_frame(frame, on_bad_series="drop", freq=freq, held=Rolling(3, 1, 1))
    assert len(panel) == good + 1
    assert panel.series(good).tolist() == list(range(1, 40))
    assert note(panel, "bad-rows") == "1 bad row after the first cutoff left out"


@pytest.mark.parametrize("bad", [1, 300])
def test_few_bad_series_among_many_take_little_time(bad: int) -> None:
    count, rows = 3000, 40
    y = np.ones((count, rows))
    y[:: count // bad, 5] = np.inf
    columns = {
        "unique_id": np.repeat(np.arange(count), rows),
        "ds": np.tile(np.array(DAYS, "datetime64[us]"), count),
        "y": y.ravel(),
    }
    begin = time.process_time()
    panel = panel_from_frame(frame_of("pandas", columns), on_bad_series="drop")
    assert len(panel) == count - bad
    assert time.process_time() - begin < 20  # 0.2 and 2 s
