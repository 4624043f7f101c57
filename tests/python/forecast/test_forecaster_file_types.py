"""Types of columns in a forecaster's file: those of frames survive, others are refused."""

import datetime as dt
import json
import tracemalloc
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from memattn import FormatError
from memattn.errors import DataError
from memattn.forecast import Forecaster

from .forecaster_files import comes_back, joined, parts, small
from .panels import random_table


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "forecaster.safetensors"
    small().fit(random_table(3)).save(path)
    return path


# A value of the first types takes half a gigabyte; others make pandas evaluate text or read a file.
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
def test_invalid_types_of_pandas_are_refused_in_little_memory(
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
        {"unique_id": "uint16", "ds": "datetime64[ns]"},
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
def test_more_types_of_pandas_survive_a_file(change: dict[str, str], tmp_path: Path) -> None:
    table = random_table(3, "D")
    if change["unique_id"].lower().startswith(("int", "uint")):
        table["unique_id"] = table["unique_id"].str[1:].astype(int)
    if "," in change["ds"]:
        table["ds"] = table["ds"].dt.tz_localize("UTC")
    comes_back(small().fit(table.astype(change)), tmp_path / "f.safetensors", [80])


def test_time_zones_of_dateutil_survive_a_file(tmp_path: Path) -> None:
    tz = pytest.importorskip("dateutil.tz")
    path, table = tmp_path / "f.safetensors", random_table(3, "h")
    table["ds"] = table["ds"].dt.tz_localize(tz.tzoffset("office", -5400))
    forecaster = small().fit(table)
    forecaster.save(path)
    found, expected = Forecaster.load(path).predict(), forecaster.predict()
    assert str(found["ds"].dtype) == "datetime64[us, UTC-01:30]"
    assert (found["ds"] == expected["ds"]).all()


def test_fit_refuses_a_time_zone_without_a_name() -> None:
    tz = pytest.importorskip("dateutil.tz")
    zone = tz.tzfile(tz.gettz("Europe/Berlin")._filename)
    zone._filename = "office"
    times = pd.date_range("2024-01-01", periods=9, tz=zone)
    with pytest.raises(DataError, match=r'"ds": found the time zone .*, expected one with a name'):
        small().fit(pd.DataFrame({"ds": times, "y": range(9)}))


TWO = [dt.date(2024, 1, 1), dt.date(2025, 1, 1)]
REFUSED_IDS: dict[str, list[Any]] = {
    "fractions": [0.5, 1.5],
    "whole floats": [1.0, 2.0],
    "booleans": [True, False],
    "dates": TWO,
    "times": [datetime(2024, 1, 1), datetime(2025, 1, 1)],
    "spans": [timedelta(1), timedelta(2)],
    "decimals": [Decimal(1), Decimal(2)],
    "bytes": [b"a", b"b"],
    "uuids": [uuid.UUID(int=1), uuid.UUID(int=2)],
    "tuples": [("a", 1), ("b", 2)],
    "mixed": ["a", 1],
    "mixed booleans": [1, True],
    "surrogates": ["a", "\ud800"],
}


@pytest.mark.parametrize("case", REFUSED_IDS)
@pytest.mark.parametrize("library", ["pandas", "pandas objects", "polars", "pyarrow"])
def test_fit_refuses_ids_that_no_file_can_store(library: str, case: str) -> None:
    cells = [one for one in REFUSED_IDS[case] for _ in range(9)]
    columns = {"ds": [*range(9)] * 2, "y": [float(k) for k in range(18)]}
    frame: Any
    if library.startswith("pandas"):
        frame = pd.DataFrame({"unique_id": pd.Series(cells, dtype=object), **columns})
        frame = (
            frame if library == "pandas objects" or case == "surrogates" else frame.infer_objects()
        )
    elif case in ("surrogates", "mixed", "tuples", "uuids", "mixed booleans"):
        if library == "pyarrow":
            pytest.skip("PyArrow has no such column")
        objects = pl.Series(cells, dtype=pl.Object)
        frame = pl.DataFrame(columns).with_columns(objects.alias("unique_id"))
    else:
        frame = (pl.DataFrame if library == "polars" else pa.table)({"unique_id": cells, **columns})
    with pytest.raises(DataError, match=r'column "unique_id": found .*ids .*, expected ') as caught:
        small().fit(frame)
    assert caught.value.kind == "mixed-ids"


def test_sparse_columns_become_dense_ones(tmp_path: Path) -> None:
    columns = {"unique_id": np.repeat([1, 2, 3], 20), "ds": [*range(20)] * 3, "y": range(1, 61)}
    table = pd.DataFrame(columns).astype({"unique_id": pd.SparseDtype("int64")})
    table = table.astype({"ds": pd.SparseDtype("int32")})
    forecaster = comes_back(small().fit(table), tmp_path / "f.safetensors", [80])
    assert forecaster.predict().dtypes.astype(str).tolist() == ["int64", "int32", "float64"]


@pytest.mark.parametrize("key", ["id_dtype", "time_dtype"])
@pytest.mark.parametrize("dtype", ["Int8", "Datetime us Mars/Base", "Date", "String", "Null", ""])
def test_invalid_types_of_polars_are_refused(key: str, dtype: str, tmp_path: Path) -> None:
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
