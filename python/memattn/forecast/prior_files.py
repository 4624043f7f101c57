"""Chooses the prior file for a panel, from the package or the user."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from memattn import FormatError
from memattn.errors import quoted, refused
from memattn.forecast.data.frequency import Frequency
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.forecaster_file import read_forecaster
from memattn.forecast.forecaster_settings import trained_levels
from memattn.forecast.prior import Prior

PACKAGED = Path(__file__).parent / "prior"
AUTO = "auto"
YEARLY = "yearly"


def file_name(season: int, yearly: bool) -> str:
    """Returns the file name of the prior for a season, in a folder of priors."""
    return f"{YEARLY if yearly else f'season-{season}'}.safetensors"


def is_yearly(frequency: Frequency) -> bool:
    """Returns whether a row is a year."""
    return frequency.unit is Unit.MONTH and frequency.step == 12


def file_of(
    where: str, asked: str | None, season: int, frequency: Frequency
) -> tuple[Path | None, str]:
    """Returns the file of the prior for series of a season, or None and the reason.

    Parameters
    ----------
    where : str
        Name of the calling function, for messages.
    asked : str, optional
        ``"auto"`` for a prior of the package, or the path of a file or a folder of files.
    season : int
        Rows in a season.
    frequency : Frequency
        The frequency of the series.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    if asked is None:
        return None, "not wanted"
    path = PACKAGED if asked == AUTO else Path(asked)
    if asked == AUTO or path.is_dir():
        path = path / file_name(season, season == 1 and is_yearly(frequency))
        if not path.exists():
            return None, f"there is no prior for series of season {season}"
    elif not path.exists():
        problem = f"no such file: {quoted(str(path))}; memattn pretrain writes such files"
        raise refused(where, "prior", problem)
    return path, ""


def prior_of(
    where: str, asked: str | None, season: int, frequency: Frequency
) -> tuple[Prior | None, str]:
    """Reads the prior for series of a season; returns None and the reason if there is none.

    The arguments are those of `file_of`.

    Raises
    ------
    FormatError
        If the file is no saved forecaster, or no prior.
    ValueError
        As in `file_of`, or if the prior is for another season.
    """
    path, why_not = file_of(where, asked, season, frequency)
    if path is None:
        return None, why_not
    prior = _read(*identity(path))
    check_season(where, path, int(prior.settings["season"].value), season)
    return prior, ""


def identity(path: Path) -> tuple[str, int, int]:
    """Returns path, modification time in ns and size of a file: they differ once it is replaced."""
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size


def check_season(where: str, path: Path, found: int, season: int) -> None:
    """Raises ValueError if the season of a prior is not that of the series."""
    if found != season:
        problem = f"{quoted(path.name)} has season {found}, expected {season} as in the series"
        raise refused(where, "prior", problem)


@functools.lru_cache(maxsize=32)
def _read(path: str, changed: int, size: int) -> Prior:
    """Reads a prior; cached until the file changes."""
    _, fitted = read_forecaster(Path(path))
    settings, engine = fitted.settings, fitted.model.engine
    if not trained_levels(settings) or fitted.model.encoding is not None:
        raise FormatError(
            f"{Path(path).name}: this forecaster is no prior: it has covariates or no trained "
            "levels; Forecaster.pretrain makes priors"
        )
    weights = tuple(np.array(engine.parameters(k)) for k in range(engine.members))
    return Prior(settings, weights)
