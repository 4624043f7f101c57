"""Figures as files: the supported kinds, and that the process keeps its own settings."""

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from memattn.errors import DataError
from memattn.figure_style import INK, picture


def draw() -> Figure:
    assert mpl.rcParams["text.color"] == INK
    figure = Figure()
    figure.subplots().set_title("$5")
    return figure


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".PNG", b"\x89PNG")])
def test_svg_and_png_are_written(suffix: str, start: bytes) -> None:
    mpl.get_backend()  # sets the backend
    before = mpl.rcParams.copy()
    content = picture(draw, suffix)
    assert content.startswith(start)
    assert content == picture(draw, suffix)
    assert mpl.rcParams == before


@pytest.mark.parametrize("suffix", ["", ".pdf", ".svg\x1b"])
def test_other_kinds_are_refused(suffix: str) -> None:
    with pytest.raises(DataError, match=r"must end in \.svg or \.png") as caught:
        picture(draw, suffix)
    assert "\x1b" not in str(caught.value)
