"""The roles of the columns in long and wide files, named or found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.panel import panel_from_file, panel_from_frame

from ..panels import days, frame_of, note, write_csv

WIDE = {"when": days(3), "a": [1, 2, 3], "b": [4, 5, 6], "label": ["x"] * 3}
LONG = {"unique_id": ["p", "p", "q"], "date": ["2024-01-01", "2024-01-02", "2024-01-01"]}


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "wide.csv", WIDE)


def test_named_targets_keep_their_order(wide: Path) -> None:
    panel = panel_from_file(wide, target_col=["b", "a"])
    assert panel.ids.tolist() == ["b", "a"]
    assert note(panel, "wide") == '2 series, as named; times in "when"'
    assert (panel.form.time_col, panel.form.target_col) == ("when", "y")


def test_a_single_target_names_the_series(wide: Path) -> None:
    alone = panel_from_file(wide, target_col="b")
    timed = panel_from_file(wide, target_col="b", time_col="when")
    assert alone.ids.tolist() == timed.ids.tolist() == ["b"]
    np.testing.assert_array_equal(alone.values, timed.values)
    assert alone.form.target_col == timed.form.target_col == "b"


def test_the_times_of_a_long_file_are_found(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "long.csv", {**LONG, "y": [1, 2, 3]})
    panel = panel_from_file(path)
    assert panel.ids.tolist() == ["p", "q"]
    assert panel.form.time_col == "date"
    other = write_csv(tmp_path / "other.csv", {**LONG, "sold": [1, 2, 3]})
    assert panel_from_file(other, target_col="sold").ids.tolist() == ["p", "q"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_col": "c"}, 'target_col: found no column "c"'),
        ({"target_col": ["a", "labell"]}, 'found no column "labell" (did you mean "label"?)'),
        ({"time_col": "time"}, 'time_col: found no column "time"; the columns are "when", "a"'),
        ({"id_col": "shop"}, 'id_col: found no column "shop"'),
        ({"target_col": ["label"]}, 'found "x", expected a number'),
        ({"target_col": "when"}, 'found "2024-01-01", expected a number'),
    ],
)
def test_errors_about_columns_name_the_file(wide: Path, options: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        panel_from_file(wide, **options)
    assert said in str(caught.value)
    assert caught.value.file == wide


def test_long_lists_of_names_are_shortened(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "many.csv", {f"c{k}": [1] for k in range(30)})
    with pytest.raises(DataError, match='"c19" and 10 more'):
        panel_from_file(path, target_col="nothing")


def test_several_targets_of_a_long_file_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "long.csv", {**LONG, "y": [1, 2, 3], "z": [1, 2, 3]})
    with pytest.raises(DataError, match='found 2 names, expected one: the column "unique_id"'):
        panel_from_file(path, target_col=["y", "z"])


def test_errors_about_the_table_name_the_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "once.csv", {"ds": days(1), "y": [1]})
    with pytest.raises(DataError) as caught:
        panel_from_file(path)
    assert (caught.value.kind, caught.value.file) == ("no-frequency", path)
    with pytest.raises(DataError) as caught:
        panel_from_file(path, freq="fortnight")
    assert caught.value.file is None  # it is the option that is wrong
    with pytest.raises(DataError) as caught:
        panel_from_frame(frame_of("pandas", {"ds": days(1), "y": [1.0]}))
    assert caught.value.file is None


def test_a_saved_model_keeps_its_targets(wide: Path, tmp_path: Path) -> None:
    Forecaster(1, target_col=["b", "a"]).fit(wide).save(tmp_path / "m")
    loaded = Forecaster.load(tmp_path / "m")
    assert loaded.predict(data=wide).equals(loaded.predict())
    assert loaded.predict()["unique_id"].tolist() == ["b", "a"]
