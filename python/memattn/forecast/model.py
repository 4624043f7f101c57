"""A model of a panel: the engine, its settings, and the conversion of panels to its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn._memattn import PanelForecaster
from memattn.errors import DataError
from memattn.forecast.covariate_encoding import (
    Encoded,
    Encoding,
    Table,
    blocks_of,
    covariates_of,
    learn,
)
from memattn.forecast.data.columns import Array
from memattn.forecast.data.flat_rows import offsets_of, rows_from
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import (
    Windows,
    known_before,
    last_windows,
    with_recent_rows,
    with_their_series,
)
from memattn.forecast.forecaster_settings import (
    Settings,
    begin,
    begins_trained,
    engine_options,
    stride,
)
from memattn.forecast.progress import Progress
from memattn.layer_options import Precision

Weights: TypeAlias = npt.NDArray[np.float32]


class Inputs(NamedTuple):
    """The inputs of the engine for W windows.

    Series k is ``values[offsets[k]:offsets[k + 1]]``. In `table`, each series has a row of
    covariates for each value and for a horizon more; None without covariates.
    """

    values: Array
    offsets: Ticks
    windows: Windows
    table: Table | None


@dataclass(frozen=True, eq=False)
class Model:
    """An engine, its settings, and the encoding of its inputs.

    Attributes
    ----------
    engine : PanelForecaster
        The networks.
    settings : Settings
        The settings that the networks were made with.
    encoding : Encoding, optional
        The encoding of covariates; None without any.
    covariates : tuple of str
        The names of the covariates in use.
    """

    engine: PanelForecaster
    settings: Settings
    encoding: Encoding | None = None
    covariates: tuple[str, ...] = ()

    @property
    def memory_layers(self) -> int:
        """The number of memory layers of the members that have any; linear members have none."""
        layers = self.settings["layers"].value
        return int(max(layers) if isinstance(layers, tuple) else layers)

    def fit(self, panel: Panel, progress: Progress | None = None) -> bool:
        """Trains the networks; returns whether training was completed."""
        values, offsets, table = self._training(panel)
        if begins_trained(self.settings):
            return self.engine.resume(
                values, offsets, *self.engine.training_state(), progress, table
            )
        return self.engine.fit(values, offsets, progress, table)

    def resume(
        self,
        panel: Panel,
        steps_done: int,
        members: Sequence[npt.NDArray[np.float32]],
        progress: Progress | None = None,
    ) -> bool:
        """Continues a training; returns whether it was completed."""
        values, offsets, table = self._training(panel)
        return self.engine.resume(values, offsets, steps_done, list(members), progress, table)

    def predict(
        self,
        panel: Panel,
        windows: Windows,
        member: int = -1,
        inputs: Inputs | None = None,
        precision: Precision = "float32",
    ) -> Array:
        """Returns forecasts (W, outputs, horizon) of windows, by one member or the ensemble (-1).

        `inputs` replaces the result of `inputs_of` for these windows. `precision` is that of the
        memory layers.
        """
        values, offsets, then, table = inputs or self.inputs_of(panel, windows)
        half = precision == "bfloat16"
        found = self.engine.predict(values, offsets, then.series, then.ends, member, table, half)
        return self._restored(found, panel, windows)

    def predict_with_memory_of(
        self, panel: Panel, windows: Windows, donor: Ticks, inputs: Inputs
    ) -> Array:
        """As `predict`, but window i has the memory layers' output at window ``donor[i]``."""
        values, offsets, then, table = inputs
        found = self.engine.predict_with_memory_of(
            values, offsets, then.series, then.ends, then.series[donor], then.ends[donor], table
        )
        return self._restored(found, panel, windows)

    def scores(self, panel: Panel, windows: Windows, member: int) -> npt.NDArray[np.float32]:
        """Returns a member's attention scores of the slots (W, layers, memory_size)."""
        values, offsets, then, table = self.inputs_of(panel, windows)
        return self.engine.attention_scores(values, offsets, then.series, then.ends, member, table)

    def predict_without_slots(
        self, panel: Panel, windows: Windows, member: int, layer: int
    ) -> Array:
        """Returns a member's forecasts with each slot left out in turn.

        The shape is (memory_size, W, outputs, horizon).
        """
        values, offsets, then, table = self.inputs_of(panel, windows)
        found = self.engine.predict_without_slots(
            values, offsets, then.series, then.ends, member, layer, table
        )
        return np.stack([self._restored(part, panel, windows) for part in found])

    def _restored(self, found: Array, panel: Panel, windows: Windows) -> Array:
        """Returns forecasts (W, outputs, horizon) of the engine in the units of the panel."""
        found = found[..., : self.settings["horizon"].value]  # the horizon of a prior may be longer
        if self.encoding is None:
            return found
        return self.encoding.restore(found, panel, windows.series)

    def _training(self, panel: Panel) -> tuple[Array, Ticks, Table | None]:
        """Returns the values, the offsets and the covariate table to train on."""
        if self.encoding is None:
            return panel.filled, panel.offsets, None
        # Training windows begin whole seasons before the last row at which a forecast may begin.
        ends = last_windows(panel).at_phase(panel, *begin(self.settings))
        rows = rows_from(panel.offsets[ends.series], ends.ends)
        values = self.encoding.compress(panel.filled[rows], panel, *ends)
        offsets = offsets_of(ends.ends)
        return values, offsets, self._table(panel, *ends)

    def inputs_of(self, panel: Panel, windows: Windows) -> Inputs:
        """Returns the inputs of the engine for windows of a panel."""
        if self.encoding is None:
            known = known_before(panel, windows)
            if "rows_seen" in self.settings:
                known = with_recent_rows(known, self.settings["rows_seen"].value)
            return Inputs(known.values, known.offsets, known.windows, None)
        panel, windows = with_their_series(panel, windows)
        known = known_before(panel, windows)
        owner = np.concatenate([np.arange(len(panel)), known.copied])
        lengths = np.diff(known.offsets)
        values = self.encoding.compress(known.values, panel, owner, lengths)
        return Inputs(values, known.offsets, known.windows, self._table(panel, owner, lengths))

    def _table(self, panel: Panel, owner: Ticks, lengths: Ticks) -> Table | None:
        if self.encoding is None or not self.encoding.width:
            return None
        return self.encoding.table(panel, owner, lengths)


def model_of(
    settings: Settings, panel: Panel, weights: Sequence[Weights] = (), like: Model | None = None
) -> Model:
    """Returns a model to train on this panel. Raises DataError if it would be too large.

    It is untrained, or has the `weights` of a prior or of an earlier fit if the settings say so.
    With `like`, the model of that fit, it uses the encoding of covariates of `like`.
    """
    encoding, options = None, engine_options(settings)
    names: tuple[str, ...] = ()
    if like is not None and like.encoding is not None:
        encoding, names = like.encoding, like.covariates
        options |= covariate_options(encoding.columns, encoding.cycle, settings)
    elif "left_out" in settings:
        season = settings["season"].value
        aligned = stride(settings) > 1
        encoding = learn(
            panel,
            season,
            aligned=aligned,
            compressed=settings["compressed"].value,
            without=settings["left_out"].value,
        )
        options |= covariate_options(encoding.columns, encoding.cycle, settings)
        names = tuple(covariates_of(panel).columns[place].name for place in encoding.chosen)
    try:
        engine = PanelForecaster(**options)
        for member, one in enumerate(weights if begins_trained(settings) else ()):
            engine.set_parameters(member, one)
        return Model(engine, settings, encoding, names)
    except ValueError as error:
        function, found = str(error).partition(": ")[0], str(error).rpartition(": ")[2]
        if function != "PanelForecasterOptions":  # an invalid environment variable
            raise
        problem = f"{found}; choose a smaller horizon, season or lookback"
        raise DataError("option", problem, argument="lookback") from None


def covariate_options(columns: Sequence[Encoded], cycle: int, settings: Settings) -> dict[str, Any]:
    """Returns the options of the engine for covariates, in addition to `engine_options`."""
    horizon, season = settings["horizon"].value, settings["season"].value
    aligned, lookback = stride(settings) > 1, min(settings["lookbacks"].value)
    return {
        "covariates": sum(one.width for one in columns) + cycle,
        "blocks": blocks_of(columns, horizon, season, aligned, lookback, cycle),
    }
