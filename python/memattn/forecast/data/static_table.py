"""Reads covariates of series from a separate table, with a row for each series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from memattn.errors import DataError, quoted
from memattn.forecast.data.column_choice import ID_COL, check_name
from memattn.forecast.data.columns import Array, Columns
from memattn.forecast.data.covariate_columns import CovariateLists, read_covariate
from memattn.forecast.data.covariate_rows import check_size, note_missing
from memattn.forecast.data.covariates import STAT, Covariate
from memattn.forecast.data.long_rows import LongRows
from memattn.forecast.data.sources import Table, opened

ARGUMENT = "static_df"


@dataclass(frozen=True, eq=False)
class StaticTable:
    """The columns of a table with a row for each series.

    Attributes
    ----------
    rows : dict, optional
        The row of each id, as text; None for a table of one row without ids.
    columns : dict
        By name, each covariate and its values (rows,).
    """

    rows: dict[str, int] | None
    columns: dict[str, tuple[Covariate, Array]]

    def of_series(self, rows: LongRows) -> dict[str, tuple[Covariate, Array]]:
        """Returns by name each covariate and its value for each series (N,), with notes in `rows`.

        Raises
        ------
        DataError
            If the table lacks a series.
        """
        ids = [str(one) for one in rows.ids.tolist()]
        if self.rows is None:
            if len(ids) > 1:
                problem = f"needs a column of ids, with a row for each of {len(ids):,} series"
                raise DataError("missing-column", problem, argument=ARGUMENT)
            places = np.zeros(1, dtype=np.int64)
        else:
            gone = [one for one in ids if one not in self.rows]
            if gone:
                more = f" and {len(gone) - 1:,} more" if len(gone) > 1 else ""
                problem = f"has no row for series {quoted(gone[0])}{more}"
                raise DataError("missing-id", problem, argument=ARGUMENT)
            places = np.array([self.rows[one] for one in ids], dtype=np.int64)
            if count := len(self.rows) - len(ids):
                other = next(one for one in self.rows if one not in set(ids))
                text = f"static_df has {count:,} series that the data lacks, first "
                rows.note("other-ids", text + f"{quoted(other)}: ignored", count)
        return {
            name: (column, note_missing(rows, column, values[places]))
            for name, (column, values) in self.columns.items()
        }


def read_static(
    table: Table, lists: CovariateLists, id_col: str | None, fitted: Mapping[str, Covariate]
) -> StaticTable:
    """Reads the static covariates that a table holds; others may be in the data.

    Parameters
    ----------
    table : DataFrame or path
        A table with a row for each series.
    lists : CovariateLists
        The names of covariates.
    id_col : str or None
        The column of ids.
    fitted : mapping
        As `like` in `read_covariates`.

    Raises
    ------
    DataError
        If no static covariate is named, an id occurs twice, or a cell cannot be used.
    """
    if not lists.stat:
        problem = "a static table needs {stat_exog_list}, which names its columns"
        raise DataError("option", problem, argument="stat_exog_list")
    id_col = ID_COL if id_col is None else id_col
    with opened(ARGUMENT, table, [id_col]) as columns:
        rows = _rows_of_ids(columns, id_col)
        found = {}
        for name in lists.stat:
            if name in columns.names:
                check_name(columns, ARGUMENT, name)
                column, values = read_covariate(columns, name, fitted.get(name))
                check_size(columns, name, values)
                found[name] = replace(column, role=STAT), values
        if not found:
            check_name(columns, ARGUMENT, lists.stat[0], (id_col,))
    return StaticTable(rows, found)


def _rows_of_ids(columns: Columns, id_col: str) -> dict[str, int] | None:
    if id_col not in columns.names and columns.rows == 1:
        return None
    check_name(columns, ARGUMENT, id_col)
    ids = columns.ids(id_col)
    order = np.argsort(ids.codes, kind="stable")
    double = np.flatnonzero(np.diff(ids.codes[order]) == 0)
    if len(double):
        row = int(order[double + 1].min())
        first = int(np.argmax(ids.codes == ids.codes[row]))
        name = quoted(str(ids.values[ids.codes[row]]))
        problem = f"the id {name} occurs twice, here and in {columns.place(first)}"
        raise columns.error("duplicate-id", problem, row, id_col)
    return {str(ids.values[code]): row for row, code in enumerate(ids.codes.tolist())}
