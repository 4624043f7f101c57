"""The state of a forecaster: its options, the result of `fit`, copies, pickles and files."""

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
    """The options and the fitted state of a `Forecaster`."""

    _fitted: Fitted | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fitted = None

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_fitted":
            hint = f"pass {name}= to the constructor" if name in self.get_params() else "no option"
            raise AttributeError(f"Forecaster: {name} cannot be assigned: {hint}")
        object.__setattr__(self, name, value)

    # Compared by identity: forecasters with the same options may be fitted to different series.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        state = "not fitted" if self._fitted is None else repr(self._fitted.panel)
        return f"{super().__repr__()}: {state}"

    def set_params(self, **options: Any) -> Self:
        """Replace options; the result of an earlier `fit` is discarded.

        Raises
        ------
        TypeError, ValueError
            If an option is unknown or a value is invalid. The forecaster is then unchanged.
        """
        if options:
            self.__dict__.update(vars(replace(self, **options)))
        return self

    @property
    def settings(self) -> Settings:
        """The settings by name, given or chosen: each has a ``value`` and a ``reason``."""
        return self._state("settings").settings

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on what was found in the data and done about it."""
        return self._state("notes").notes

    @property
    def spacing(self) -> str:
        """The time between rows in words, such as "1 hour"."""
        return self._state("spacing").panel.frequency.words

    @property
    def is_calibrated(self) -> bool:
        """Whether `fit` calibrated intervals, on which their coverage depends."""
        return self._state("is_calibrated").calibration is not None

    @property
    def available_levels(self) -> tuple[float, ...]:
        """The levels that `predict` offers, in percent; empty without intervals.

        With the quantile loss these are the trained levels. With another loss and calibrated
        intervals any level is available, and these are the defaults, 80 and 95.
        """
        return available_levels(self._state("available_levels"))

    def __getstate__(self) -> dict[str, Any]:
        """Return the options and the bytes that `save` writes, which lack the held-out windows."""
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
        """Write everything that `predict` needs to one safetensors file, atomically.

        Parameters
        ----------
        path : path
            The file to write.
        series : bool
            Whether the file includes all series. Without them, the loaded forecaster needs
            ``predict(data)`` and treats each series as new.
        dtype : str
            Type of the weights: ``"float32"``, or ``"bfloat16"`` for half the size and two to three
            significant digits.

        Raises
        ------
        RuntimeError
            Before `fit`.
        DataError
            If the file cannot be written. An existing file is then unchanged.
        ValueError
            If `dtype` is invalid, or ids, columns or the time zone have a type that the file cannot
            store.
        """
        if dtype not in DTYPES:
            problem = f"found {dtype!r}, expected {' or '.join(map(repr, DTYPES))}"
            raise refused("Forecaster.save", "dtype", problem)
        write_forecaster(Path(path), self._state("save"), self, series=series, dtype=dtype)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that `save` wrote. No code in it is executed, and everything is checked.

        Raises
        ------
        FormatError
            If the file holds no forecaster or is damaged. The message says where; a subclass of
            ValueError.
        OSError
            If the file cannot be read.
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
