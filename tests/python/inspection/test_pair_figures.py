"""The figure of a layer of two inputs shows the values of the inspection."""

from typing import Any

import numpy as np
import pytest

from memattn import CrossAttention
from memattn.figure_style import picture
from memattn.inspection import inspect_layer
from memattn.inspection.figures import MAX_HEADS
from memattn.inspection.pair_figures import draw_pair_inspection
from memattn.inspection.pair_overview import PairInspection
from memattn.inspection.pair_reading import MAP_STEPS

from ..pairs import both, inputs, small
from .test_figures import panel, words


def draw(inspection: PairInspection) -> Any:
    """Draws and renders the figure; some text exists only after rendering."""
    kept: list[Any] = []
    picture(lambda: kept.append(draw_pair_inspection(inspection, "a.npz")) or kept[0], ".png")
    return kept[0]


@both
def test_the_figure_shows_the_values_of_the_inspection(kind: str) -> None:
    found = inspect_layer(small(kind), inputs(kind))
    figure = draw(found)
    assert len(figure.axes) == 4 * len(found.reading.attentions)  # three panels and a colour scale
    for row, one in enumerate(found.reading.attentions):
        side = f"{one.name} side: " if one.name else ""
        image = panel(figure, f"{side}attention of each step").images[0]
        np.testing.assert_allclose(image.get_array(), 100 * one.scores, rtol=1e-6)
        bars = [axes for axes in figure.axes if axes.patches]
        widths = [bar.get_width() for bar in bars[2 * row].patches]
        np.testing.assert_allclose(widths, one.effective_steps)
        heads = found.heads[one.name]
        widths = [bar.get_width() for bar in bars[2 * row + 1].patches]
        expected = [head.logits[0] for head in heads] + [head.values[0] for head in heads]
        np.testing.assert_allclose(widths, expected)
    assert f"a.npz: {found.name} of 6 units, 2 heads, attention with 3 sequences" in words(figure)


@pytest.mark.parametrize("heads", [1, MAX_HEADS + 1])
def test_every_size_is_drawn_without_a_warning(heads: int) -> None:
    layer = CrossAttention(2, heads, seed=0)
    figure = draw(inspect_layer(layer))
    assert (f"Only the first {MAX_HEADS} heads are shown" in words(figure)) == (heads > MAX_HEADS)


def test_one_step_and_very_many_are_drawn() -> None:
    layer, one = CrossAttention(2, 1, seed=0), np.ones((1, 1, 2))
    draw(inspect_layer(layer, (one, one)))
    many = np.ones((1, MAP_STEPS + 1, 2))
    assert "too many steps to show" in words(draw(inspect_layer(layer, (one, many))))


def test_zero_and_non_finite_weights_are_drawn_without_an_error() -> None:
    layer = CrossAttention(2, 1, seed=0)
    for value in (0.0, np.nan):
        layer.set_weights({name: np.full_like(w, value) for name, w in layer.weights.items()})
        draw(inspect_layer(layer))
