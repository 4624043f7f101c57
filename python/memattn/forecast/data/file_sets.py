"""Opens a folder, a pattern of files or one file as a table that is read in passes."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from memattn.errors import DataError
from memattn.extras import need
from memattn.forecast.data.file_set import FileSet
from memattn.forecast.data.folders import (
    check_one_kind,
    csv_files,
    holds_parquet,
    is_parquet,
    parquet_files,
)


def file_set(source: Path, columns: Sequence[str], day_first: bool | None = None) -> FileSet:
    """Returns the Parquet or CSV files that a folder holds or a pattern matches, or a single file.

    Parameters
    ----------
    source : Path
        Folder, pattern or file.
    columns : sequence of str
        Columns to read: ids, times, values, and covariates.
    day_first : bool, optional
        As in `parse_moment`, for dates in CSV files.

    Raises
    ------
    DataError
        If there are no files, or files of both kinds.
    ModuleNotFoundError
        If narwhals or PyArrow is not installed.
    """
    need("reading files in passes", "parquet", "narwhals", "pyarrow")
    names = tuple(dict.fromkeys(columns))
    if source.is_file():
        is_text = not (is_parquet(source) or (not source.suffix and holds_parquet(source)))
        files = [source]
    else:
        check_one_kind(source)
        files = csv_files(source)
        is_text = bool(files)
        files = files or parquet_files(source)
    if not files:
        what = "found no Parquet or CSV file in it"
        if not source.exists():
            what = "no file matches it" if glob.has_magic(str(source)) else "no such file or folder"
        raise DataError("not-found", f"{what}; expected *.parquet or *.csv", file=source)
    if not is_text:
        return FileSet(source, tuple(files), names)
    from memattn.forecast.data.text_file_set import TextFileSet  # which imports PyArrow

    return TextFileSet(source, tuple(files), names, day_first)
