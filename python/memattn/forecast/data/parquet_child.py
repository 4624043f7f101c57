"""The process in which Polars reads a Parquet file for the first time.

A few damaged bytes make some versions of Polars request two exabytes and abort the process, which
no `except` can catch. So, if PyArrow is not installed, this process reads a file first. Only if
that succeeds does the process that needs the file read it.

Arguments: the path, the number of cells that the file may have, and the search path of modules.
Prints a JSON object: `rows` and `columns`, or `error`.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Reads the file, unless it has too many cells."""
    path, allowed = sys.argv[1], int(sys.argv[2])
    sys.path[:] = sys.argv[3:]
    answer: dict[str, object]
    try:
        import polars as pl

        lazy = pl.scan_parquet(path, glob=False)
        flat = [name for name, dtype in lazy.collect_schema().items() if not dtype.is_nested()]
        rows = lazy.select(pl.len()).collect().item()
        if rows * len(flat) <= allowed:
            lazy.select(flat).collect()
        answer = {"rows": rows, "columns": flat}
    except BaseException as error:  # Polars' PanicException is not an Exception
        answer = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
