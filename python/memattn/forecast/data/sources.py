"""Reads tables as columns, from a data frame or a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from memattn.errors import DataError
from memattn.extras import need
from memattn.forecast.data.columns import Columns
from memattn.forecast.data.panel_files import errors_of_file, read_columns

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

Table: TypeAlias = "IntoFrame | str | os.PathLike[str]"


def columns_of_frame(where: str, frame: Any, wanted: Sequence[str]) -> Columns:
    """Returns the columns of a data frame.

    Parameters
    ----------
    where : str
        The function and the argument, for messages.
    frame : DataFrame, LazyFrame, Table or relation
        As in `panel_from_frame`.
    wanted : sequence of str
        As in `frame_columns`.

    Raises
    ------
    TypeError
        If `frame` is not a data frame.
    DataError
        If two columns have the same name.
    ModuleNotFoundError
        If narwhals is not installed.
    """
    found = f"{type(frame).__module__}.{type(frame).__qualname__}"
    msg = f"{where}: found {found}, expected a data frame or the path of a file"
    if type(frame).__module__ in ("builtins", "numpy"):
        raise TypeError(msg)
    need("a data frame", "forecast", "narwhals")
    from memattn.forecast.data.frame_columns import frame_columns

    try:
        return frame_columns(frame, wanted)
    except TypeError:
        raise TypeError(msg) from None


@contextmanager
def opened(argument: str, table: Table, wanted: Sequence[str]) -> Iterator[Columns]:
    """Yields the columns of a table that is another argument than the data, such as ``X_df``.

    In the block, a DataError about the table names its file, or else the argument.

    Parameters
    ----------
    argument : str
        The Python name of the argument.
    table : DataFrame or path
        A data frame as in `panel_from_frame`, or a CSV or Parquet file.
    wanted : sequence of str
        As in `frame_columns`.

    Raises
    ------
    DataError
        If the table cannot be used.
    TypeError
        If the table is neither a data frame nor a path.
    """
    path = Path(table) if isinstance(table, str | os.PathLike) else None
    try:
        if path is None:
            yield columns_of_frame(argument, table, wanted)
        else:
            with errors_of_file(path):
                yield read_columns(path)
    except DataError as error:
        if error.argument is None:
            error.argument = argument
        if path is not None and error.file is None:
            error.file = path
        raise
