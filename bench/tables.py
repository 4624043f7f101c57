"""Markdown tables of a result file: the summary, all contestants' medians, and missing ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.contestants import ALL_PEERS, FORMS, HALF, MEMATTN, PAIR_PEERS, PEAK, PEERS, label
from bench.measure import TOLERANCES
from bench.stats import Spread, fastest, ratio, spread, times

TASK_NAMES = {"forward": "Forward", "step": "Training step"}
Group = dict[str, Any]
Result = dict[str, Any]


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, also aligned as text: first column to the left, the others to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join(
        "-" * (width + 2) if column == 0 else "-" * (width + 1) + ":"
        for column, width in enumerate(widths)
    )
    return "\n".join([line(table[0]), rule + "|", *map(line, table[1:])])


def microseconds(ns: float) -> str:
    """Return a time in µs with three significant digits."""
    value = ns / 1e3
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def _factor(value: Spread) -> str:
    return f"{value.median:.2f} ({value.low:.2f} to {value.high:.2f})"


def share_of_peak(group: Group, key: str) -> Spread | None:
    """Return the share of the FMA peak, counting 4·N·U·H·S, round by round."""
    peak = contestant(group, PEAK.key)
    if (
        "flops" not in group
        or peak is None
        or "flops_per_call" not in peak
        or not times(group["rounds_ns"], key)
    ):
        return None
    scale = group["flops"] / peak["flops_per_call"]
    taken = ratio(group["rounds_ns"], PEAK.key, key)
    parts = (taken.median, taken.low, taken.high, taken.least)
    return Spread(*(scale * part for part in parts))


def contestant(group: Group, key: str) -> dict[str, Any] | None:
    """Return a contestant of a group by its key."""
    found = (one for one in group["contestants"] if one["key"] == key)
    return next(found, None)


def keys_of(group: Group, form: str, precision: str = "float32") -> list[str]:
    """Return the contestants with this form and this precision of products."""
    return [
        one["key"]
        for one in group["contestants"]
        if one["form"] == form and one.get("precision", "float32") == precision
    ]


MEMORY = ("memory",)
PAIRS = ("cross", "hierarchical")


def groups_of(result: Result, task: str, layers: Sequence[str] = MEMORY) -> list[Group]:
    """Return the groups of a task and of these layers, in the order of the shapes."""
    return [
        group
        for group in result["groups"]
        if group["task"] == task and group.get("layer", "memory") in layers
    ]


def shape_name(group: Group) -> str:
    """Return the display name of a group's shape."""
    sizes = ", ".join(map(str, group["shape"].values()))
    return f"{group['name']} ({sizes})"


def summary(result: Result, task: str, layers: Sequence[str] = MEMORY) -> str:
    """Return a row per shape: memattn, the fastest peer of each form, and memattn's speed-up."""
    rows = []
    shares = task == "forward" and layers == MEMORY
    for group in groups_of(result, task, layers):
        rounds = group["rounds_ns"]
        own = times(rounds, MEMATTN.key)
        if not own:
            rows.append([shape_name(group), "failed", *["—"] * (5 if shares else 4)])
            continue
        middle = spread(own)
        row = [shape_name(group), microseconds(middle.median)]
        if shares:
            share = share_of_peak(group, MEMATTN.key)
            row.append("—" if share is None else f"{share.median:.2f}")
        for form in ("published", "folded"):
            best = fastest(rounds, keys_of(group, form))
            if best is None:
                row += ["—", "—"]
                continue
            one = contestant(group, best)
            assert one is not None
            name = label(one["peer"], one["mode"])
            row.append(f"{name} {microseconds(spread(times(rounds, best)).median)}")
            row.append(_factor(ratio(rounds, best, MEMATTN.key)))
        rows.append(row)
    sizes = "(B, T, U, S, H)" if layers == MEMORY else "(B, T1, T2, F1, F2, U, H)"
    header = [sizes, "memattn, µs"]
    header += ["share of FMA peak"] if shares else []
    header += ["fastest as published, µs", "times faster", "fastest folded by hand, µs"]
    return markdown([*header, "times faster"], rows)


def everybody(result: Result, task: str, layers: Sequence[str] = MEMORY) -> str:
    """Return a row per contestant and a column per shape: median, quartiles and minimum in µs."""
    groups = groups_of(result, task, layers)
    names = list(dict.fromkeys(one["key"] for group in groups for one in group["contestants"]))
    rows = []
    for key in names:
        ones = [contestant(group, key) for group in groups]
        one = next(found for found in ones if found is not None)
        if key == PEAK.key:
            continue
        form = FORMS[one["form"]] if one["form"] != "own" else ""
        row = [label(one["peer"], one["mode"]), form, _tolerance(one.get("precision", "float32"))]
        for group in groups:
            values = times(group["rounds_ns"], key)
            row.append("failed" if not values else _median_and_spread(values))
        rows.append(row)
    for peer in result["missing"]:
        if layers != MEMORY and peer not in PAIR_PEERS:
            continue
        forms = {one.form for one in ALL_PEERS if one.peer == peer and task in one.tasks}
        rows += [
            [PEERS[peer], FORMS[form], "", *["missing"] * len(groups)]
            for form in ("published", "folded")
            if form in forms
        ]
    return markdown(
        ["µs: median (quartiles; least)", "form", "within", *(group["name"] for group in groups)],
        rows,
    )


def _tolerance(precision: str) -> str:
    """Return the error allowed for results of a precision."""
    return f"{TOLERANCES[precision]:.0e}".replace("e-0", "e-")


def half_summary(result: Result, layers: Sequence[str] = MEMORY) -> str:
    """Return a row per shape: memattn in bfloat16, in float32, and peers in their own precision."""
    rows = []
    for group in groups_of(result, "forward", layers):
        rounds = group["rounds_ns"]
        if not times(rounds, HALF.key) or not times(rounds, MEMATTN.key):
            continue
        row = [shape_name(group)]
        row += [microseconds(spread(times(rounds, one.key)).median) for one in (MEMATTN, HALF)]
        row.append(_factor(ratio(rounds, MEMATTN.key, HALF.key)))
        for form in ("published", "folded"):
            best = fastest(rounds, keys_of(group, form, "default"))
            if best is None:
                row += ["—", "—"]
                continue
            row.append(microseconds(spread(times(rounds, best)).median))
            row.append(_factor(ratio(rounds, best, HALF.key)))
        rows.append(row)
    sizes = "(B, T, U, S, H)" if layers == MEMORY else "(B, T1, T2, F1, F2, U, H)"
    header = [sizes, "memattn float32, µs", "memattn bfloat16, µs", "times faster"]
    header += ["OpenVINO as published, µs", "times faster"]
    header += ["OpenVINO folded by hand, µs", "times faster"]
    return markdown(header, rows) if rows else ""


def _median_and_spread(values: Sequence[float]) -> str:
    middle = spread(values)
    low, high = microseconds(middle.low), microseconds(middle.high)
    return f"{microseconds(middle.median)} ({low} to {high}; {microseconds(middle.least)})"


def troubles(result: Result) -> list[str]:
    """Return a sentence for each missing or failed contestant."""
    lines = [f"{PEERS[peer]} is missing: {reason}" for peer, reason in result["missing"].items()]
    lines += [
        f"{label(one['peer'], one['mode'])}, {FORMS[one['form']]}, failed at {group['name']}, "
        f"{TASK_NAMES[group['task']].lower()}: {one['error']}"
        for group in result["groups"]
        for one in group["contestants"]
        if one["error"]
    ]
    return lines


def peak_line(result: Result) -> str:
    """Return the FMA peak over all groups; empty if it was not measured."""
    found = [
        contestant(group, PEAK.key)["flops_per_call"] / value  # type: ignore[index]  # measured
        for group in result["groups"]
        for value in times(group["rounds_ns"], PEAK.key)
    ]
    if not found:
        return ""
    middle = spread(found)
    return (
        f"FMA peak of one core, {result['versions']['memattn']['measured']}, float32: "
        f"{middle.median:.0f} GFLOP/s ({middle.low:.0f} to {middle.high:.0f})"
    )


def latency_lines(result: Result) -> list[str]:
    """Return percentiles of single calls at the token shape."""
    return [
        f"{label(one['peer'], one['mode'])}, one token, call by call in µs: "
        + ", ".join(f"{name} {microseconds(ns)}" for name, ns in one["latency_ns"].items())
        for group in result["groups"]
        for one in group["contestants"]
        if "latency_ns" in one
    ]


def everything(result: Result) -> str:
    """Return the final output of scripts/bench."""
    blocks = []
    for task, name in TASK_NAMES.items():
        for layers, of_them in ((MEMORY, ""), (PAIRS, " of layers of two inputs")):
            if groups_of(result, task, layers):
                blocks += [f"## {name}{of_them}", summary(result, task, layers)]
                blocks.append(everybody(result, task, layers))
                half = half_summary(result, layers) if task == "forward" else ""
                blocks += [f"## {name}{of_them}, in bfloat16", half] if half else []
    lines = [peak_line(result), *latency_lines(result), *troubles(result)]
    blocks += [line for line in lines if line]
    return "\n\n".join(blocks)
