"""The figure of a memory shows the values of the inspection, for layers of any size."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from memattn.figure_style import picture
from memattn.inspection import Inspection, inspect_layer
from memattn.inspection.figures import MAX_HEADS, MAX_SLOTS, draw_inspection

from ..layers import SHAPES, change, make_layer
from ..sampling import LONG


def words(figure: Figure) -> str:
    """Returns all text in a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def panel(figure: Figure, title: str) -> Axes:
    """Returns the panel with this title."""
    (found,) = (axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return found


def draw(inspection: Inspection) -> Figure:
    """Draws and renders the figure; some text exists only after rendering."""
    kept = []
    picture(lambda: kept.append(draw_inspection(inspection, "a.safetensors")) or kept[0], ".png")
    return kept[0]


def test_the_figure_shows_the_values_of_the_inspection() -> None:
    found = inspect_layer(make_layer((5, 6, 2, None, None)))
    figure = draw(found)
    usage, norms = panel(figure, "share of attention"), panel(figure, "norm of each slot")
    cosines = panel(figure, "similarity of slots")
    selectivity = panel(figure, "number of slots that a token reads")
    order = found.by_usage
    np.testing.assert_allclose(
        usage.images[0].get_array(), 100 * found.reading.usage[:, order].T, rtol=1e-6
    )
    assert [text.get_text() for text in usage.get_yticklabels()] == [str(slot) for slot in order]
    widths = [bar.get_width() for bar in norms.patches]
    np.testing.assert_allclose(widths, found.similarity.norms[order])
    np.testing.assert_allclose(
        cosines.images[0].get_array(), found.similarity.cosine[np.ix_(order, order)]
    )
    widths = [bar.get_width() for bar in selectivity.patches]
    np.testing.assert_allclose(widths, found.reading.effective_slots)
    shown = words(figure)
    assert (
        "a.safetensors: 6 slots of 5 units, 2 heads, attention with 4,096 standard normal" in shown
    )
    assert "most used slots are shown" not in shown


DRAWN = [(1, 1, 1, None, None), SHAPES[0], SHAPES[2], SHAPES[7]]


@pytest.mark.parametrize(
    ("shape", "initializer"),
    # Zeros in the long form also in the larger layers, which take longest.
    [
        *((one, "normal") for one in DRAWN),
        *((one, "zeros") for one in DRAWN[: None if LONG else 2]),
    ],
)
def test_every_shape_is_drawn_without_a_warning(shape: tuple, initializer: str) -> None:
    figure = draw(inspect_layer(make_layer(shape, memory_initializer=initializer)))
    nowhere = "all slots are zero or not finite" in words(figure)
    assert nowhere == (initializer == "zeros")


def test_only_the_most_used_slots_and_first_heads_are_drawn() -> None:
    layer = make_layer((2, MAX_SLOTS + 1, MAX_HEADS + 1, None, None))
    figure = draw(inspect_layer(layer))
    usage = panel(figure, "share of attention").images[0].get_array()
    assert usage.shape == (MAX_SLOTS, MAX_HEADS)
    shown = words(figure)
    assert f"Only the {MAX_SLOTS} most used slots are shown" in shown
    assert f"Only the first {MAX_HEADS} heads are shown" in shown


def test_non_finite_weights_are_drawn_without_an_error() -> None:
    def spoil(weight: np.ndarray) -> None:
        weight[0] = np.nan

    draw(inspect_layer(change(make_layer((4, 3, 2, None, None)), memory=spoil)))


def test_dead_slots_are_marked() -> None:
    layer = make_layer((4, 6, 1, None, None))

    def shun(weight: np.ndarray) -> None:
        weight[:] = 0
        weight[[1, 4], 0] = -100

    def one(weight: np.ndarray) -> None:
        weight[0] = 1

    found = inspect_layer(change(layer, memory=shun, key_kernel=one, query_bias=one))
    figure = draw(found)
    colors = [bar.get_facecolor() for bar in panel(figure, "norm of each slot").patches]
    assert len(set(colors[:4])) == len(set(colors[4:])) == 1
    assert colors[0] != colors[4]
    assert found.by_usage[4:] == [1, 4]
    assert "orange: read by no token" in words(figure)


def test_drawing_twice_gives_the_same_bytes() -> None:
    found = inspect_layer(make_layer((4, 3, 2, None, None)))
    for suffix in (".svg", ".png"):
        one, two = (picture(lambda: draw_inspection(found, "a"), suffix) for _ in range(2))
        assert one == two
