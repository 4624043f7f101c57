"""Writes docs/performance.md from the figures of all machines, after adding those of a result file.

python -m bench.report bench/results/2026-01-01T000000Z.json

Each table of the page has a column for each processor. bench/measured.json stores the figures of
the columns; a result replaces its processor's figures in the tables that it has, and keeps all
others.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from bench import tables
from bench.contestants import HALF, MEMATTN, label
from bench.environments import ROOT
from bench.stats import fastest, ratio, spread, times

MEASURED = Path(__file__).with_name("measured.json")
LIMITS = Path(__file__).with_name("limits.md")
# The text is here and the figures come from the file, so neither outlives the other.
TEXT = """# Performance

`python -m bench.report` writes this page; only the last section is typed by hand. Each table has a
column for each processor. Above it are the command, the date and the commit of each column.
[bench/README.md](../bench/README.md) describes the method: one core, all runtimes interleaved in
shuffled rounds.

A cell begins with memattn's time in µs, the median over rounds. Two factors follow. The first says
how many times faster that is than the fastest runtime that has the layer as its users would write
it. The second compares with the fastest runtime that has the layer folded by hand into the two thin
matrices of [math.md](math.md). Factors are medians of the ratios within a round. Below 1, the
runtime is faster. `scripts/bench` prints the times of all runtimes.

Runtimes multiply in float32, which is their default. OpenVINO is an exception: where a processor
has bfloat16, its default is bfloat16. It is set to float32 for the float32 tables and keeps its
default for the bfloat16 tables. Before a result is timed, it is compared with the float64 layer,
relative to the largest value: within 1e-4 in float32, and within 2e-2 in bfloat16.

{tables}

{limits}"""

SIZES = {"memory": "(B, T, U, S, H)", "pairs": "(B, T1, T2, F1, F2, U, H)"}
# The heading and sizes of each table, by its name in bench/measured.json, and the meaning of cells.
FLOAT = "µs · times faster than as published · than folded by hand"
TABLES = {
    "memory forward": ("## Forward", FLOAT),
    "memory forward bfloat16": (
        "## Forward in bfloat16",
        "µs · times faster than memattn in float32 · than OpenVINO as published · than OpenVINO "
        "folded by hand",
    ),
    "memory step": (
        "## Training step\n\nForward and backward with the gradients of the inputs and of all "
        "weights. Contestants that use\nthe folded form fold again in every step. ONNX Runtime and "
        "OpenVINO do not train.",
        FLOAT,
    ),
    "pairs forward": ("## CrossAttention and HierarchicalAttention: forward", FLOAT),
    "pairs forward bfloat16": (
        "## CrossAttention and HierarchicalAttention: forward in bfloat16",
        "µs · times faster than memattn in float32 · than OpenVINO as published · than OpenVINO "
        "folded by hand",
    ),
    "pairs step": ("## CrossAttention and HierarchicalAttention: training step", FLOAT),
}


def _factor(group: tables.Group, over: str | None, under: str) -> str:
    if over is None or not times(group["rounds_ns"], over):
        return "—"
    return f"{ratio(group['rounds_ns'], over, under).median:.2f}"


def _cell(group: tables.Group, own: str, factors: list[str]) -> str:
    middle = spread(times(group["rounds_ns"], own)).median
    return " · ".join([tables.microseconds(middle), *factors])


def _float_cell(group: tables.Group) -> str:
    """Return the time and the float32 factors, each factor followed by its runtime."""
    factors = []
    for form in ("published", "folded"):
        best = fastest(group["rounds_ns"], tables.keys_of(group, form))
        one = tables.contestant(group, best) if best else None
        name = f" {label(one['peer'], one['mode'])}" if one else ""
        factors.append(_factor(group, best, MEMATTN.key) + name)
    return _cell(group, MEMATTN.key, factors)


def _half_cell(group: tables.Group) -> str:
    rounds = group["rounds_ns"]
    factors = [_factor(group, MEMATTN.key, HALF.key)]
    for form in ("published", "folded"):
        best = fastest(rounds, tables.keys_of(group, form, "default"))
        factors.append(_factor(group, best, HALF.key))
    return _cell(group, HALF.key, factors)


def columns_of(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the column of the result's machine in each table that it has figures for."""
    columns: dict[str, dict[str, Any]] = {}
    for layers, kind in ((tables.MEMORY, "memory"), (tables.PAIRS, "pairs")):
        for task in tables.TASK_NAMES:
            for key, own, cell in (
                (f"{kind} {task}", MEMATTN.key, _float_cell),
                (f"{kind} {task} bfloat16", HALF.key, _half_cell),
            ):
                rows = {
                    tables.shape_name(group): cell(group)
                    for group in tables.groups_of(result, task, layers)
                    if times(group["rounds_ns"], own)
                }
                if rows:
                    columns[key] = {"source": _source(result), "rows": rows}
    return columns


def _source(result: dict[str, Any]) -> str:
    """Return the source of a column's figures."""
    peak = tables.peak_line(result)
    return (
        f"`{result['command']}`, {result['measured'][:10]}, commit "
        f"`{result['commit'] or 'unknown'}`" + (f". {peak}." if peak else ".")
    )


def processor_of(result: dict[str, Any]) -> str:
    """Return the name of a result's machine, the head of a column."""
    machine = result["machine"]
    family = f" ({machine['family']})" if machine["family"] else ""
    return f"{machine['processor']}{family}, {result['versions']['memattn']['measured']}"


def with_result(measured: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """Return all figures, with those of the result instead of older ones of its machine."""
    processor = processor_of(result)
    merged = {key: dict(columns) for key, columns in measured.items()}
    for key, column in columns_of(result).items():
        merged.setdefault(key, {})[processor] = column
    return merged


def _wrapped(line: str) -> str:
    """Wrap a paragraph or list item at 100 columns."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, 100, subsequent_indent=indent, break_on_hyphens=False)


def page(measured: dict[str, Any]) -> str:
    """Return the whole page."""
    parts = []
    for key, (heading, cells) in TABLES.items():
        columns = measured.get(key)
        if not columns:
            continue
        shapes = list(dict.fromkeys(name for one in columns.values() for name in one["rows"]))
        rows = [
            [shape, *(one["rows"].get(shape, "—") for one in columns.values())] for shape in shapes
        ]
        sources = [_wrapped(f"- {name}: {one['source']}") for name, one in columns.items()]
        parts += [heading, _wrapped(f"A cell: {cells}."), "\n".join(sources)]
        parts.append(tables.markdown([SIZES[key.split()[0]], *columns], rows))
    return TEXT.format(tables="\n\n".join(parts), limits=LIMITS.read_text())


def main() -> int:
    """Run the command."""
    parse = argparse.ArgumentParser("python -m bench.report", description=__doc__)
    parse.add_argument("result", type=Path, help="a JSON file of scripts/bench")
    parse.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    parse.add_argument("--measured", type=Path, default=MEASURED, help="all machines' figures")
    options = parse.parse_args()
    try:
        result = json.loads(options.result.read_text())
    except (OSError, ValueError) as error:
        parse.error(f"{options.result}: {error}")
    if result.get("format") != 1:
        parse.error(f"{options.result}: found format {result.get('format')}, expected 1")
    before = json.loads(options.measured.read_text()) if options.measured.exists() else {}
    measured = with_result(before, result)
    options.measured.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    options.output.write_text(page(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
