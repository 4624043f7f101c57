"""How a forecaster learns from some series to forecast others."""

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
        """Train networks that forecast other series, as they are: a prior.

        What is saved with ``save(path, series=False)`` is for ``Forecaster(prior=path)``. Of the
        options `horizon`, `members`, `lookback`, `steps`, `level` and `seed` count here.

        Parameters
        ----------
        frames : iterable of DataFrame, path or Panel
            Tables of series, of one frequency and season.
        progress : callable or bool, optional
            As in `fit`.

        Returns
        -------
        Forecaster
            Itself. It has none of the series, and forecasts what `predict` is given.

        Raises
        ------
        DataError
            As in `fit`.
        TypeError, ValueError
            No table, tables of several frequencies or seasons, or covariates.
        """
        where = "Forecaster.pretrain"
        if self.has_covariates:
            problem = "found covariates, expected none: a prior forecasts from the past alone"
            raise refused(where, "futr_exog_list", problem)
        panels = [self._panel(where, one) for one in _tables(where, frames)]
        first = panels[0]
        for one in panels[1:]:
            if (one.frequency, one.season) != (first.frequency, first.season):
                found = f"one row every {one.frequency.every} with season {one.season}"
                expected = f"every {first.frequency.every} with season {first.season}"
                raise refused(where, "frames", f"found {found}, expected {expected}, as the first")
        settings = prior_settings(first.season, is_yearly(first.frequency), self)
        series = [(one.filled, one.offsets) for one in panels]
        with progress_of(where, progress) as told:
            self._fitted = without_series(pretrained(series, settings, first, told))
        return self


def _tables(where: str, frames: Iterable[Data]) -> list[Data]:
    if isinstance(frames, str | os.PathLike | Panel) or hasattr(frames, "columns"):
        raise TypeError(f"{where}: frames: found one table, expected a list of tables")
    found = list(frames)
    if not found:
        raise refused(where, "frames", "found no table, expected some")
    return found
