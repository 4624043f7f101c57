"""Finds the files of a folder, or of a pattern of names, that make up a table."""

from __future__ import annotations

import glob
import itertools
from pathlib import Path

from memattn.errors import DataError

PARQUET = frozenset({".parquet", ".pq", ".parq"})
CSV = frozenset({".csv", ".tsv"})  # in a folder; a single file of any other name is CSV, too


def is_parquet(path: Path) -> bool:
    """Returns whether a file of this name is Parquet."""
    return path.suffix.lower() in PARQUET


def is_pattern(path: Path) -> bool:
    """Returns whether a path is a pattern of names, and no file or folder has that name."""
    return glob.has_magic(str(path)) and not path.exists()


def is_several(path: Path) -> bool:
    """Returns whether a path names a folder, or files by a pattern."""
    return path.is_dir() or is_pattern(path)


def root_of(source: Path) -> Path:
    """Returns the folder below which the names of folders may be columns."""
    if source.is_file():
        return source.parent
    if not is_pattern(source):
        return source
    parts = list(itertools.takewhile(lambda part: not glob.has_magic(part), source.parts[:-1]))
    return Path(*parts)


def parquet_files(source: Path) -> list[Path]:
    """Returns the Parquet files in a folder and its subfolders, without hidden and temporary ones.

    For a pattern such as ``sales/*.parquet`` returns the files that it matches; for any other path,
    none.
    """
    if is_pattern(source):
        return [one for one in _matching(source) if not _is_text(one)]
    return _in_folder(source, "*.parquet") + _in_folder(source, "*.pq")


def csv_files(source: Path) -> list[Path]:
    """Returns the CSV files in a folder and its subfolders, packed by gzip or not."""
    if is_pattern(source):
        return [one for one in _matching(source) if _is_text(one)]
    return [one for one in _in_folder(source, "*") if _is_csv(one)]


def folder_error(file: Path, name: str) -> DataError:
    """Returns the DataError for a folder such as ``shop=1`` above a file with that column."""
    problem = "this column is in the file and in the name of its folder, or in the names of two "
    problem += "folders; rename one of them"
    return DataError("duplicate-column", problem, file=file, column=name)


def check_one_kind(source: Path) -> None:
    """Raises DataError for a folder or a pattern of both CSV and Parquet files."""
    parquet, text = parquet_files(source), csv_files(source)
    if parquet and text:
        problem = f"found Parquet and CSV files, such as {parquet[0].name} and {text[0].name}; "
        problem += "expected files of one kind: pass a pattern such as 'sales/*.csv'"
        raise DataError("mixed-kinds", problem, file=source)


def _matching(pattern: Path) -> list[Path]:
    found = map(Path, glob.iglob(str(pattern), recursive=True))  # noqa: PTH207 - not in a folder
    return sorted(one for one in found if one.is_file())


def _in_folder(source: Path, names: str) -> list[Path]:
    files = sorted(source.rglob(names))
    parts = [(one, one.relative_to(source).parts) for one in files if one.is_file()]
    return [one for one, names in parts if not any(name[0] in "._" for name in names)]


def _is_csv(path: Path) -> bool:
    return Path(path.name.lower().removesuffix(".gz")).suffix in CSV


def _is_text(path: Path) -> bool:
    """Returns whether a file that a pattern matches is CSV, by its name, else by its content."""
    if is_parquet(path) or _is_csv(path):
        return not is_parquet(path)
    return not holds_parquet(path)


def holds_parquet(path: Path) -> bool:
    """Returns whether a file begins as Parquet files do."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:  # the reader will report it
        return False
