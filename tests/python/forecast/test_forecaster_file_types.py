"""The types of columns in a forecaster's file: those of frames come back, others are refused."""

import json
import tracemalloc
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn import FormatError
from memattn.forecast import Forecaster
from memattn.forecast.data.form_config import zone_config

from .forecaster_files import comes_back, joined, parts, small
from .panels import random_table


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "forecaster.safetensors"
    small().fit(random_table(3)).save(path)
    return path


# The first takes half a gigabyte for a value; pandas evaluates the next, or reads a file for them.
ODD_TYPES = [
    *("S500000000", "U500000000", "V500000000", ", <f8", "i4,,", "(1000000,)f8", "f8,f8", "O,O"),
    *("datetime64[us, dateutil//etc/passwd]", "datetime64[us, UTC]", "datetime64[1000000us]"),
    *("datetime64[us, " + "x" * 10_000 + "]", "timestamp[us, tz=Mars/Base][pyarrow]", "period[D]"),
    *("category[S9]", "interval[int64]", "Sparse[int64]", "complex128", "M8[us]", "object " * 3),
    *(
        "decimal128(9, 2)[pyarrow]",
        "x" * 1_000_000,
        "",
        "\0",
        "int8\n",
        "os.system",
        "timedelta64[s]",
    ),
]


@pytest.mark.parametrize("dtype", ODD_TYPES, ids=lambda dtype: dtype[:20])
@pytest.mark.parametrize("key", ["id_dtype", "time_dtype"])
def test_types_of_pandas_that_lie_are_refused_in_little_memory(
    key: str, dtype: str, saved: Path, tmp_path: Path
) -> None:
    header, body = parts(saved)
    config = json.loads(header["__metadata__"]["config"])
    config["form"][key] = dtype
    header["__metadata__"]["config"] = json.dumps(config)
    path = tmp_path / "f.safetensors"
    path.write_bytes(joined(header, body))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=f"config: form: {key}: found the type"):
            Forecaster.load(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        {"unique_id": "float64", "ds": "datetime64[ns]"},
        {"unique_id": "Int32", "ds": "datetime64[s]"},
        {"unique_id": "string", "ds": "datetime64[ms, Europe/Berlin]"},
        {"unique_id": "string[pyarrow]", "ds": "timestamp[us][pyarrow]"},
        {"unique_id": "int64[pyarrow]", "ds": "timestamp[us, tz=+05:30][pyarrow]"},
        {"unique_id": "large_string[pyarrow]", "ds": "timestamp[ns, tz=UTC][pyarrow]"},
        {"unique_id": "str", "ds": "timestamp[s, tz=Europe/Berlin][pyarrow]"},
        {"unique_id": "object", "ds": "datetime64[us, UTC-03:30]"},
    ],
    ids=lambda change: " ".join(change.values()),
)
def test_more_types_of_pandas_come_back(change: dict[str, str], tmp_path: Path) -> None:
    table = random_table(3, "D")
    if change["unique_id"].lower().startswith(("int", "float")):
        table["unique_id"] = table["unique_id"].str[1:].astype(int)
    if "," in change["ds"]:
        table["ds"] = table["ds"].dt.tz_localize("UTC")
    comes_back(small().fit(table.astype(change)), tmp_path / "f.safetensors", [80])


def test_zones_of_other_libraries_come_back(tmp_path: Path) -> None:
    tz = pytest.importorskip("dateutil.tz")
    path, table = tmp_path / "f.safetensors", random_table(3, "h")
    table["ds"] = table["ds"].dt.tz_localize(tz.tzoffset("office", -5400))
    forecaster = small().fit(table)
    forecaster.save(path)
    found, expected = Forecaster.load(path).predict(), forecaster.predict()
    assert str(found["ds"].dtype) == "datetime64[us, UTC-01:30]"
    assert (found["ds"] == expected["ds"]).all()


class Nameless(tzinfo):
    """A zone without a name whose distance from UTC changes."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None if when is None else timedelta(hours=1 + (4 <= when.month <= 9))

    def dst(self, when: datetime | None) -> timedelta | None:
        return None


def test_a_zone_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="found a zone without a name"):
        zone_config(Nameless())


DATES = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([0.5, 1.5, 2.5], 'ids: found "0.5" of the type float, expected text or whole numbers'),
        (DATES, "ids: found .* of the type Timestamp"),
        (pd.arrays.SparseArray([1, 2, 3]), r"ids of the type Sparse\[int64, 0\] cannot be kept"),
    ],
    ids=["fractions", "dates", "sparse"],
)
def test_what_a_file_cannot_keep_is_said(ids: Any, said: str, tmp_path: Path) -> None:
    days = np.tile(pd.date_range("2024-01-01", periods=20), 3)
    series = pd.Series(ids).take(np.repeat(range(3), 20)).reset_index(drop=True)
    forecaster = small().fit(pd.DataFrame({"unique_id": series, "ds": days, "y": range(60)}))
    with pytest.raises(ValueError, match=said):
        forecaster.save(tmp_path / "f.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_times_that_a_file_cannot_keep_are_said(tmp_path: Path) -> None:
    table = random_table(3).assign(ds=lambda t: t.groupby("unique_id").cumcount())
    forecaster = small().fit(table.astype({"ds": pd.SparseDtype("int64")}))
    with pytest.raises(ValueError, match=r"times of the type Sparse.* cannot be kept"):
        forecaster.save(tmp_path / "f.safetensors")


@pytest.mark.parametrize("key", ["id_dtype", "time_dtype"])
@pytest.mark.parametrize("dtype", ["Int8", "Datetime us Mars/Base", "Date", "String", "Null", ""])
def test_types_of_polars_that_lie_are_refused(key: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    small().fit(pl.from_pandas(random_table(3, "h"))).save(path)
    header, body = parts(path)
    config = json.loads(header["__metadata__"]["config"])
    config["form"][key] = dtype
    header["__metadata__"]["config"] = json.dumps(config)
    path.write_bytes(joined(header, body))
    if (key, dtype) in (("id_dtype", "String"), ("time_dtype", "Date")):
        Forecaster.load(path).predict()
    else:
        with pytest.raises(FormatError, match="config: form"):
            Forecaster.load(path)
