"""The style of all figures, and their conversion to image files.

The colours are the palette of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from memattn.errors import DataError

INK, MUTED, GRID = "#1b1f24", "#57606a", "#d8dee4"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
HEATMAP = "cividis"
STYLE: Any = {  # Any, since matplotlib types the keys as literals
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a $ in a column name does not begin a formula
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "date.converter": "concise",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "lines.linewidth": 1.5,
    "path.simplify": True,
}


@contextlib.contextmanager
def figure_style(changes: Any = None) -> Iterator[None]:
    """Applies the style of all figures within the block, then restores matplotlib's settings."""
    with mpl.rc_context({**STYLE, **(changes or {})}):
        yield


def check_picture_suffix(suffix: str) -> None:
    """Raises DataError unless `suffix` is ``.svg`` or ``.png``."""
    if suffix.lower() not in {".svg", ".png"}:
        raise DataError("option", "the name of a figure must end in .svg or .png")


def picture(draw: Callable[[], Figure], suffix: str) -> bytes:
    """Returns the figure that `draw` makes, on white, as the content of a file named ``*suffix``.

    Raises
    ------
    DataError
        If `suffix` is not ``.svg`` or ``.png``.
    """
    check_picture_suffix(suffix)
    data = io.BytesIO()
    with figure_style({"figure.facecolor": "white", "svg.fonttype": "path"}):
        figure = draw()
        with mpl.rc_context({"svg.hashsalt": "memattn"}):
            form = suffix.lower()[1:]
            metadata = {"Date": None} if form == "svg" else {"Software": None}
            figure.savefig(data, format=form, dpi=160, metadata=metadata)
    return data.getvalue()
