"""The look of all figures, and how one becomes a picture file.

Colours are those of Okabe and Ito, which can be distinguished by the colour-blind.
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
STYLE: Any = {  # matplotlib types the keys one by one
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a dollar in a column name is a dollar
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
    """The look of all figures, without touching the settings of the process for longer."""
    with mpl.rc_context({**STYLE, **(changes or {})}):
        yield


def check_picture_suffix(suffix: str) -> None:
    """Raises DataError unless `suffix` is that of a picture, ``.svg`` or ``.png``."""
    if suffix.lower() not in {".svg", ".png"}:
        raise DataError("option", "the name of a figure must end in .svg or .png")


def picture(draw: Callable[[], Figure], suffix: str) -> bytes:
    """What `draw` draws, on white, as the content of a file named ``*suffix``.

    Raises
    ------
    DataError
        `suffix` is not that of a picture.
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
