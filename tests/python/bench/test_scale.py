"""The benchmarks of engines and of sample sizes: their series, digests and lines."""

from pathlib import Path

import numpy as np
import pandas as pd
from bench.engines import FILES, digest, write_series
from bench.sample_size import long_table, measure
from bench.scaling import growth


def test_series_files_are_the_same_each_time(tmp_path: Path) -> None:
    write_series(tmp_path, 20, 30)
    found = pd.read_parquet(tmp_path)
    assert len(list(tmp_path.iterdir())) == FILES
    assert found.groupby("unique_id").size().tolist() == [30] * 20
    again = tmp_path / "again"
    again.mkdir()
    write_series(again, 20, 30)
    pd.testing.assert_frame_equal(found, pd.read_parquet(again))


def test_a_digest_depends_on_every_bit_but_not_on_the_order() -> None:
    table = pd.DataFrame({"unique_id": ["a", "a", "b"], "ds": [1, 2, 1], "memattn": [0.1, 2, 3]})
    assert digest(table.sample(frac=1, random_state=1)) == digest(table)
    other = table.assign(memattn=[np.nextafter(0.1, 1), 2, 3])
    assert digest(other) != digest(table)
    assert digest(table.assign(unique_id=["a", "a", "c"])) != digest(table)


def test_growth_is_a_line_with_its_largest_error() -> None:
    found = growth([1, 2, 3, 4], [3.5, 3.5, 4.5, 4.5])
    line = "processor time: 3.0 s and 0.400 s for a million rows"
    assert found == f"{line}; no measurement is off by more than 0.3 s"


def test_sizes_are_measured_on_samples() -> None:
    rng = np.random.default_rng(0)
    histories = [rng.gamma(9, size=60) for _ in range(30)]
    table = long_table(histories)
    np.testing.assert_array_equal(table["y"][60:120], histories[1])
    assert table["ds"][60] == 0
    truth = rng.gamma(9, size=(30, 3))
    found = list(measure(histories, truth, 12, [200, 10**6], 1))
    assert [row[:2] for row in found] == [["200", "4"], ["1,800", "30"]]
    assert all(float(row[3]) > 0 for row in found)
