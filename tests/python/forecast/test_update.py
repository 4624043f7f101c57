"""Updates of a fitted forecaster with new rows: its forecasts, its state, and refused rows."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn.errors import DataError
from memattn.forecast import Forecaster, panel_from_frame

from .covariate_tables import LISTS, shops
from .panels import LIBRARIES, as_library

H = 4
FREQUENCIES = ["MS", "ME", "D", "B", "W-MON", "QS", "h", "15min", 1]


def table(
    seed: int, freq: str | int = "MS", count: int = 12, length: int = 40, zone: str | None = None
) -> pd.DataFrame:
    """Returns series with different ends, missing rows and missing values, rows in random order."""
    rng = np.random.default_rng(seed)
    parts = []
    for k in range(count):
        rows = length + int(rng.integers(6))
        if isinstance(freq, int):
            ds: Any = freq * np.arange(rows)
        else:
            ds = pd.date_range("2019-12-30", periods=rows, freq=freq, tz=zone)
        y = 50 + 10 * np.sin(np.arange(rows) / 2 + k) + rng.normal(size=rows)
        y[rng.random(rows) < 0.02] = np.nan
        part = pd.DataFrame({"unique_id": f"s{k:02d}", "ds": ds, "y": y})
        parts.append(part[rng.random(rows) > 0.02])
    return pd.concat(parts).sample(frac=1, random_state=seed).reset_index(drop=True)


def fit(rows: Any, **options: Any) -> Forecaster:
    return Forecaster(H, **({"steps": 3, "prior": None} | options)).fit(rows)


def divided(rows: pd.DataFrame, seed: int, how: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits rows into those for fit and those for later.

    With `how` "last", later rows are the last ones of each series. With "any", they are also random
    rows, new series and some known rows; with "some", only rows of four series.
    """
    rng = np.random.default_rng(seed)
    back = rows.ds.groupby(rows.unique_id).rank(ascending=False)
    later = back <= rng.integers(1, 4)
    if how != "last":
        later |= rng.random(len(rows)) < 0.04
        later |= rows.unique_id.isin(["s00", "s07", "s11"])
    if how == "some":
        later &= rows.unique_id.isin(["s00", "s02", "s03", "s11"])
    again = rows[~later].sample(5, random_state=seed) if how == "any" else rows[:0]
    return rows[~later], pd.concat([rows[later], again])


def one(ds: Any = "2024-01-01", y: float = 1.0, name: Any = "s01", **more: Any) -> pd.DataFrame:
    given = {"unique_id": [name], "ds": pd.to_datetime([ds]), "y": [y]}
    return pd.DataFrame(given | {key: [value] for key, value in more.items()})


def same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if hasattr(found, "to_pandas"):
        found, expected = found.to_pandas(), expected.to_pandas()
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("how", ["last", "some", "any"])
@pytest.mark.parametrize("freq", FREQUENCIES)
def test_forecasts_after_an_update_equal_those_of_all_rows(freq: str | int, how: str) -> None:
    for seed in range(2):
        rows = table(seed, freq)
        first, later = divided(rows, seed, how)
        forecaster = fit(first, freq=freq if isinstance(freq, int) else None)
        expected = forecaster.predict(rows, level=[80])
        assert forecaster.update(later) is forecaster
        same(forecaster.predict(level=[80]), expected)


@pytest.mark.parametrize("freq", ["D", "h", "MS"])
@pytest.mark.parametrize("how", ["last", "any"])
def test_updates_across_clock_changes_equal_forecasts_of_all_rows(freq: str, how: str) -> None:
    rows = table(3, freq, length=130, zone="Europe/Oslo")
    first, later = divided(rows, 3, how)
    forecaster = fit(first)
    expected = forecaster.predict(rows)
    same(forecaster.update(later).predict(), expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_several_updates_in_any_library_equal_one(library: str) -> None:
    rows = table(4)
    first, later = divided(rows, 4, "any")
    forecaster = fit(as_library(library, first))
    expected = forecaster.predict(as_library(library, rows), level=[80, 95])
    for part in (later[::2], later[1::2]):
        forecaster.update(as_library(library, part))
    same(forecaster.predict(level=[80, 95]), expected)


def test_a_wide_file_updates_a_fit_to_a_wide_file(tmp_path: Path) -> None:
    rows = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=50, freq="MS")})
    for k, name in enumerate(["b", "a", "c"]):
        rows[name] = 20 + np.arange(50) % (5 + k)
    paths = {name: tmp_path / f"{name}.csv" for name in ("all", "first", "later")}
    for path, part in zip(paths.values(), (rows, rows[:45], rows[45:]), strict=True):
        part.to_csv(path, index=False)
    forecaster = fit(paths["first"])
    expected = forecaster.predict(paths["all"])
    same(forecaster.update(paths["later"]).predict(), expected)
    assert list(expected.unique_id.unique()) == ["b", "a", "c"]


def with_days(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = shops(np.random.default_rng(seed))
    known = rows[rows.y.notna()].groupby("unique_id").ds.transform("max")
    known = known.reindex(rows.index)
    known = rows.unique_id.map(rows[rows.y.notna()].groupby("unique_id").ds.max())
    cut = known - pd.Timedelta(days=3)
    rng = np.random.default_rng(seed)
    late = (rows.ds > cut) | ((rng.random(len(rows)) < 0.03) & (rows.ds > rows.ds.min()))
    late &= rows.ds > rows.groupby("unique_id").ds.transform("min")
    return rows, rows[~late], rows[late]


@pytest.mark.parametrize("options", [{}, {"calendar": True}])
@pytest.mark.parametrize("seed", range(3))
def test_updates_include_covariates(seed: int, options: dict[str, Any]) -> None:
    rows, first, later = with_days(seed)
    forecaster = Forecaster(H, steps=2, **LISTS, **options).fit(first)
    panel = forecaster.panel(rows)
    forecaster.update(later)
    own = forecaster._state("test").panel
    assert own.covariates is not None
    assert panel.covariates is not None
    np.testing.assert_array_equal(own.values, panel.values)
    np.testing.assert_array_equal(own.covariates.values, panel.covariates.values)
    assert own.covariates.columns == panel.covariates.columns
    np.testing.assert_array_equal(own.ids, panel.ids)
    np.testing.assert_array_equal(own.last, panel.last)


def test_updates_replace_planned_covariates() -> None:
    """Rows after the end have planned covariates in `fit`, and actual ones in later updates."""
    days = pd.date_range("2024-01-01", periods=60)
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"unique_id": np.repeat(["a", "b"], 60), "ds": np.tile(days, 2)})
    rows = rows.assign(x=rng.normal(size=120), y=rng.normal(size=120) + 9)
    place = rows.groupby("unique_id").cumcount()
    forecast = rows.assign(y=rows.y.where(place < 50), x=rows.x.where(place < 50, 0.5))
    fitted = fit(forecast[place < 54], futr_exog_list="x")
    plain = fit(forecast[place < 54], futr_exog_list="x")
    some = (place >= 50) & (place < 52) & (rows.unique_id == "a")
    fitted.update(rows[some])
    later = rows[(place >= 52) | (rows.unique_id == "b")]
    known = pd.concat([rows[place < 50], rows[some]])
    same(fitted.predict(X_df=later), plain.predict(known, X_df=later))
    # Rows that have no value yet, with new planned covariates.
    fitted.update(rows[(place >= 50) & (rows.unique_id == "b")].assign(y=np.nan))
    fitted.update(rows[(place >= 52) & (rows.unique_id == "a")].assign(y=np.nan))
    same(fitted.predict(), plain.predict(known, X_df=later))


def test_static_covariates_of_an_update_are_in_static_df() -> None:
    rows = table(8)
    static = pd.DataFrame({"unique_id": sorted(set(rows.unique_id)), "kind": list("abab" * 3)})
    first, later = divided(rows, 8, "any")
    forecaster = Forecaster(H, steps=2, stat_exog_list=["kind"]).fit(first, static_df=static)
    expected = forecaster.predict(rows, static_df=static)
    before = forecaster.predict()
    with pytest.raises(DataError, match='no column "kind"'):
        forecaster.update(later)
    with pytest.raises(DataError, match="has no row for series"):
        forecaster.update(later, static_df=static[:3])
    same(forecaster.predict(), before)
    same(forecaster.update(later, static_df=static).predict(), expected)


def test_an_update_may_add_a_missing_static_covariate() -> None:
    rows = table(4)
    first, later = divided(rows, 4, "last")
    kinds = rows.unique_id.map({name: "ab"[k % 2] for k, name in enumerate(set(rows.unique_id))})
    first = first.assign(kind=kinds[first.index].where(first.unique_id != "s02"))
    later = later.assign(kind=kinds[later.index])
    forecaster = Forecaster(H, steps=2, stat_exog_list="kind").fit(first)
    expected = forecaster.predict(pd.concat([first, later]))
    same(forecaster.update(later).predict(), expected)


def test_a_saved_forecaster_keeps_the_rows(tmp_path: Path) -> None:
    rows = table(9)
    first, later = divided(rows, 9, "any")
    forecaster = fit(first).update(later)
    expected = forecaster.predict(level=[90])
    forecaster.save(tmp_path / "it.safetensors")
    loaded = Forecaster.load(tmp_path / "it.safetensors")
    same(loaded.predict(level=[90]), expected)
    assert [note.kind for note in loaded.notes] == [note.kind for note in forecaster.notes]


def test_notes_describe_only_the_last_update() -> None:
    rows = table(10)
    first, later = divided(rows, 10, "last")
    forecaster = fit(first)
    notes = forecaster.notes
    forecaster.update(later[:4])
    forecaster.update(pd.concat([later[4:], later[5:7]]))
    kinds = [note.kind for note in forecaster.notes]
    assert forecaster.notes[: len(notes)] == notes
    assert kinds.count("update") == 1
    (told,) = [note for note in forecaster.notes if note.kind == "update"]
    assert told.text.startswith(f"the last update brought {len(later) - 2} rows of ")
    assert "update-duplicates" in kinds


def test_held_out_windows_survive_an_update() -> None:
    rows = table(11)
    first, later = divided(rows, 11, "any")
    forecaster = fit(first)
    before = forecaster.held_out([80])
    forecaster.update(later[~later.unique_id.isin(first.unique_id)])  # only new series
    after = forecaster.held_out([80])
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(after.truth, before.truth)
    assert after.overall("memattn") == before.overall("memattn")
    rows = later[later.unique_id == "s01"]  # and below, one row before the first one
    forecaster.update(pd.concat([one("2019-12-01", 50.0), rows]))
    moved = forecaster.held_out([80])
    assert moved is not None
    known = ~np.isnan(before.truth)
    np.testing.assert_array_equal(moved.truth[known], before.truth[known])
    assert np.isfinite(moved.truth).sum() > known.sum()  # earlier, windows reached beyond the end


def test_update_drops_bad_series_if_fit_does() -> None:
    rows = table(12)
    first, later = divided(rows, 12, "last")
    bad = later[later.unique_id == "s03"].assign(y=np.inf)
    rows = pd.concat([first, later[later.unique_id != "s03"], bad])
    forecaster = fit(first, on_bad_series="drop")
    expected = forecaster.predict(rows)
    forecaster.update(pd.concat([later[later.unique_id != "s03"], bad]))
    same(forecaster.predict(), expected)
    assert "s03" not in set(expected.unique_id)
    assert forecaster.held_out() is not None


REFUSED: list[tuple[Callable[[pd.DataFrame], Any], str]] = [
    (lambda rows: one(rows[rows.unique_id == "s01"].dropna().ds.iloc[0], -5), "twice with differ"),
    (lambda rows: one("2024-01-17"), "expected one row every month as in training"),
    (lambda rows: one(y=np.inf), "found inf, expected a finite number"),
    (lambda rows: one(y=1e101), "rescale it"),
    (
        lambda rows: one(name=7),
        "found ids that are whole numbers, expected text as in training",
    ),
    (
        lambda rows: one().assign(ds=[12]),
        "found whole numbers, expected dates as in training",
    ),
    (
        lambda rows: one().assign(ds=pd.to_datetime(["2024-01-01"], utc=True)),
        "expected none as in training",
    ),
    (lambda rows: one().drop(columns="y"), 'found no column "y"'),
    (lambda rows: one()[:0], "the table has no rows"),
    (lambda rows: one(name="new", y=np.nan), "none of its rows has a value"),
    (lambda rows: pd.concat([one(y=1.0), one(y=2.0)]), "twice with different values"),
    (lambda rows: panel_from_frame(rows), "found a Panel, expected a data frame"),
    (lambda rows: [1, 2], "expected a data frame"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED)
def test_unusable_rows_are_refused_and_change_nothing(
    make: Callable[[pd.DataFrame], Any], says: str
) -> None:
    rows = table(13)
    forecaster = fit(rows)
    before, state = forecaster.predict(level=[80]), forecaster._fitted
    with pytest.raises((ValueError, TypeError), match=says):
        forecaster.update(make(rows))
    assert forecaster._fitted is state
    same(forecaster.predict(level=[80]), before)


def test_huge_gaps_are_refused() -> None:
    rng = np.random.default_rng(0)
    ids = np.repeat([f"s{k}" for k in range(30)], 50)
    ds = np.tile(pd.date_range("2024-01-01", periods=50, freq="s"), 30)
    frame = pd.DataFrame({"unique_id": ids, "ds": ds, "y": rng.random(1500)})
    forecaster = fit(frame, intervals=False, season=1)
    state = forecaster._fitted
    for later in ("9999-01-01", "2024-01-12"):  # far ahead; a million rows in each of 30 series
        rows = pd.DataFrame({"unique_id": np.unique(ids), "ds": later, "y": 1.0})
        rows = rows.astype({"ds": "datetime64[us]"})
        with pytest.raises(DataError, match="rows missing"):
            forecaster.update(rows)
        assert forecaster._fitted is state


def test_rows_before_covariates_begin_are_refused() -> None:
    _, first, _ = with_days(1)
    forecaster = Forecaster(H, steps=2, **LISTS).fit(first)
    row = first.iloc[:1].assign(ds=pd.Timestamp("1999-01-01"))
    with pytest.raises(DataError, match="before the first row of its series"):
        forecaster.update(row)


def test_series_must_end_at_the_phase_of_fit() -> None:
    rows = pd.DataFrame(
        {
            "unique_id": "price",
            "ds": pd.date_range("2020-01-01", periods=24 * 90, freq="h"),
            "y": np.random.default_rng(0).random(24 * 90),
            "load": np.random.default_rng(1).random(24 * 90),
        }
    )
    forecaster = Forecaster(24, steps=2, hist_exog_list=["load"], intervals=False)
    forecaster.fit(rows[: 24 * 80])
    expected = forecaster.predict(rows[: 24 * 81])
    with pytest.raises(ValueError, match="another phase of the season"):
        forecaster.update(rows[24 * 80 : 24 * 80 + 1])
    same(forecaster.update(rows[24 * 80 : 24 * 81]).predict(), expected)


def test_update_needs_a_fit_with_series(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="call fit"):
        Forecaster(H).update(one())
    fit(table(1)).save(tmp_path / "none.safetensors", series=False)
    with pytest.raises(RuntimeError, match="without its series"):
        Forecaster.load(tmp_path / "none.safetensors").update(one())


def test_an_error_names_the_row() -> None:
    forecaster = fit(table(2))
    text = io.BytesIO(b"unique_id,ds,y\ns01,2024-01-01,1\ns01,2024-01-09,1\n")
    frame = pl.read_csv(text, try_parse_dates=True)
    with pytest.raises(DataError, match=r'row 2, column "ds": series "s01": found row 2 '):
        forecaster.update(frame)
