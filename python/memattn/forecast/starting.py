"""Trainings that start from the weights of an earlier fit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from memattn.errors import refused
from memattn.forecast.arguments import EXOG, ForecasterOptions
from memattn.forecast.conformal import Calibration
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Windows
from memattn.forecast.forecaster_settings import START, STARTED_STEPS, Setting, Settings
from memattn.forecast.model import Model, Weights, model_of

# Options that must equal those of the earlier fit, which shape its networks.
SAME = ("horizon", "members", "season", "lookback", "loss", "level", *EXOG, "calendar", "country")


@dataclass(frozen=True, eq=False)
class Start:
    """An earlier fit that a training starts from.

    Attributes
    ----------
    model : Model
        The trained model.
    panel : Panel
        The rows that it has seen; no series if they are not known.
    calibration : Calibration, optional
        The calibration of its intervals.
    """

    model: Model
    panel: Panel
    calibration: Calibration | None

    @property
    def settings(self) -> Settings:
        """The settings of the earlier fit."""
        return self.model.settings

    def model_for(self, settings: Settings, panel: Panel) -> Model:
        """Returns a model with these weights, to train with the `settings` of `settings_after`."""
        return model_of(settings, panel, self._weights(), self.model)

    def _weights(self) -> Sequence[Weights]:
        engine = self.model.engine
        return [engine.parameters(k) for k in range(engine.members)]

    @property
    def fingerprint(self) -> str:
        """A hash of the weights, in hexadecimal."""
        digest = hashlib.blake2b(digest_size=8)
        for one in self._weights():
            digest.update(np.ascontiguousarray(one, "<f4").tobytes())
        return digest.hexdigest()

    def unseen(self, panel: Panel, windows: Windows) -> Windows:
        """Returns the windows of a panel that begin after all rows seen of their series.

        If the seen rows are not known, there are none.
        """
        if not len(self.panel):
            return Windows(windows.series[:0], windows.ends[:0])
        new = windows.ends >= self._seen(panel)[windows.series]
        return Windows(windows.series[new], windows.ends[new])

    def _seen(self, panel: Panel) -> Ticks:
        """Returns the number of rows of each series up to the last row seen of it (N,)."""
        place = {one: k for k, one in enumerate(self.panel.ids.tolist())}
        old = np.array([place.get(one, -1) for one in panel.ids.tolist()], dtype=np.int64)
        after = (panel.positions() - self.panel.positions()[old]) // panel.frequency.step
        seen: Ticks = np.where(old < 0, 0, panel.lengths - after)
        return seen


def check_start(where: str, start: Start, own: ForecasterOptions, other: ForecasterOptions) -> None:
    """Raises ValueError if the earlier fit has other options or did not train."""
    differ = [name for name in SAME if getattr(own, name) != getattr(other, name)]
    if differ:
        found, expected = (
            ", ".join(f"{name}={getattr(one, name)!r}" for name in differ) for one in (other, own)
        )
        problem = f"found a forecaster with {found}, expected {expected}, as in this one"
        raise refused(where, START, problem)
    if start.settings["steps"].value == 0:
        problem = "found a forecaster without a training of its own, expected trained networks"
        raise refused(where, START, f"{problem}; call fit() without {START}")


def settings_after(start: Start, asked: ForecasterOptions) -> Settings:
    """Returns the settings of a training that starts from a fit: its settings with few steps."""
    before = start.settings
    times = before[START].value + 1 if START in before else 1
    steps = Setting(asked.steps, "as given")
    if asked.steps is None:
        most = min(before["steps"].value, STARTED_STEPS)
        steps = Setting(most, "fewer than usual, because the networks are already trained")
    seed = Setting(asked.seed, "as given" if asked.seed else "default")
    how = "training began with the weights of a fitted forecaster, whose other settings these are"
    kept = {name: one for name, one in before.items() if name != "sample"}
    return MappingProxyType(kept | {"steps": steps, "seed": seed, START: Setting(times, how)})
