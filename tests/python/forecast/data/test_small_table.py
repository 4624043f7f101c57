"""The table for forecasts if neither pandas nor Polars is installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memattn.errors import DataError
from memattn.forecast.data.small_table import SmallTable

TABLE = SmallTable(
    {
        "unique_id": np.array(["a", 'x,"1"'], dtype=object),
        "y": np.array([0.1, np.nan]),
        "n": np.array([1, 2**53]),
        "hi": np.array([np.inf, -1e300]),
    }
)


def test_a_small_table_has_columns_a_length_and_a_repr() -> None:
    assert (TABLE.columns, len(TABLE)) == (["unique_id", "y", "n", "hi"], 2)
    assert TABLE["n"].tolist() == [1, 2**53]
    assert TABLE.to_dict()["unique_id"] == ["a", 'x,"1"']
    assert repr(TABLE).splitlines() == [
        "unique_id    y                 n       hi",
        "        a  0.1                 1      inf",
        '    x,"1"       9007199254740992  -1e+300',
    ]
    long = SmallTable({"n": np.arange(1500)})
    assert repr(long).splitlines()[-2:] == ["9", "... and 1,490 more rows"]


def test_numbers_in_csv_have_the_same_bits(tmp_path: Path) -> None:
    expected = 'unique_id,y,n,hi\na,0.1,1,inf\n"x,""1""",,9007199254740992,-1e+300\n'
    assert TABLE.to_csv() == expected
    assert TABLE.to_csv(tmp_path / "t.csv") is None
    assert (tmp_path / "t.csv").read_text() == expected
    values = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.arange(-500, 500).clip(
        -300, 300
    )
    text = SmallTable({"y": values}).to_csv()
    assert [float(line) for line in text.splitlines()[1:]] == values.tolist()
    with pytest.raises(DataError):
        TABLE.to_csv(tmp_path)


def test_forecasts_of_files_use_it_without_pandas_and_polars(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n" + "".join(f"2024-Q{k},{k}\n" for k in range(1, 5)))
    code = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: find(name) if name not in MISSING else None
from memattn.forecast import Forecaster
table = Forecaster(2, steps=1).fit("a.csv").predict()
print(type(table).__module__.split(".")[0], list(table["ds"]))
"""
    for missing, expected in (
        ([], "pandas [Timestamp('2025-01-01 00:00:00'), Timestamp('2025-04-01 00:00:00')]"),
        (["pandas"], "polars [datetime.datetime(2025, 1, 1, 0, 0), datetime.datetime(2025, 4, 1"),
        (["pandas", "polars"], "memattn ['2025-Q1', '2025-Q2']"),
    ):
        command = [sys.executable, "-c", code.replace("MISSING", repr(missing))]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        assert done.stdout.startswith(expected)
