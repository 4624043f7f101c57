"""Trains a prior: networks that forecast series they were not trained on.

The networks learn from windows of many series, from the third row of each series on. They forecast
quantiles, so that series too short to measure errors on have intervals too. Each memory layer has
one head. This takes a quarter of the weights of a forecaster's own networks, which keeps the
package's files small.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from memattn._memattn import PanelForecaster
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.columns import Array
from memattn.forecast.data.flat_rows import offsets_of
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import (
    MAX_LOOKBACK,
    MEMORY_LAYERS,
    SEASON_FOUND,
    Setting,
    Settings,
    engine_options,
)
from memattn.forecast.model import Model
from memattn.forecast.prior import FEWEST_HISTORY
from memattn.forecast.progress import Progress

# Lookbacks in rows by season; for other seasons, five seasons. Chosen on the training parts of M1
# and M3, `python -m bench.prior --validate`; for hourly series, each network sees a week or more.
LOOKBACKS = {4: 32, 5: 60, 7: 84, 12: 60, 24: 240, 52: 104}
YEARS, NO_SEASON = 14, 36  # lookbacks in rows without a season
# The last rows of a series that are used. A season ten years ago is not that of next year: on the
# training parts of M1 and M3, forecasts of quarterly and monthly series from the last ten seasons
# were as good as from more. For hourly series, six weeks are enough to find the weekly pattern.
ROWS_SEEN, OTHER_ROWS_SEEN = {4: 40, 12: 120, 24: 1008, 52: 520}, 500
LONG_SEASONS = {24: 168}  # a week of hours
AROUND = (1.0, 0.75, 1.25)  # the lookbacks of the members, times the one above
LEVELS = (40.0, 60.0, 80.0, 95.0)
STEPS = 10_000
HEADS = 1


def prior_settings(season: int, yearly: bool, asked: ForecasterOptions) -> Settings:
    """Returns the settings of a prior for series of a season."""
    rows = LOOKBACKS.get(season, min(5 * season, MAX_LOOKBACK))
    if season == 1:
        rows = YEARS if yearly else NO_SEASON
    rows = asked.lookback or rows
    seen = [round(rows * AROUND[k % len(AROUND)]) for k in range(asked.members)]
    usual = "usual for a prior"
    settings = {
        "horizon": Setting(asked.horizon, "as given"),
        "season": Setting(season, "as given" if asked.season else SEASON_FOUND),
        "members": Setting(asked.members, "as given"),
        "loss": Setting("quantile", "a prior gives intervals"),
        "seed": Setting(asked.seed, "as given" if asked.seed else "default"),
        "windows": Setting("last_values", "the rows before each forecast, without their season"),
        "logs": Setting(True, "for positive series"),
        "layers": Setting(MEMORY_LAYERS, usual),
        "lookbacks": Setting(tuple(sorted(seen)), "as given" if asked.lookback else usual),
        "min_history": Setting(FEWEST_HISTORY, "a prior also forecasts short series"),
        "steps": Setting(asked.steps or STEPS, "as given" if asked.steps else usual),
        "levels": Setting(asked.trained_levels or LEVELS, "interval bounds are trained for them"),
        "num_heads": Setting(HEADS, usual),
        "rows_seen": Setting(
            max(ROWS_SEEN.get(season, OTHER_ROWS_SEEN), *seen), "older rows help little"
        ),
    }
    if season in LONG_SEASONS:
        why = "a week, used if its days differ by more than chance"
        settings["long_season"] = Setting(LONG_SEASONS[season], why)
    return MappingProxyType(settings)


def pretrained(
    series: Sequence[tuple[Array, Ticks]],
    settings: Settings,
    like: Panel,
    progress: Progress | None = None,
) -> Fitted:
    """Trains networks on panels that share a season; the result does not keep their series.

    Parameters
    ----------
    series : sequence of (values, offsets)
        The panels: series k of a panel is ``values[offsets[k]:offsets[k + 1]]``.
    settings : Settings
        The settings, from `prior_settings`.
    like : Panel
        The panel whose frequency and column names the file keeps.
    progress : Progress, optional
        The progress callback of the engine.

    Raises
    ------
    RuntimeError
        If the training diverges.
    """
    options: dict[str, Any] = engine_options(settings)
    engine = PanelForecaster(**options)
    values = np.concatenate([one for one, _ in series])
    offsets = offsets_of(np.concatenate([np.diff(starts) for _, starts in series]))
    done = engine.fit(values, offsets, progress, None)
    count = plural(len(offsets) - 1, "series", "series")
    notes = [Note("prior", f"a prior, trained on {count}", len(offsets) - 1)]
    if not done:
        notes.append(Note("stopped", "training was stopped early by the progress callback", 1))
    return Fitted(Model(engine, settings), like, None, tuple(notes))
