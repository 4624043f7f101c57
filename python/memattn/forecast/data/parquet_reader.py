"""Reads Parquet files with PyArrow, else with Polars; every error becomes a DataError.

A Parquet file can hold one value a billion times in a few bytes. Its metadata say how many rows and
columns it has, and a file that would grow too much is refused before its values are read.

PyArrow comes first: it raises an error for damaged files on which Polars aborts the process.
"""

from __future__ import annotations

import importlib.util
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from memattn.errors import DataError, quoted
from memattn.extras import need
from memattn.file_kinds import head_of, kind_of
from memattn.forecast.data.folders import folder_error, is_several, parquet_files, root_of

if TYPE_CHECKING:
    from memattn.forecast.data.frame_columns import FrameColumns

# Cells that a file of any size may have, which take up to a gigabyte while they are sorted, and
# cells for each byte of the file; a long table of M5 has about 4.
CELLS_ANYWAY = 16 << 20
CELLS_A_BYTE = 32
_CHILD = Path(__file__).with_name("parquet_child.py")


def read_parquet(path: Path) -> FrameColumns:
    """Reads the columns of a Parquet file or of a folder of them, except lists and structs.

    Columns of lists and structs become empty columns, so that messages can name them.

    Raises
    ------
    DataError
        If the file cannot be read, or has far more values than bytes.
    ModuleNotFoundError
        If narwhals is not installed, or neither PyArrow nor Polars is.
    """
    need("Parquet", "parquet", "narwhals")
    from memattn.forecast.data.frame_columns import frame_columns

    if is_several(path) and parquet_files(path):
        return frame_columns(_folder(path), file=path)
    with parquet_errors(path):
        size = size_of(path)
        for library, read in (("pyarrow", _by_arrow), ("polars", _by_polars)):
            if importlib.util.find_spec(library) is not None:
                return frame_columns(read(path, size), file=path)
    msg = "reading Parquet needs Polars or PyArrow: pip install 'memattn[polars]'"
    raise ModuleNotFoundError(f"{path}: {msg} or 'memattn[parquet]'")


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turns every error of Polars, pandas and PyArrow about a file into a DataError.

    The errors are of many kinds: KeyError, ArrowNotImplementedError, and a PanicException of Polars
    that is not even an Exception.
    """
    try:
        yield
    except (DataError, ImportError):
        raise
    except MemoryError:
        problem = "cannot be read: there is not enough memory for what it claims to hold"
        raise DataError("unreadable", problem, file=path) from None
    except Exception as error:
        raise _unreadable(path, error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = quoted((str(error).splitlines() or [""])[0] or type(error).__name__, 200)
    head = head_of(path) if path.is_file() else b""
    if head and not head.startswith(b"PAR1"):
        reason = f"it looks like {kind_of(head)}"
    problem = f"cannot be read as Parquet ({reason}); write the file again, or as CSV"
    return DataError("unreadable", problem, file=path)


def size_of(path: Path) -> int:
    """Returns the size of a file in bytes. Raises DataError if it is not a readable file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        problem = "no such file; expected a Parquet file"
        raise DataError("not-found", problem, file=path) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise DataError("unreadable", problem, file=path) from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise DataError("not-a-file", f"found {what}, expected a Parquet file", file=path)
    return found.st_size


def _allowed_cells(size: int) -> int:
    return max(CELLS_ANYWAY, int(CELLS_A_BYTE * size))


def _check_growth(path: Path, size: int, rows: int, columns: int) -> None:
    allowed = _allowed_cells(size)
    if rows * columns > allowed:
        found = f"found {rows:,} rows of {columns:,} columns in {size:,} bytes"
        problem = f"{found}, expected at most {allowed:,} cells; write the table as CSV"
        raise DataError("too-large", problem, file=path)


def _by_polars(path: Path, size: int) -> Any:
    """Reads the file with Polars, after another process has read it without a crash."""
    import polars as pl

    flat = frozenset(_ask_child(path, size))
    lazy = pl.scan_parquet(path, glob=False)
    nested = [name for name in lazy.collect_schema() if name not in flat]
    empty = pl.lit(None, pl.List(pl.Null))
    return lazy.with_columns([empty.alias(name) for name in nested])


def _ask_child(path: Path, size: int) -> list[str]:
    """Returns the columns that hold single values. Raises ValueError if the file is damaged."""
    # Isolated (-I), so that neither the environment nor the current folder adds code, but with the
    # search path of this process.
    words = [sys.executable, "-I", str(_CHILD), str(path), str(_allowed_cells(size)), *sys.path]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {"error": f"Polars crashed on it with exit code {done.returncode}"}
    if "error" in answer:
        raise ValueError(answer["error"])
    flat: list[str] = answer["columns"]
    _check_growth(path, size, answer["rows"], len(flat))
    return flat


def _by_arrow(path: Path, size: int) -> Any:
    """Reads the file with PyArrow, unless it has too many cells."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows = file.metadata.num_rows
        _check_growth(path, size, rows, file.metadata.num_columns)
        schema = file.schema_arrow
    flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
    texts = [field.name for field in schema if _is_text(field.type)]
    # As dictionaries, so that a text of many rows is in memory once.
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        table = file.read(flat)
    table.validate(full=True)  # raises for text that is not UTF-8, for example
    empty = pa.nulls(rows, pa.list_(pa.null()))
    for place, field in enumerate(schema):
        if pa.types.is_nested(field.type):
            table = table.add_column(place, field.name, empty)
    return table


def _folder(path: Path) -> Any:
    """Reads all files of a folder; names of subfolders such as shop=1 become columns."""
    need("folder of Parquet files", "parquet", "pyarrow")
    import pyarrow as pa

    tables = []
    for file in parquet_files(path):
        with parquet_errors(file):
            table = _by_arrow(file, size_of(file))
            for folder in file.relative_to(root_of(path)).parent.parts:
                name, mark, value = folder.partition("=")
                if mark and name in table.column_names:
                    raise folder_error(file, name)
                if mark:
                    column = pa.array([unquote(value)] * table.num_rows, pa.string())
                    table = table.append_column(name, column.dictionary_encode())
        tables.append(table)
    with parquet_errors(path):
        check_types([table.schema for table in tables], parquet_files(path))
        return pa.concat_tables(tables, promote_options="permissive")


def check_types(schemas: list[Any], files: list[Path]) -> None:
    """Raises DataError for a column whose types in two files have no common type."""
    import pyarrow as pa

    known = schemas[0]
    for schema, file in zip(schemas[1:], files[1:], strict=True):
        for field in schema:
            try:
                known = pa.unify_schemas([known, pa.schema([field])], promote_options="permissive")
            except (pa.ArrowTypeError, pa.ArrowInvalid):
                found, wanted = (_plain_type(one.field(field.name).type) for one in (schema, known))
                problem = f"found the type {found}, expected {wanted} as in the files before"
                raise DataError("mixed-types", problem, file=file, column=field.name) from None


def _plain_type(kind: Any) -> Any:
    """Returns a type; for a dictionary, the type of its values."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
