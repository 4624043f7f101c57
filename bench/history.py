"""The speed-up of each release over the fastest other runtime on this machine.

    scripts/bench && python -m bench.report bench/results/DATE.json
    python -m bench.history          run before a release is tagged

Copies this machine's ratios from bench/measured.json to bench/history.json as those of the current
version, and draws docs/images/history.svg: for each table, the geometric mean over sizes of
memattn's speed-up over the fastest runtime with the layer folded by hand.
"""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from bench import machine
from bench.environments import ROOT
from bench.report import MEASURED
from memattn.figure_style import BLUE, GREEN, INK, MUTED, ORANGE, picture
from memattn.files import write_atomically

HISTORY = ROOT / "bench" / "history.json"
PICTURE = ROOT / "docs" / "images" / "history.svg"
TICKS = (0.5, 1, 2, 5, 10, 20, 50)
COLOURS = (BLUE, ORANGE, GREEN, MUTED, INK, "#cc79a7")
# By processor, release and table: the source of the figures, and the ratio of each size.
History = dict[str, dict[str, dict[str, dict[str, Any]]]]


def version_of_sources() -> str:
    """Return the version of the tree; an extension that was built earlier may have another one."""
    header = (ROOT / "include" / "memattn" / "version.h").read_text(encoding="utf-8")
    return header.partition('MEMATTN_VERSION "')[2].partition('"')[0]


def processor() -> str:
    """Return the name of this machine, with which columns of bench/measured.json begin."""
    found = machine.describe()
    family = f" ({found['family']})" if found["family"] else ""
    return f"{found['processor']}{family}"


def ratios(measured: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return the ratios of a processor for each table, which are the last figures of its cells."""
    found = {}
    for table, columns in measured.items():
        for column, figures in columns.items():
            if column.rpartition(", ")[0] == name:
                last = {size: cell.split(" · ")[-1] for size, cell in figures["rows"].items()}
                factors = {size: _number(one) for size, one in last.items()}
                known = {size: one for size, one in factors.items() if one is not None}
                found[table] = {"source": figures["source"], "ratios": known}
    return found


def _number(cell: str) -> float | None:
    """Return the factor at the beginning of a cell, or None if it was not measured."""
    try:
        return float(cell.split(" ")[0].replace(",", ""))
    except ValueError:
        return None


def mean(figures: dict[str, float]) -> float:
    """Return the geometric mean of some ratios."""
    return math.exp(sum(map(math.log, figures.values())) / len(figures))


def drawn(releases: dict[str, dict[str, dict[str, Any]]], name: str) -> Figure:
    """Draw a line over the releases for each table, and a dot for each size."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    versions = sorted(releases, key=lambda one: [int(part) for part in one.split(".")])
    tables = list(dict.fromkeys(table for one in releases.values() for table in one))
    for number, (table, colour) in enumerate(zip(tables, COLOURS, strict=False)):
        shift = 0.04 * (number - len(tables) / 2)
        points = [
            (place + shift, releases[version][table]["ratios"])
            for place, version in enumerate(versions)
            if releases[version].get(table, {}).get("ratios")
        ]
        for place, figures in points:
            values = list(figures.values())
            axes.scatter([place] * len(values), values, s=9, color=colour, alpha=0.4)
        means = [mean(figures) for _, figures in points]
        axes.plot([place for place, _ in points], means, "-o", color=colour, label=table)
    axes.axhline(1, color=MUTED, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(range(len(versions)), versions)
    axes.set_xlim(-0.5, len(versions) - 0.5)
    axes.set_yticks(TICKS, [f"{one:g}" for one in TICKS])
    axes.set_ylim(TICKS[0], TICKS[-1])
    axes.minorticks_off()
    axes.set_title(f"Times faster than the fastest runtime, folded by hand\n{name}")
    axes.legend(fontsize=8)
    return figure


def main() -> None:
    """Add the current version and draw all versions."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    found = ratios(measured, name := processor())
    if not found:
        raise SystemExit(
            f"{MEASURED.name} has no figures of this machine, {name}: run scripts/bench"
        )
    history: History = json.loads(HISTORY.read_text("utf-8")) if HISTORY.exists() else {}
    version = version_of_sources()
    history.setdefault(name, {})[version] = found
    write_atomically(HISTORY, (json.dumps(history, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(PICTURE, picture(partial(drawn, history[name], name), ".svg"))
    for table, one in found.items():
        print(f"{version}, {table}: {mean(one['ratios']):.2f} times")


if __name__ == "__main__":
    main()
