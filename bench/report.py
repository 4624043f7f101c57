"""Writes docs/performance.md and its pictures from a result file of scripts/bench.

python -m bench.report bench/results/2026-01-01T000000Z.json

A file of the layers of two inputs alone (--layers cross,hierarchical) replaces their section of the
page; a file without them leaves that section as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import plot, tables
from bench.contestants import PEERS
from bench.environments import ROOT

# The words stand here and the figures come from the file, so that neither outlives the other.
TEXT = """# Performance

Written by `python -m bench.report` from the results of

    {command}

on {date}, commit `{commit}`; nothing but the last section is typed by hand. How it is measured,
`bench/README.md` says: one core, float32, everybody interleaved in {rounds} shuffled rounds. A
figure is the median over rounds, in brackets the quartiles; "times faster" is the median of the
ratios within a round. "As published" is the layer as each runtime's users would write it, "folded
by hand" the two thin matrices of [math.md](math.md), which no runtime finds by itself.

## The machine

{machine}

{peak}

{versions}

{tasks}

{limits}"""
PAIRS = """{heading}

Written by `python -m bench.report` from the results of

    {command}

on {date}, commit `{commit}`, core {core} of {processor} ({vectors}).
{peak}.

"Folded by hand" is the cheapest way of [siblings-math.md](siblings-math.md#the-ways) for each
shape, by the library's rule, with constant weights in a forward pass and folded anew in every
training step. The layer is the first word of a name: `cross` or `hier`. Everybody is interleaved in
{rounds} shuffled rounds.

{tasks}
"""
PAIRS_HEADING = "## CrossAttention and HierarchicalAttention"
LIMITS_HEADING = "## What holds it"
LIMITS = Path(__file__).with_name("limits.md")


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    rows = [
        ["processor", " ".join(filter(None, (machine["processor"], f"({machine['family']})")))],
        ["vectors", machine["vectors"]],
        ["cores", f"{machine['cores']}, pinned to number {result['core']}"],
        ["memory", machine["memory"]],
        ["kernel", machine["kernel"] + (", virtual machine" if machine["virtual"] else "")],
        ["frequency governor", machine["governor"]],
    ]
    if result["forced_isa"]:
        rows.append(["MEMATTN_FORCE_ISA", result["forced_isa"]])
    return tables.markdown(["", "value"], rows)


def _versions(result: dict[str, Any]) -> str:
    rows = [
        [name, ", ".join(f"{package} {version}" for package, version in versions.items())]
        for name, versions in result["versions"].items()
    ]
    rows += [[PEERS[peer], f"missing: {reason}"] for peer, reason in result["missing"].items()]
    return tables.markdown(["process", "versions"], rows)


def _task(result: dict[str, Any], task: str, pictures: dict[str, str]) -> str:
    parts = [f"## {tables.TASK_NAMES[task]}"]
    if task == "step":
        parts.append(
            "Forward and backward with the gradients of x and of all nine weights; who folds, "
            "folds in every step. ONNX Runtime and OpenVINO do not train."
        )
    parts.append(tables.summary(result, task))
    if task == "forward" and "peak" in pictures:
        parts.append(f"![Share of the FMA peak, memattn and its peers]({pictures['peak']})")
    parts += ["Everybody, µs:", tables.everybody(result, task)]
    if task == "forward":
        parts += tables.latency_lines(result)
    return "\n\n".join(parts)


def _rounds(groups: list[dict[str, Any]]) -> str:
    counts = sorted({len(group["rounds_ns"]) for group in groups})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def pairs(result: dict[str, Any]) -> str:
    """The section of the layers of two inputs; empty where the result has none of them."""
    parts, groups = [], []
    for task, name in tables.TASK_NAMES.items():
        found = tables.groups_of(result, task, tables.PAIRS)
        if not found:
            continue
        groups += found
        parts += [f"**{name}**", tables.summary(result, task, tables.PAIRS)]
        parts += ["Everybody, µs:", tables.everybody(result, task, tables.PAIRS)]
    if not groups:
        return ""
    failed = tables.troubles({**result, "groups": groups})
    parts += ["\n".join(f"- {line}" for line in failed)] if failed else []
    return PAIRS.format(
        heading=PAIRS_HEADING,
        command=result["command"],
        date=result["measured"][:10],
        commit=result["commit"] or "unknown",
        processor=result["machine"]["processor"],
        vectors=result["machine"]["vectors"],
        core=result["core"],
        peak=tables.peak_line(result),
        rounds=_rounds(groups),
        tasks="\n\n".join(parts),
    )


def section_of(page: str) -> str:
    """The section of the layers of two inputs in a page, or nothing."""
    _, heading, rest = page.partition(PAIRS_HEADING)
    return heading + rest.partition(LIMITS_HEADING)[0]


def with_section(page: str, section: str) -> str:
    """A page with this section in the place of the one that it has, before the last."""
    page = page.replace(section_of(page), "") if PAIRS_HEADING in page else page
    before, heading, after = page.partition(LIMITS_HEADING)
    return f"{before}{section.rstrip()}\n\n{heading}{after}" if section else page


def performance(result: dict[str, Any], pictures: dict[str, str]) -> str:
    """The whole page; `pictures` are links by "peak" and "speed"."""
    rounds = _rounds(result["groups"])
    tasks = [task for task in tables.TASK_NAMES if tables.groups_of(result, task)]
    sections = [_task(result, task, pictures) for task in tasks]
    if "speed" in pictures:
        sections.append(f"![Speed-up for each peer and shape]({pictures['speed']})")
    troubles = tables.troubles(result)
    if troubles:
        sections.append("## Missing or failed\n\n" + "\n".join(f"- {line}" for line in troubles))
    return TEXT.format(
        command=result["command"],
        date=result["measured"][:10],
        commit=result["commit"] or "unknown",
        rounds=rounds,
        machine=_machine(result),
        peak=tables.peak_line(result) + ".",
        versions=_versions(result),
        tasks="\n\n".join(sections),
        limits=LIMITS.read_text(),
    )


def main() -> int:
    """The command."""
    parse = argparse.ArgumentParser("python -m bench.report", description=__doc__)
    parse.add_argument("result", type=Path, help="a JSON file of scripts/bench")
    parse.add_argument("--output", type=Path, default=ROOT / "docs" / "performance.md")
    options = parse.parse_args()
    try:
        result = json.loads(options.result.read_text())
    except (OSError, ValueError) as error:
        parse.error(f"{options.result}: {error}")
    if result.get("format") != 1:
        parse.error(f"{options.result}: found format {result.get('format')}, expected 1")
    section = pairs(result)
    before = options.output.read_text() if options.output.exists() else ""
    if section and not any(tables.groups_of(result, task) for task in tables.TASK_NAMES):
        options.output.write_text(with_section(before, section))
        return 0
    images = options.output.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in plot.write(result, Path(folder) / "performance"):
            shutil.copyfile(path, images / path.name)
            pictures[path.stem.removeprefix("performance-")] = f"images/{path.name}"
    page = performance(result, pictures)
    options.output.write_text(with_section(page, section or section_of(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
