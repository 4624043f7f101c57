"""The report of a forecaster: one HTML page with its figures inside, which needs no network.

Its size is bounded however many series there are: figures are drawn of a few of them and of means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from memattn import __version__
from memattn.figure_style import figure_style, picture
from memattn.forecast.arguments import check_trained
from memattn.forecast.data.frames import MODEL
from memattn.forecast.data.long_rows import plural
from memattn.forecast.evaluation import (
    Evaluation,
    baseline_of,
    evaluate_held_out,
    methods_of,
    warnings_of,
)
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import trained_levels
from memattn.forecast.metrics import significant
from memattn.forecast.report.figures import (
    FEWEST_COVERED,
    draw_errors_by_step,
    draw_series,
    shown_opacities,
    step_noun,
    to_svg,
)
from memattn.forecast.report.memory_reading import read_memory
from memattn.forecast.report.memory_section import memory_layers, memory_words
from memattn.forecast.report.series_section import (
    SHOWN,
    error_ratios,
    largest_series,
    series_forecasts,
    worst_series,
)
from memattn.forecast.report.words import (
    NONE,
    about_series,
    about_steps,
    count_better,
    coverage_text,
    headline,
    reach_text,
    relation_in_short,
    short,
    windows_text,
)


@dataclass(frozen=True)
class SeriesPart:
    """One series on the page."""

    name: str
    figure: Markup
    words: str


def render_report(fitted: Fitted, levels: list[float], *, source: str | None = None) -> str:
    """The page, as text; the same state gives the same page.

    Parameters
    ----------
    fitted : Fitted
        What fit left, or a file; what a file does not keep is left out, and the page says so.
    levels : list of float
        Of the intervals, in percent, ascending; none where none are available.
    source : str, optional
        What the series are called in the title. Default: how many there are.

    Raises
    ------
    ValueError
        A level that was not trained.
    """
    check_trained("Forecaster.write_report", trained_levels(fitted.settings), levels)
    evaluation = evaluate_held_out(fitted, levels)
    reading = read_memory(fitted, evaluation)
    panel = fitted.panel
    steps = step_noun(panel.frequency)
    with figure_style():
        sections = _series_sections(fitted, levels, evaluation)
        by_step = None
        if evaluation is not None:
            by_step = to_svg(draw_errors_by_step(evaluation, levels, steps), "errors")
        layers = [] if reading is None else memory_layers(panel, reading)
    return _template().render(
        **_about_data(fitted, source, steps, levels),
        **_about_accuracy(fitted, evaluation, levels),
        **memory_words(fitted, reading),
        sections=sections,
        evaluation=evaluation,
        by_step=by_step,
        reading=reading,
        layers=layers,
    )


def _about_data(
    fitted: Fitted, source: str | None, steps: str, levels: list[float]
) -> dict[str, Any]:
    panel, settings = fitted.panel, fitted.settings
    return {
        "title": source if source is not None else plural(len(panel), "series", "series"),
        "panel": panel,
        "fitted": fitted,
        "steps": steps,
        "horizon": settings["horizon"].value,
        "size_rows": _size_rows(fitted),
        "levels": levels,
        "opacities": shown_opacities(levels),
        "settings": [(name, one.text, one.reason) for name, one in settings.items()],
        "settings_members": settings["members"].value,
        "baseline": baseline_of(panel),
        "any_logs": bool(panel.positive.any()),
        "untrained": settings["steps"].value == 0,
        "version": __version__,
    }


def _about_accuracy(
    fitted: Fitted, evaluation: Evaluation | None, levels: list[float]
) -> dict[str, Any]:
    if evaluation is None:
        why = "The accuracy is not known: fit held out no windows, or the forecaster was loaded"
        why += " from a file, which does not keep them."
        return {"why_no_held_out": why, "facts": []}
    better, of_series = count_better(evaluation)
    covered = [level for level in levels if evaluation.coverage(level) is not None]
    facts = [(f"error against {baseline_of(fitted.panel)}", relation_in_short(evaluation))]
    if of_series > 1:
        facts.append(("series with a lower error", f"{better:,} of {of_series:,}"))
    for level in covered:
        facts.append((f"coverage of {level:g} % intervals", _share(evaluation, level)))
    return {
        "warnings": warnings_of(evaluation),
        "headline": headline(evaluation, covered),
        "covered": covered,
        "facts": facts,
        "rows": _accuracy_rows(evaluation, covered),
        "about_steps": about_steps(evaluation),
        "windows_text": windows_text(evaluation),
        "reach_text": reach_text(evaluation),
        "held_out_by": "the model, which was trained without them"
        if fitted.held_out is None or fitted.held_out.engine is None
        else "a second model with the same settings, which was trained without them",
        "coverage_text": coverage_text(evaluation, levels),
        "coverage_drawn": any(
            evaluation.covered_windows(level) >= FEWEST_COVERED for level in levels
        ),
    }


def series_picture(fitted: Fitted, suffix: str, unique_id: object, levels: list[float]) -> bytes:
    """The forecast of one series as a picture file named ``*suffix``, .svg or .png.

    Raises
    ------
    ValueError
        There is no such series.
    DataError
        Another suffix.
    """
    where = "Forecaster.write_figure"
    ids = fitted.panel.ids.tolist()
    places = [0] if unique_id is None else [k for k, one in enumerate(ids) if one == unique_id]
    if not places:
        expected = f"one of the {plural(len(fitted.panel), 'series', 'series')} of fit"
        raise ValueError(f"{where}: unique_id: found {unique_id!r}, expected {expected}")
    evaluation = evaluate_held_out(fitted, [])
    series = series_forecasts(fitted, places[:1], levels, evaluation)[0]
    return picture(lambda: draw_series(series, levels, legend=True), suffix)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("memattn.forecast.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["short"] = short
    return environment.get_template("report.html.j2")


def _size_rows(fitted: Fitted) -> int:
    """The last rows by which series are large or small: a season, or the horizon."""
    return int(max(fitted.panel.season, fitted.settings["horizon"].value))


def _share(evaluation: Evaluation, level: float) -> str:
    share = evaluation.coverage(level)
    return NONE if share is None else f"{share:.1f} %"


def _accuracy_rows(evaluation: Evaluation, levels: Sequence[float]) -> list[tuple[str, list[str]]]:
    """For each method its measures and, of the model alone, what its intervals held."""
    rows = []
    for method in methods_of(evaluation.panel):
        found = evaluation.overall(method)
        cells = [
            NONE if found.smape is None else f"{found.smape:.2f}",
            *(NONE if one is None else f"{one:.3f}" for one in (found.mase, found.rmsse)),
            significant(found.mae),
        ]
        inside = [_share(evaluation, level) if method == MODEL else NONE for level in levels]
        rows.append((method, cells + inside))
    return rows


def _series_sections(
    fitted: Fitted, levels: list[float], evaluation: Evaluation | None
) -> list[tuple[str, list[SeriesPart]]]:
    """The kinds of series that are shown: "largest", "worst", or "all" of few."""
    panel = fitted.panel
    ratios = np.full(len(panel), np.nan) if evaluation is None else error_ratios(evaluation)
    largest = largest_series(panel, _size_rows(fitted)).tolist()
    worst = [place for place in worst_series(ratios, 2 * SHOWN).tolist() if place not in largest]
    chosen = [("all" if len(panel) <= SHOWN else "largest", largest), ("worst", worst[:SHOWN])]
    windows = np.zeros(len(panel), np.int64)
    if evaluation is not None:
        windows = np.bincount(evaluation.windows.series, minlength=len(panel))
    baseline = baseline_of(panel)
    sections = []
    for kind, places in chosen:
        parts = [
            SeriesPart(
                name=short(panel.ids[one.place]),
                figure=to_svg(draw_series(one, levels), f"{kind}-{k}"),
                words=about_series(
                    one, float(ratios[one.place]), int(windows[one.place]), baseline
                ),
            )
            for k, one in enumerate(series_forecasts(fitted, places, levels, evaluation))
        ]
        if parts:
            sections.append((kind, parts))
    return sections
