"""Trains a prior: networks that forecast other series."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from memattn.errors import refused
from memattn.forecast.data.panel import Data, Panel
from memattn.forecast.forecaster_file import without_series
from memattn.forecast.forecaster_update import ForecasterUpdate
from memattn.forecast.pretraining import pretrained, prior_settings
from memattn.forecast.prior_files import is_yearly
from memattn.forecast.progress import Progress, progress_of

if TYPE_CHECKING:
    from typing_extensions import Self


class ForecasterPretraining(ForecasterUpdate):
    """Training of a prior."""

    def pretrain(self, frames: Iterable[Data], *, progress: Progress | bool | None = None) -> Self:
        """Train a prior: networks that forecast other series without training.

        Save it with ``save(path, series=False)`` and use it with ``Forecaster(prior=path)``. The
        options `horizon`, `members`, `lookback`, `steps`, `level` and `seed` apply.

        Parameters
        ----------
        frames : iterable of DataFrame, path or Panel
            Tables of series with the same frequency and season.
        progress : callable or bool, optional
            As in `fit`.

        Returns
        -------
        Forecaster
            The forecaster itself. It keeps none of the series; pass series to `predict`.

        Raises
        ------
        DataError
            As in `fit`.
        TypeError, ValueError
            If there is no table, tables differ in frequency or season, or the forecaster has
            covariates.
        """
        where = "Forecaster.pretrain"
        if self.has_covariates:
            problem = "a prior cannot use covariates or a calendar; leave them out"
            raise refused(where, "futr_exog_list", problem)
        panels = [self._panel(where, one) for one in _tables(where, frames)]
        first = panels[0]
        for one in panels[1:]:
            if (one.frequency, one.season) != (first.frequency, first.season):
                found = f"one row every {one.frequency.every} with season {one.season}"
                expected = f"every {first.frequency.every} with season {first.season}"
                problem = f"found {found}, expected {expected} as in the first table"
                raise refused(where, "frames", problem)
        settings = prior_settings(first.season, is_yearly(first.frequency), self)
        series = [(one.filled, one.offsets) for one in panels]
        with progress_of(where, progress) as told:
            self._fitted = without_series(pretrained(series, settings, first, told))
        return self


def _tables(where: str, frames: Iterable[Data]) -> list[Data]:
    if isinstance(frames, str | os.PathLike | Panel) or hasattr(frames, "columns"):
        raise TypeError(f"{where}: frames: found a single table, expected a list of tables")
    found = list(frames)
    if not found:
        raise refused(where, "frames", "is empty; pass at least one table")
    return found
