"""The tasks of public leaderboards, measured with fev through memattn's adapter.

    .venv-hosts/fev/bin/python -m bench.fev_tasks DATA        a folder as for bench.boards

Prints MASE and WQL of the last horizon for nine quantiles, computed by fev, and the seconds of fit
and forecast.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import fev
import pandas as pd

from memattn.forecast.adapters.fev import MemattnModel

TASKS = {"hospital": (12, 12), "exchange_rate": (30, 5), "m4_hourly": (48, 24)}  # horizon, season


def main() -> None:
    """Measure each task whose file exists."""
    parse = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parse.add_argument("data", type=Path)
    asked = parse.parse_args()
    print("| task | MASE | WQL | fit (s) | forecast (s) |\n|---|--:|--:|--:|--:|")
    for name, (horizon, season) in TASKS.items():
        table = pd.read_csv(asked.data / f"{name}.csv.gz", parse_dates=["ds"])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.parquet"
            table.to_parquet(path, index=False)
            task = fev.Task(
                dataset_path=str(path),
                horizon=horizon,
                seasonality=season,
                extra_metrics=["WQL"],
                quantile_levels=[k / 10 for k in range(1, 10)],
                id_column="unique_id",
                timestamp_column="ds",
                target="y",
            )
            model = MemattnModel()
            found = task.evaluation_summary(model.fit_predict(task), "memattn")
        times = f"{model.training_time:.1f} | {model.inference_time:.1f}"
        print(f"| {name} | {found['MASE']:.3f} | {found['WQL']:.4f} | {times} |", flush=True)


if __name__ == "__main__":
    main()
