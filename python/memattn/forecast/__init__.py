"""Forecasts of equally spaced series: read a CSV or a DataFrame, train, validate, look ahead.

>>> from memattn.forecast import forecast_csv
>>> result = forecast_csv("data/new_york_temperature.csv", horizon=48)  # doctest: +SKIP
>>> result.to_frame()  # doctest: +SKIP
>>> result.write_report("report.html")  # doctest: +SKIP
"""

from __future__ import annotations

from memattn.errors import DataError
from memattn.forecast.forecaster import Forecaster
from memattn.forecast.metrics import Accuracy
from memattn.forecast.panel import Panel, panel_from_file, panel_from_frame
from memattn.forecast.pipeline import forecast_csv, forecast_frame
from memattn.forecast.result import ForecastResult, Settings, TargetForecast, Validation
from memattn.forecast.time_axis import TimeAxis

__all__ = [
    "Accuracy",
    "DataError",
    "ForecastResult",
    "Forecaster",
    "Panel",
    "Settings",
    "TargetForecast",
    "TimeAxis",
    "Validation",
    "forecast_csv",
    "forecast_frame",
    "panel_from_file",
    "panel_from_frame",
]
