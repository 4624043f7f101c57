"""The report: one HTML page with its figures inside, which needs no network to be read."""

from __future__ import annotations

from dataclasses import dataclass

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from memattn import __version__
from memattn.figure_style import figure_style
from memattn.forecast.accuracy_table import NUMBER_COLUMNS, accuracy_rows, significant
from memattn.forecast.first_figures import (
    draw_errors_by_step,
    draw_forecast,
    draw_held_out_windows,
    step_noun,
    to_svg,
)
from memattn.forecast.first_memory_figures import (
    draw_by_phase,
    draw_last_window,
    draw_prototypes,
    phase_names,
)
from memattn.forecast.first_memory_reading import READER_SHARE, read_memory
from memattn.forecast.intervals import LEVELS
from memattn.forecast.metrics import skill
from memattn.forecast.result import METHODS, MODEL, ForecastResult, TargetForecast


@dataclass(frozen=True)
class TargetSection:
    """What the page shows of one target; figures are SVG."""

    name: str
    headline: str
    forecast: Markup
    windows: Markup
    errors: Markup
    attention: Markup


def render_report(result: ForecastResult) -> str:
    """The page, as text. The same forecast gives the same page but for the training time."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("memattn.forecast", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["format_count"] = "{:,}".format
    reading = read_memory(result)
    with figure_style():
        sections = [
            TargetSection(
                name=target.name,
                headline=_headline(target),
                forecast=_markup(draw_forecast(result, target), f"forecast-{k}"),
                windows=_markup(draw_held_out_windows(result, target), f"windows-{k}"),
                errors=_markup(draw_errors_by_step(result, target), f"errors-{k}"),
                attention=_markup(draw_last_window(result, reading, k), f"attention-{k}"),
            )
            for k, target in enumerate(result.targets)
        ]
        season = result.settings.season
        by_phase = _markup(draw_by_phase(result, reading), "phase") if season > 1 else None
        prototypes = _markup(draw_prototypes(result, reading), "prototypes")
    return environment.get_template("first_report.html.j2").render(
        result=result,
        settings=result.settings,
        sections=sections,
        rows=accuracy_rows(result),
        number_columns=NUMBER_COLUMNS,
        methods=METHODS,
        model=MODEL,
        levels=LEVELS,
        windows=len(result.targets[0].validation.origins),
        held_out=result.rows - result.train_end,
        steps=step_noun(result),
        phase=phase_names(result)[1],
        reader_share=100 * READER_SHARE,
        by_phase=by_phase,
        prototypes=prototypes,
        version=__version__,
    )


def _markup(figure: Figure, name: str) -> Markup:
    # matplotlib has escaped what came from the data.
    return Markup(to_svg(figure, name))


def _headline(target: TargetForecast) -> str:
    model, baseline = target.accuracy[MODEL], target.accuracy["seasonal-naive"]
    better = skill(model.mae, baseline.mae)
    text = f"Mean absolute error {significant(model.mae)} on held-out windows"
    if better is None:
        return f"{text}; seasonal-naive made none."
    relation = f"{abs(better):.0f} % {'less' if better >= 0 else 'more'}"
    return f"{text}, {relation} than seasonal-naive ({significant(baseline.mae)})."
