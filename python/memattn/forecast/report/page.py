"""The report of a forecaster: one HTML page with embedded figures, which needs no network.

Its size does not grow with the number of series: figures show a few series, or means over all.
"""

from __future__ import annotations

from typing import Any

import jinja2
import numpy as np

from memattn import __version__
from memattn.figure_style import figure_style, picture
from memattn.forecast.arguments import check_trained
from memattn.forecast.data.frames import time_texts
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.evaluation import (
    Evaluation,
    baseline_of,
    evaluate_held_out,
    methods_of,
    warnings_of,
)
from memattn.forecast.explanation import Explanation, explain
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import SETTING_WORDS, only_levels
from memattn.forecast.report import explanation_figures, figures, memory_figures, words
from memattn.forecast.report.figures import to_svg
from memattn.forecast.report.memory_reading import MemoryReading, Reader, read_memory
from memattn.forecast.report.series_section import (
    SHOWN,
    error_ratios,
    largest_series,
    series_forecasts,
    worst_series,
)

SLOTS_SHOWN = 16  # slots of a layer in the figure of shares
SLOTS_DRAWN = 9  # slots drawn with the windows that read them
NAMED = 3  # windows listed below each of these figures
MOST_BARS = 40
MOST_CURVES, NAMED_POINTS = 12, 8  # effect curves drawn, and values listed below each


def render_report(fitted: Fitted, levels: list[float], *, source: str | None = None) -> str:
    """Returns the page as HTML text; the same state gives the same page.

    Parts of `fitted` that a file does not keep are left out, with a note on the page. `levels` are
    the levels of the intervals in percent, ascending. `source` names the data in the title.
    """
    check_trained("Forecaster.write_report", only_levels(fitted.settings), levels)
    evaluation, panel = evaluate_held_out(fitted, levels), fitted.panel
    reading, steps = read_memory(fitted, evaluation), figures.step_noun(panel.frequency)
    covariates = panel.covariates
    explanation = None if covariates is None else explain(fitted)
    # The size of a series is its mean absolute value over this many last rows.
    size_rows = int(max(panel.season, fitted.settings["horizon"].value))
    with figure_style():
        accuracy = {"facts": {}} if evaluation is None else _accuracy(evaluation, levels, steps)
        sections = _series_sections(fitted, levels, evaluation, size_rows)
        layers = [] if reading is None else _memory_layers(panel, reading)
        curves = [] if explanation is None else _curves(explanation)
    return _template().render(
        title=source if source is not None else plural(len(panel), "series", "series"),
        fitted=fitted,
        panel=panel,
        settings=dict(fitted.settings),
        labels=SETTING_WORDS,
        baseline=baseline_of(panel),
        any_logs=bool(panel.positive.any()),
        steps=steps,
        size_rows=size_rows,
        levels=levels,
        opacities=figures.shown_opacities(levels),
        sections=sections,
        evaluation=evaluation,
        covariates=covariates,
        known_ahead=covariates is None or covariates.known_ahead(panel.offsets),
        explanation=explanation,
        importances=[] if explanation is None else _importances(explanation),
        about_importances="" if explanation is None else words.about_importances(explanation),
        curves=curves,
        reading=reading,
        layers=layers,
        version=__version__,
        **accuracy,
    )


def _accuracy(evaluation: Evaluation, levels: list[float], steps: str) -> dict[str, Any]:
    shares = {level: evaluation.coverage(level) for level in levels}
    covered = {level: f"{one:.1f} %" for level, one in shares.items() if one is not None}
    better, of_series = words.count_better(evaluation)
    facts = {f"error against {baseline_of(evaluation.panel)}": words.relation_in_short(evaluation)}
    if of_series > 1:
        facts["series with a lower error"] = f"{better:,} of {of_series:,}"
    facts |= {f"coverage of {level:g} % intervals": share for level, share in covered.items()}
    return {
        "facts": facts,
        "warnings": warnings_of(evaluation),
        "headline": words.headline(evaluation, list(covered)),
        "covered": covered,
        "rows": {method: evaluation.cells(method) for method in methods_of(evaluation.panel)},
        "about_steps": words.about_steps(evaluation),
        "windows_text": words.windows_text(evaluation),
        "coverage_text": words.coverage_text(evaluation, levels),
        "coverage_drawn": any(
            evaluation.covered_windows(level) >= figures.FEWEST_COVERED for level in levels
        ),
        "by_step": to_svg(figures.draw_errors_by_step(evaluation, levels, steps), "errors"),
    }


def _series_sections(
    fitted: Fitted, levels: list[float], evaluation: Evaluation | None, size_rows: int
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns the sections with single series: "largest" and "worst", or "all" of a few."""
    panel, baseline = fitted.panel, baseline_of(fitted.panel)
    ratios, windows = np.full(len(panel), np.nan), np.zeros(len(panel), np.int64)
    if evaluation is not None:
        ratios = error_ratios(evaluation)
        windows = np.bincount(evaluation.windows.series, minlength=len(panel))
    largest = largest_series(panel, size_rows).tolist()
    worst = [place for place in worst_series(ratios, 2 * SHOWN).tolist() if place not in largest]
    sections = []
    for kind, places in (
        ("all" if len(panel) <= SHOWN else "largest", largest),
        ("worst", worst[:SHOWN]),
    ):
        parts = []
        for k, one in enumerate(series_forecasts(fitted, places, levels, evaluation)):
            wrong = float(ratios[one.place]), int(windows[one.place])
            figure = to_svg(figures.draw_series(one, levels), f"{kind}-{k}")
            text = words.about_series(one, *wrong, baseline)
            parts.append({"id": panel.ids[one.place], "figure": figure, "words": text})
        if parts:
            sections.append((kind, parts))
    return sections


def _importances(explanation: Explanation) -> list[dict[str, Any]]:
    """Returns the rows of the table of inputs; bars share one scale from 0 to 100."""
    found = explanation.importances[:MOST_BARS]
    of_unit = 100 / (explanation.mae or 1.0)
    spans = [
        (one.percent, of_unit * (one.increase - margin), of_unit * (one.increase + margin))
        for one in found
        for margin in [2 * one.standard_error]
    ]
    low, high = min(0.0, *map(min, spans)), max(0.0, *map(max, spans))
    height = (high - low) or 1.0
    return [
        {
            "one": one,
            "kind": words.KINDS_OF_IMPORTANCE[one.kind],
            "zero": 100 * (0 - low) / height,
            "bar": sorted(100 * (end - low) / height for end in (0.0, span[0])),
            "margin": [100 * (end - low) / height for end in span[1:]],
        }
        for one, span in zip(found, spans, strict=True)
    ]


def _curves(explanation: Explanation) -> list[dict[str, Any]]:
    parts = []
    for k, curve in enumerate(explanation.curves[:MOST_CURVES]):
        means = curve.forecasts.mean(axis=1).tolist()
        part = {
            "name": curve.name,
            "figure": to_svg(explanation_figures.draw_curve(curve), f"curve-{k}"),
            "words": words.about_curve(curve),
            "labels": list(zip(curve.labels, means, strict=False))[:NAMED_POINTS],
        }
        parts.append(part)
    return parts


def _memory_layers(panel: Panel, reading: MemoryReading) -> list[dict[str, Any]]:
    layers, effects = [], reading.effects
    for layer, usage in enumerate(reading.usage):
        order = drawn = np.argsort(-usage, kind="stable")
        shown = order[:SLOTS_SHOWN]
        part: dict[str, Any] = {
            "slots_shown": len(shown),
            "shares": to_svg(memory_figures.draw_shares(reading, layer, shown), f"shares-{layer}"),
            "about_shares": words.about_shares(reading, layer, shown),
            "about_usage": words.about_usage(usage),
            "effects": None,
        }
        if effects is not None:
            drawn = np.argsort(-effects.movement[layer], kind="stable")
            bars = memory_figures.draw_effects(effects, layer, order[:MOST_BARS])
            part["effects"] = to_svg(bars, f"effects-{layer}")
            part["about_effects"] = words.about_effects(effects, layer)
        part["readers"] = [
            _slot_part(panel, reading, layer, slot) for slot in drawn[:SLOTS_DRAWN].tolist()
        ]
        layers.append(part)
    return layers


def _slot_part(panel: Panel, reading: MemoryReading, layer: int, slot: int) -> dict[str, Any]:
    """Returns a slot with the windows that read it most: series, time of the last row, share."""
    readers = reading.readers[layer][slot]
    shapes = [reader.shape for reader in readers]

    def time_of(reader: Reader) -> str:
        series = np.array([reader.series])
        ticks = panel.times(series, reader.end - panel.lengths[series])
        return str(time_texts(panel, ticks)[0])

    return {
        "slot": slot,
        "share": 100 * reading.usage[layer][slot],
        "figure": to_svg(
            memory_figures.draw_readers(shapes, reading.lookback), f"readers-{layer}-{slot}"
        ),
        "windows": [
            (panel.ids[one.series], time_of(one), 100 * one.share) for one in readers[:NAMED]
        ],
    }


def series_picture(fitted: Fitted, suffix: str, unique_id: object, levels: list[float]) -> bytes:
    """Returns the figure of one series' forecast as the bytes of an .svg or .png file."""
    where = "Forecaster.write_figure"
    ids = fitted.panel.ids.tolist()
    places = [0] if unique_id is None else [k for k, one in enumerate(ids) if one == unique_id]
    if not places:
        expected = f"one of the {plural(len(fitted.panel), 'series', 'series')} passed to fit()"
        raise ValueError(f"{where}: unique_id: found {unique_id!r}, expected {expected}")
    evaluation = evaluate_held_out(fitted, [])
    series = series_forecasts(fitted, places[:1], levels, evaluation)[0]
    return picture(lambda: figures.draw_series(series, levels, legend=True), suffix)


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
    environment.filters["short"] = words.short
    return environment.get_template("report.html.j2")
