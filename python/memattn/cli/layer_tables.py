"""What the commands about layers print and write alike: tables, numbers, tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from memattn.inspection import PairTokens, Tokens


def new_table(*columns: str) -> Table:
    """A table of numbers under these names."""
    from rich import box
    from rich.table import Column, Table

    heads = [Column(name, justify="right") for name in columns]
    return Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def number_text(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}"


def tokens_document(tokens: Tokens | PairTokens) -> dict[str, Any]:
    """What a layer was read with, for JSON."""
    return {"source": tokens.source, "count": len(tokens), "reference": tokens.is_reference}
