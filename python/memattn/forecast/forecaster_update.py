"""Updates of a fitted forecaster with new rows, without training."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from memattn.forecast.data.bad_series import DROP
from memattn.forecast.data.long_rows import Note, plural
from memattn.forecast.data.panel import Data, Panel, Table
from memattn.forecast.data.panel_update import Update, updated
from memattn.forecast.data.windows import Windows
from memattn.forecast.fitting import Fitted, HeldOut
from memattn.forecast.forecaster_data import ForecasterData

if TYPE_CHECKING:
    from typing_extensions import Self

KIND = "update"  # kind of the notes of an update, which replace those of the previous update


class ForecasterUpdate(ForecasterData):
    """Updates with new rows and new series."""

    def update(self, data: Data, *, static_df: Table | None = None) -> Self:
        """Add rows to the series of `fit`, and new series, without training.

        `predict` then equals ``predict(data)`` with all rows to the bit, also after `save` and
        `load`. Intervals keep their calibration, and `settings` stay.

        Parameters
        ----------
        data : DataFrame or path
            New rows with the columns and the frequency of `fit`, in any order. Rows between or
            before known rows are inserted. A known row with the same value is ignored.
        static_df : DataFrame or path, optional
            As in `fit`, of the series in `data`.

        Returns
        -------
        Forecaster
            The forecaster itself. After an exception, including KeyboardInterrupt, it is unchanged.

        Raises
        ------
        RuntimeError
            Before `fit`, or if the forecaster was saved without its series.
        DataError
            If a row cannot be used: its time already has another value, it does not fit the
            frequency, or ids or times have another type than in `fit`. The message names row and
            column. With covariates, also for rows before the first row of a known series.
        TypeError, ValueError
            If `data` is a Panel, or a series would end at another phase of the season than
            forecasts begin at.

        Notes
        -----
        Covariates over the horizon are kept only as far as they are known. Pass those of later rows
        with the new rows, or as `X_df` to `predict`.
        """
        where = "Forecaster.update"
        state = self._state_with_series("update")
        if isinstance(data, Panel):
            msg = "data: found a Panel, expected a data frame or the path of a file"
            raise TypeError(f"{where}: {msg}")
        read = partial(self._panel_like_fit, where, data, static_df)
        found = updated(state.panel, read, drop=self.on_bad_series == DROP)
        self._check_phases(where, found.panel, state.settings)
        self._fitted = _after(state, found)
        return self


def _after(state: Fitted, found: Update) -> Fitted:
    """Return the state with the panel of an update."""
    text = f"the last update brought {plural(found.rows, 'row')} of "
    text += plural(found.series, "series", "series")
    if found.added:
        text += f", {found.added:,} of them new"
    notes = [note for note in state.notes if not note.kind.startswith(KIND)]
    notes.append(Note(KIND, text, found.rows))
    for note in found.notes:
        notes.append(Note(f"{KIND}-{note.kind}", f"in the last update: {note.text}", note.count))
    held = state.held_out
    if held is not None:
        place = found.place[held.windows.series]
        there = place >= 0
        ends = held.windows.ends + found.before[held.windows.series]
        order = np.flatnonzero(there)
        order = order[np.argsort(place[order], kind="stable")]
        windows = Windows(place[order], ends[order])
        held = HeldOut(windows, held.forecasts[order], held.model, held.levels)
        held = held if len(windows) else None
    return replace(state, panel=found.panel, notes=tuple(notes), held_out=held)
