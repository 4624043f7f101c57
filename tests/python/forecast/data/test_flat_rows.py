"""Rows of series in one array, against a loop."""

import numpy as np

from memattn.forecast.data.flat_rows import offsets_of, rows_from


def test_offsets_and_rows_equal_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    for count in range(5):
        lengths, starts = rng.integers(0, 4, count), rng.integers(0, 50, count)
        rows = [
            start + k for start, length in zip(starts, lengths, strict=True) for k in range(length)
        ]
        assert rows_from(starts, lengths).tolist() == rows
        assert offsets_of(lengths).tolist() == [int(lengths[:k].sum()) for k in range(count + 1)]
        assert offsets_of(lengths).dtype == np.int64
