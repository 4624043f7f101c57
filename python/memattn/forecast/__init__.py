"""Forecasts of many series: read a frame or a file, train, predict with intervals, measure.

>>> from memattn.forecast import Forecaster
>>> forecaster = Forecaster(horizon=48).fit("data/new_york_temperature.csv")  # doctest: +SKIP
>>> forecaster.predict(level=[80, 95])  # doctest: +SKIP
"""

from __future__ import annotations

from memattn.errors import DataError
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.forecaster import Forecaster

__all__ = [
    "DataError",
    "Evaluation",
    "Forecaster",
    "Panel",
    "panel_from_file",
    "panel_from_frame",
]
