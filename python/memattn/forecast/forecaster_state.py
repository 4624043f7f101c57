"""A forecaster as an object: options, what fit left, copies, pickles and files of both."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memattn.errors import refused
from memattn.forecast.arguments import ForecasterOptions
from memattn.forecast.data.long_rows import Note
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_file import (
    DTYPES,
    forecaster_bytes,
    forecaster_from,
    read_forecaster,
    write_forecaster,
)
from memattn.forecast.forecaster_settings import Settings
from memattn.forecast.intervals import available_levels

if TYPE_CHECKING:
    from typing_extensions import Self


class ForecasterState(ForecasterOptions):
    """What a `Forecaster` is; `Forecaster` is what it does."""

    _fitted: Fitted | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fitted = None

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_fitted":
            hint = f"pass {name}= to the constructor" if name in self.get_params() else "no option"
            raise AttributeError(f"Forecaster: {name} cannot be assigned: {hint}")
        object.__setattr__(self, name, value)

    # Two forecasters of the same options may have been fitted to different series.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        state = "not fitted" if self._fitted is None else repr(self._fitted.panel)
        return f"{super().__repr__()}: {state}"

    def set_params(self, **options: Any) -> Self:
        """Replace options; what was fitted with others is forgotten.

        Raises
        ------
        TypeError, ValueError
            An unknown option, or an impossible value: nothing has changed.
        """
        if options:
            self.__dict__.update(vars(replace(self, **options)))
        return self

    @property
    def settings(self) -> Settings:
        """What was given or chosen, by name: each has a ``value`` and a ``reason``."""
        return self._state("settings").settings

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was found in the data and done about it, for people."""
        return self._state("notes").notes

    @property
    def spacing(self) -> str:
        """The time between rows in words, such as "1 hour"."""
        return self._state("spacing").panel.frequency.words

    @property
    def is_calibrated(self) -> bool:
        """Whether fit calibrated intervals, which is what gives them their coverage."""
        return self._state("is_calibrated").calibration is not None

    @property
    def available_levels(self) -> tuple[float, ...]:
        """The levels that `predict` gives, in percent; empty without intervals.

        Those that the quantile loss trained, calibrated or not. With another loss and calibrated
        intervals any level can be had, and these are the usual ones, 80 and 95.
        """
        return available_levels(self._state("available_levels"))

    def __getstate__(self) -> dict[str, Any]:
        """The options, and the bytes that `save` writes; what a file does not keep is lost."""
        fitted = None if self._fitted is None else forecaster_bytes(self._fitted, self)
        return {"options": self.get_params(), "fitted": fitted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        data = state["fitted"]
        options, fitted = ForecasterOptions(**state["options"]), None
        if data is not None:
            options, fitted = forecaster_from(data)
        self.__dict__.update(options.get_params(), _fitted=fitted)

    def save(
        self, path: str | os.PathLike[str], *, series: bool = True, dtype: str = "float32"
    ) -> None:
        """Write everything that predict needs to one safetensors file, atomically.

        Parameters
        ----------
        path : path
            Of the file.
        series : bool
            Whether the series are in it, whole: season and level at their end come from all of
            their values. Without them the forecaster that is loaded again forecasts what is given
            to ``predict(data)``, each series as one that training has not seen.
        dtype : str
            Of the weights: ``"float32"``, or ``"bfloat16"``, in which they take half the bytes and
            have three significant digits.

        Raises
        ------
        RuntimeError
            Before fit.
        DataError
            The file cannot be written; one that was there before is whole.
        ValueError
            Another `dtype`. Ids that are neither text nor whole numbers, or a type of a column or a
            time zone that the file cannot keep.
        """
        if dtype not in DTYPES:
            problem = f"found {dtype!r}, expected {' or '.join(map(repr, DTYPES))}"
            raise refused("Forecaster.save", "dtype", problem)
        write_forecaster(Path(path), self._state("save"), self, series=series, dtype=dtype)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; nothing in the file is trusted or executed.

        Raises
        ------
        FormatError
            It is no such file; a ValueError that says where and why.
        OSError
            The system refused.
        """
        options, fitted = read_forecaster(Path(path))
        forecaster = cls(**options.get_params())
        forecaster._fitted = fitted
        return forecaster

    def _state(self, function: str) -> Fitted:
        if self._fitted is None:
            msg = "this Forecaster is not fitted; call fit() first"
            raise RuntimeError(f"Forecaster.{function}: {msg}")
        return self._fitted

    def _state_with_series(self, function: str) -> Fitted:
        state = self._state(function)
        if not len(state.panel):
            msg = "this Forecaster was saved without its series; pass some to predict(data)"
            raise RuntimeError(f"Forecaster.{function}: {msg}")
        return state
