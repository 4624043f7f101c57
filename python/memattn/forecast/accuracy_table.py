"""The accuracy table, as the command line and the report both show it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from memattn.forecast.metrics import Accuracy, skill
from memattn.forecast.result import METHODS, ForecastResult

NUMBER_COLUMNS = ("MAE", "RMSE", "MASE", "sMAPE %", "skill %")
MEAN = "mean"


@dataclass(frozen=True)
class AccuracyRow:
    """One method on one target, with a text for each of NUMBER_COLUMNS."""

    target: str
    method: str
    cells: list[str]


def accuracy_rows(result: ForecastResult) -> list[AccuracyRow]:
    """METHODS for each target, and with several targets for their mean.

    Skill is how much smaller the MAE is than that of seasonal-naive; for the mean, the MASE, since
    errors in different units have no mean.
    """
    rows = []
    for target in result.targets:
        baseline = target.accuracy["seasonal-naive"]
        for method in METHODS:
            measured = target.accuracy[method]
            better = skill(measured.mae, baseline.mae)
            rows.append(AccuracyRow(target.name, method, _cells(method, measured, better)))
    if len(result.targets) > 1:
        for method in METHODS:
            measured = result.overall(method)
            better = skill(measured.mase, result.overall("seasonal-naive").mase)
            rows.append(AccuracyRow(MEAN, method, _cells(method, measured, better)))
    return rows


def _cells(method: str, measured: Accuracy, better: float | None) -> list[str]:
    return [
        significant(measured.mae),
        significant(measured.rmse),
        "-" if measured.mase is None else f"{measured.mase:.3f}",
        f"{measured.smape:.2f}",
        "-" if better is None or method == "seasonal-naive" else f"{better:+.1f}",
    ]


def significant(value: float) -> str:
    """Four significant digits, without an exponent where that reads well."""
    if value != 0 and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.3e}"
    digits = 0 if value == 0 else math.floor(math.log10(abs(value)))
    return f"{value:,.{max(3 - digits, 0)}f}"
