"""Other forecasters on M3's series, each in its own process.

    python -m bench.forecast_peers NAME FREQUENCY   # one JSON object on stdout

Each is used as its documentation shows, with the long frame that its library takes. In a separate
process, its threads, memory and imports affect no other one, and it can be ended at any time.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.m3 import FREQUENCIES, Array, Frequency, Series, load, peak_mib, smape


@dataclass(frozen=True)
class Peer:
    """A forecaster: its library, and a description of how it is used."""

    key: str
    label: str
    library: str
    use: str


PEERS = (
    Peer("autoets", "AutoETS", "statsforecast", "its defaults, one thread"),
    Peer("autotheta", "AutoTheta", "statsforecast", "its defaults, one thread"),
    Peer("dot", "DynamicOptimizedTheta", "statsforecast", "its defaults, one thread"),
    Peer(
        "nhits",
        "NHITS",
        "neuralforecast",
        "its defaults (1,000 steps), input_size of two horizons, all cores",
    ),
    Peer(
        "nhits-robust",
        "NHITS, scaled",
        "neuralforecast",
        'the same with scaler_type="robust"',
    ),
)


def _long(series: Series) -> Any:
    """Return the frame for both libraries; rows are numbered."""
    import pandas as pd

    lengths = np.diff(series.offsets)
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(series)), lengths),
            "ds": np.concatenate([np.arange(length) for length in lengths]),
            "y": series.values,
        }
    )


def _classical(key: str, frequency: Frequency) -> Callable[[Any], Array]:
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS, AutoTheta, DynamicOptimizedTheta

    kind = {"autoets": AutoETS, "autotheta": AutoTheta, "dot": DynamicOptimizedTheta}[key]

    def forecast(frame: Any) -> Array:
        model = kind(season_length=frequency.season)
        table = StatsForecast(models=[model], freq=1, n_jobs=1).forecast(
            df=frame, h=frequency.horizon
        )
        found: Array = table.sort_values(["unique_id", "ds"])[repr(model)].to_numpy(float)
        return found

    return forecast


def _nhits(scaler: str, frequency: Frequency) -> Callable[[Any], Array]:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import NHITS

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    def forecast(frame: Any) -> Array:
        model = NHITS(
            h=frequency.horizon,
            input_size=2 * frequency.horizon,
            scaler_type=scaler,
            start_padding_enabled=True,  # otherwise it refuses series shorter than input_size + h
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        whole = NeuralForecast(models=[model], freq=1)
        whole.fit(frame)
        table = whole.predict()
        found: Array = table.sort_values(["unique_id", "ds"])["NHITS"].to_numpy(float)
        return found

    return forecast


def measure(key: str, frequency: Frequency) -> dict[str, Any]:
    """Fit and forecast all series of one frequency."""
    series = load(frequency, validate=False)
    frame = _long(series)
    start = time.perf_counter()
    if key.startswith("nhits"):
        scaler = "robust" if key == "nhits-robust" else "identity"
        forecast = _nhits(scaler, frequency)
    else:
        forecast = _classical(key, frequency)
    imported, used = time.perf_counter(), time.process_time()
    forecasts = forecast(frame).reshape(series.truth.shape)
    return {
        "smape": smape(forecasts, series.truth),
        "import_seconds": imported - start,
        "seconds": time.perf_counter() - imported,
        "cpu_seconds": time.process_time() - used,
        "peak_mib": peak_mib(),
        "forecasts": series.truth.size,
        "version": version(next(peer.library for peer in PEERS if peer.key == key)),
    }


def main() -> int:
    """Run the command."""
    warnings.filterwarnings("ignore")
    key, name = sys.argv[1:]
    frequency = next(one for one in FREQUENCIES if one.name == name)
    out = os.dup(1)
    os.dup2(2, 1)  # a library's output must not mix with the result
    result = measure(key, frequency)
    os.write(out, json.dumps(result).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
