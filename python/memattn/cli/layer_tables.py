"""Formats tables, numbers and tokens for the commands about layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from memattn.inspection import PairTokens, Tokens


def new_table(*columns: str) -> Table:
    """Returns an empty table of right-aligned columns."""
    from rich import box
    from rich.table import Column, Table

    heads = [Column(name, justify="right") for name in columns]
    return Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def number_text(value: float) -> str:
    """Returns a number with three significant digits."""
    return f"{value:.3g}"


def tokens_document(tokens: Tokens | PairTokens) -> dict[str, Any]:
    """Returns the description of a layer's input tokens for JSON."""
    return {"source": tokens.source, "count": len(tokens), "reference": tokens.is_reference}
