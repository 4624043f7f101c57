"""Renamed attributes: the old name works for one more minor version, with a warning."""

from __future__ import annotations

import warnings
from typing import Any


class RenamedProperty:
    """The old name of a property; each use warns.

    Parameters
    ----------
    new : str
        The new name.
    removed_in : str
        The version in which the old name is removed.
    """

    def __init__(self, new: str, removed_in: str) -> None:
        self._new = new
        self._removed_in = removed_in
        self.__doc__ = f"Deprecated: renamed `{new}`; removed in version {removed_in}."

    def __set_name__(self, owner: type, name: str) -> None:
        self._old = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        self._warn()
        return getattr(instance, self._new)

    def __set__(self, instance: Any, value: object) -> None:
        self._warn()
        setattr(instance, self._new, value)

    def _warn(self) -> None:
        text = f"{self._old}: renamed {self._new}; removed in version {self._removed_in}"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
