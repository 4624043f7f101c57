"""What a forecast is: the numbers ahead, how well such numbers did before, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from memattn.forecast.intervals import LEVELS
from memattn.forecast.metrics import Accuracy, mean_or_none, skill
from memattn.forecast.time_axis import TimeAxis

if TYPE_CHECKING:
    import pandas as pd

    from memattn._memattn import Forecaster

Array = npt.NDArray[np.float64]

MODEL = "memattn"
BASELINES = ("seasonal-naive", "naive")
METHODS = (MODEL, *BASELINES)


@dataclass(frozen=True)
class Settings:
    """What the model was made with, and in `notes` why, where the user had not said it."""

    horizon: int
    lookback: int
    season: int
    patch_size: int
    units: int
    memory_size: int
    num_heads: int
    epochs: int
    batch_size: int
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Validation:
    """Forecasts of held-out windows, N of them.

    Attributes
    ----------
    origins : array (N,)
        The row of each window's first forecast value.
    truth : array (N, horizon)
        What came.
    forecasts : dict of array (N, horizon)
        What each of METHODS said.
    """

    origins: npt.NDArray[np.int64]
    truth: Array
    forecasts: Mapping[str, Array]

    def errors(self, method: str) -> Array:
        """Forecast minus truth (N, horizon)."""
        return self.forecasts[method] - self.truth

    def mae_by_step(self, method: str) -> Array:
        """Mean absolute error for each step ahead (horizon,)."""
        mean: Array = np.mean(np.abs(self.errors(method)), axis=0)
        return mean


@dataclass(frozen=True)
class TargetForecast:
    """One series and its forecast.

    Attributes
    ----------
    name : str
        The column.
    values : array (n,)
        The series.
    forecast : array (horizon,)
        The values ahead.
    half_widths : dict of array (horizon,)
        By level in percent: the interval is forecast - half_width to forecast + half_width.
    validation : Validation
        The held-out windows.
    accuracy : dict of Accuracy
        By method, over all held-out windows.
    coverage : dict
        By level: the share of truths, in percent, in intervals calibrated on the first half of the
        held-out windows and measured on the second; None when there are too few windows.
    """

    name: str
    values: Array
    forecast: Array
    half_widths: Mapping[int, Array]
    validation: Validation
    accuracy: Mapping[str, Accuracy]
    coverage: Mapping[int, float | None]

    @property
    def skill(self) -> float | None:
        """How much smaller the MAE is than seasonal-naive's, in percent."""
        return skill(self.accuracy[MODEL].mae, self.accuracy["seasonal-naive"].mae)


@dataclass(frozen=True)
class ForecastResult:
    """A forecast of one or several series, with all that is needed to judge and to show it.

    Attributes
    ----------
    source : str
        The name of the file, or what stands for it.
    axis : TimeAxis
        The times of the rows.
    times : list of str
        The times ahead, written like those of the rows.
    targets : list of TargetForecast
        One for each series.
    settings : Settings
        What the model was made with.
    train_end : int
        The model was trained on the rows before this one and on no other.
    training_seconds : float
        How long the training took.
    warnings : list of str
        What a reader must know before using the numbers.
    model : Forecaster
        The model that was validated, and that made the forecast.
    """

    source: str
    axis: TimeAxis
    times: list[str]
    targets: list[TargetForecast]
    settings: Settings
    train_end: int
    training_seconds: float
    warnings: list[str]
    model: Forecaster

    @property
    def rows(self) -> int:
        """The number of rows of each series."""
        return len(self.targets[0].values)

    def overall(self, method: str) -> Accuracy:
        """The accuracy of a method as the mean over targets; MASE and sMAPE have no unit."""
        each = [target.accuracy[method] for target in self.targets]
        return Accuracy(
            mae=float(np.mean([one.mae for one in each])),
            rmse=float(np.mean([one.rmse for one in each])),
            mase=mean_or_none([one.mase for one in each]),
            smape=float(np.mean([one.smape for one in each])),
        )

    @property
    def overall_skill(self) -> float | None:
        """How much smaller the mean MASE is than seasonal-naive's, in percent."""
        return skill(self.overall(MODEL).mase, self.overall("seasonal-naive").mase)

    def overall_coverage(self, level: int) -> float | None:
        """The mean coverage over targets, in percent."""
        return mean_or_none([target.coverage[level] for target in self.targets])

    def columns(self) -> list[str]:
        """The column names of the forecast table."""
        names = ["unique_id", "ds", MODEL]
        for level in LEVELS:
            names += [f"{MODEL}-lo-{level}", f"{MODEL}-hi-{level}"]
        return names

    def records(self) -> list[tuple[str, str, list[float]]]:
        """The rows of the forecast table: target, time, and a number for each further column."""
        rows = []
        for target in self.targets:
            for step, time in enumerate(self.times):
                middle = float(target.forecast[step])
                numbers = [middle]
                for level in LEVELS:
                    width = float(target.half_widths[level][step])
                    numbers += [middle - width, middle + width]
                rows.append((target.name, time, numbers))
        return rows

    def to_frame(self) -> pd.DataFrame:
        """The forecast as a pandas DataFrame, with the columns of forecast.csv."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame(
            [[name, time, *numbers] for name, time, numbers in self.records()],
            columns=self.columns(),
        )
        return frame

    def write_csv(self, path: str | Path) -> None:
        """Writes the forecast table, replacing the file atomically."""
        from memattn.files import write_atomically
        from memattn.forecast.output import forecast_csv_text

        write_atomically(Path(path), forecast_csv_text(self).encode())

    def write_report(self, path: str | Path) -> None:
        """Writes the HTML report, replacing the file atomically."""
        from memattn.files import write_atomically
        from memattn.forecast.first_report import render_report

        write_atomically(Path(path), render_report(self).encode())

    def write_figure(self, path: str | Path, target: str | None = None) -> None:
        """Writes a picture of the forecast of one target, SVG or PNG by the name of the file."""
        from memattn.files import write_atomically
        from memattn.forecast.first_figures import standalone_figure

        write_atomically(Path(path), standalone_figure(self, target, Path(path).suffix))
