"""Forecasts many series: read a data frame or a file, train, predict with intervals, measure.

>>> from memattn.forecast import Forecaster
>>> forecaster = Forecaster(horizon=48).fit("data/new_york_temperature.csv")  # doctest: +SKIP
>>> forecaster.predict(level=[80, 95])  # doctest: +SKIP
"""

from __future__ import annotations

from memattn.errors import DataError
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.frames import Forecasts
from memattn.forecast.data.long_rows import Note
from memattn.forecast.data.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.evaluation import Evaluation
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.forecaster_settings import Setting
from memattn.forecast.measured import Measures
from memattn.forecast.quick_forecast import QuickForecast, quick

__all__ = [
    "DataError",
    "Evaluation",
    "Forecaster",
    "ForecasterOptions",
    "Forecasts",
    "Measures",
    "Note",
    "Panel",
    "QuickForecast",
    "Setting",
    "panel_from_file",
    "panel_from_frame",
    "quick",
]
