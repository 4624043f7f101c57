"""Random ids, times, zones, frequencies and values that fit accepts survive a file.

MEMATTN_LONG_TESTS=1 tries many more.
"""

import datetime as dt
import random
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from memattn.forecast import Forecaster

from ..sampling import LONG

CASES = 2000 if LONG else 80
ROWS = 12
TEXT_IDS = [["a", "b"], ["10", "9"], ["é", "x,1"], ["", " "], ["2024-01-01", "true"]]
WHOLE_IDS = [[1, 2], [-5, 7], [0, 100]]
ARROW_TEXT = (pa.string(), pa.large_string())
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
OFFSETS = (dt.timedelta(hours=5, minutes=30), dt.timedelta(hours=-3), dt.timedelta(0))
KEYS = ("Europe/Berlin", "America/St_Johns", "UTC", "Asia/Kolkata", "Etc/GMT+5")


def zones() -> list[Any]:
    """Returns time zones of all installed libraries that have some."""
    found: list[Any] = [*KEYS, *map(ZoneInfo, KEYS), *map(dt.timezone, OFFSETS), dt.timezone.utc]
    found.append(dt.timezone(dt.timedelta(hours=1), "X"))
    found.append(dt.timezone(dt.timedelta(seconds=3661)))
    tz = pytest.importorskip("dateutil.tz")
    found += [tz.gettz("Europe/Berlin"), tz.tzutc(), tz.tzoffset("office", -5400)]
    try:
        import pytz
    except ImportError:
        return found
    return [*found, pytz.timezone("Europe/Berlin"), pytz.FixedOffset(90), pytz.utc]


ZONES = zones()
FREQUENCIES: list[tuple[str, list[Any]]] = [
    ("h", [None, "h", "1h", pd.offsets.Hour()]),
    ("15min", [None, "15min"]),
    ("D", [None, "D", pd.offsets.Day()]),
    ("MS", [None, "MS", pd.offsets.MonthBegin()]),
    ("W-TUE", [None, "W-TUE", pd.offsets.Week(weekday=1)]),
    ("QE", [None]),
    ("500ms", [None]),
]


def pandas_ids(rng: random.Random) -> pd.Series:
    text = rng.random() < 0.6
    ids = rng.choice(TEXT_IDS if text else WHOLE_IDS)
    cells = pd.Series([one for one in ids for _ in range(ROWS)], dtype=object)
    whole = [*INTEGERS, *(f"{one.replace('i', 'I').replace('u', 'U')}" for one in INTEGERS)]
    dtype: Any = rng.choice(
        [
            *([] if not text else [str, "string", "string[python]", "large_string[pyarrow]"]),
            *([] if text or min(ids) < 0 else [*whole, *(f"{one}[pyarrow]" for one in INTEGERS)]),
            *(["int64", "Int32", "int8[pyarrow]"] if not text else ["string[pyarrow]"]),
            *("object", "category"),
            pd.CategoricalDtype([*reversed(ids), "unused" if text else 99], ordered=True),
            pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string() if text else pa.int64())),
        ]
    )
    return cells.astype(dtype)


def pandas_times(rng: random.Random) -> tuple[Any, Any]:
    """Returns the times of one series, and the option `freq`."""
    kind = rng.choice(
        ("moments", "moments", "arrow", "dates", "objects", "text", "whole", "arrow dates")
    )
    if kind == "whole":
        numbers = pd.Series(range(5, 5 + ROWS))
        dtype = rng.choice([*INTEGERS, "Int64", "UInt8", "int32[pyarrow]", str])
        return numbers.astype(dtype), rng.choice([None, 1, np.int64(1), np.uint8(1)])
    freq, said = rng.choice(FREQUENCIES)
    zone = rng.choice([None, *ZONES])
    if kind in ("dates", "arrow dates"):
        days = pd.Series(pd.date_range("2024-01-01", periods=ROWS, freq="D"))
        if kind == "dates":
            return days.dt.date.astype(object), None
        return days.astype(pd.ArrowDtype(rng.choice((pa.date32(), pa.date64())))), None
    times = pd.Series(pd.date_range("2024-01-01", periods=ROWS, freq=freq, tz=zone))
    if kind == "text":
        texts = times.astype(str) if zone is None else times.map(lambda one: one.isoformat())
        seconds = zone is not None and times[0].utcoffset() % dt.timedelta(minutes=1)
        if not seconds:
            return texts.astype(rng.choice([str, object, "string"])), None
    if kind == "objects":
        return pd.Series(times.dt.to_pydatetime(), dtype=object), None
    if kind == "arrow" and (zone is None or isinstance(zone, str)):
        unit = rng.choice(("ms", "us", "ns"))
        return times.astype(pd.ArrowDtype(pa.timestamp(unit, zone))), rng.choice(said)
    return times.dt.as_unit(rng.choice(("ms", "us", "ns"))), rng.choice(said)


def numbers(rng: random.Random) -> np.ndarray:
    values = np.random.default_rng(rng.randrange(10**6)).gamma(3.0, size=2 * ROWS) * 50 + 1
    return values.astype(rng.choice(("float64", "float32", "int64", "uint16", "int8")))


def pandas_table(rng: random.Random) -> tuple[Any, Any]:
    times, freq = pandas_times(rng)
    ds = pd.concat([times, times], ignore_index=True)
    y = pd.Series(numbers(rng)).astype(rng.choice([None, object, str, "Float64"]) or float)
    return pd.DataFrame({"unique_id": pandas_ids(rng), "ds": ds, "y": y}), freq


def polars_table(rng: random.Random) -> tuple[Any, Any]:
    text = rng.random() < 0.6
    ids = rng.choice(TEXT_IDS if text else WHOLE_IDS)
    kinds: list[Any] = [pl.Int8, pl.Int64, pl.Int128]
    if text:
        kinds = [pl.String, pl.Categorical, pl.Enum([*reversed(ids), "unused"])]
    cells = pl.Series([one for one in ids for _ in range(ROWS)]).cast(rng.choice(kinds))
    zone = rng.choice([None, *KEYS])
    freq, said = rng.choice(FREQUENCIES)
    moments = pl.Series(pd.date_range("2024-01-01", periods=ROWS, freq=freq, tz=zone).as_unit("us"))
    moments = moments.dt.cast_time_unit(rng.choice(("ms", "us", "ns")))
    days = pl.Series([dt.date(2024, 1, 1 + k) for k in range(ROWS)])
    whole = pl.Series(range(ROWS)).cast(rng.choice((pl.Int16, pl.UInt64, pl.Int128, pl.String)))
    dates = days.cast(pl.String)
    said = rng.choice(said)
    counted = (whole, rng.choice((None, 1)))
    others = [(days, None), (dates, "D"), (dates.cast(pl.Categorical), None)]
    times, freq = rng.choice([(moments, said), counted, *others])
    y = pl.Series(numbers(rng))
    frame = pl.DataFrame({"unique_id": cells, "ds": pl.concat([times, times]), "y": y})
    return frame.lazy() if rng.random() < 0.2 else frame, freq


def arrow_table(rng: random.Random) -> tuple[Any, Any]:
    text = rng.random() < 0.6
    ids = pa.array(
        [one for one in rng.choice(TEXT_IDS if text else WHOLE_IDS) for _ in range(ROWS)]
    )
    ids = ids.cast(rng.choice(ARROW_TEXT if text else (pa.int8(), pa.int64())))
    if rng.random() < 0.4:
        parts = ids.dictionary_encode()
        kind = rng.choice((pa.int8(), pa.uint32()))
        ids = pa.DictionaryArray.from_arrays(parts.indices.cast(kind), parts.dictionary)
    freq, said = rng.choice(FREQUENCIES)
    zone = rng.choice([None, *KEYS, "+05:30", "-03:00"])
    times = pd.date_range("2024-01-01", periods=ROWS, freq=freq, tz=zone).as_unit("us")
    unit = rng.choice(("ms", "us", "ns"))
    moments = pa.array(times.tz_localize(None) if zone is None else times).cast(
        pa.timestamp(unit, zone)
    )
    days = pa.array(
        [dt.date(2024, 1, 1 + k) for k in range(ROWS)], rng.choice((pa.date32(), pa.date64()))
    )
    whole = pa.array(range(ROWS), rng.choice((pa.int8(), pa.uint64())))
    texts = pa.array([str(day) for day in days], rng.choice(ARROW_TEXT))
    times, freq = rng.choice([(moments, rng.choice(said)), (days, None), (whole, 1), (texts, None)])
    columns = [pa.chunked_array([part]) for part in (ids, pa.concat_arrays([times, times]))]
    return pa.table([*columns, pa.array(numbers(rng))], ["unique_id", "ds", "y"]), freq


MAKERS = {"pandas": pandas_table, "polars": polars_table, "pyarrow": arrow_table}


def assert_equal(found: Any, expected: Any) -> None:
    """Asserts that two tables are equal in values, order, names and types."""
    assert type(found) is type(expected)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(expected, pl.DataFrame):
        assert_frame_equal(found, expected)
    else:
        assert found.equals(expected)
        assert found.schema == expected.schema


@pytest.mark.parametrize("library", MAKERS)
@pytest.mark.parametrize("part", range(4))
def test_random_tables_survive_a_file(library: str, part: int, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    for case in range(part * CASES // 4, (part + 1) * CASES // 4):
        frame, freq = MAKERS[library](random.Random(case))
        what = f"case {case} of {library}, freq={freq!r}"
        forecaster = Forecaster(2, steps=1, freq=freq, intervals=False)
        try:
            expected = forecaster.fit(frame).predict()
            path.unlink(missing_ok=True)
            forecaster.save(path)
            loaded = Forecaster.load(path)
            assert_equal(loaded.predict(), expected)
            assert_equal(loaded.predict(data=frame), expected)
        except Exception as error:
            raise AssertionError(what) from error
        source = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
        if library == "pyarrow":
            assert expected.schema.field("unique_id").type == source.schema.field("unique_id").type
        else:
            assert expected["unique_id"].dtype == source["unique_id"].dtype, what
