"""The figures of effect curves: how the forecast follows a covariate known ahead."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from memattn.figure_style import BLUE, INK
from memattn.forecast.explanation import EffectCurve

FEW_POINTS = 3  # a number with at most this many values is drawn as points, not as a line


def draw_curve(curve: EffectCurve) -> Figure:
    """Draws the mean forecast for each value of a covariate, plus or minus two standard errors.

    Categories are numbered from 1 on; the page names them below the figure.
    """
    figure = Figure(figsize=(3.1, 1.75))
    axes = figure.add_axes((0.16, 0.14, 0.81, 0.83))  # uniform, and faster than a layout engine
    forecasts, margin = curve.forecasts.mean(axis=1), 2 * curve.standard_error
    if curve.labels or len(forecasts) <= FEW_POINTS:
        places = np.arange(1, len(forecasts) + 1) if curve.labels else curve.values
        style = {"fmt": "o", "color": BLUE, "markersize": 5, "ecolor": INK, "elinewidth": 0.8}
        axes.errorbar(places, forecasts, margin, **style)  # type: ignore[arg-type]
        axes.margins(x=0.15, y=0.15)
        axes.set_xticks(places)
        if curve.labels:
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    else:
        low, high = forecasts - margin, forecasts + margin
        axes.fill_between(curve.values, low, high, color=BLUE, alpha=0.16, linewidth=0)
        axes.plot(curve.values, forecasts, color=BLUE, linewidth=1.8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.tick_params(labelsize=8, length=2)
    return figure
