"""Two figures of a result file: the share of the FMA peak, and the speed-up over each peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from bench.contestants import MEMATTN, PEERS
from bench.stats import fastest, ratio, times
from bench.tables import TASK_NAMES, contestant, groups_of, keys_of, share_of_peak

# The palette of Okabe and Ito, which people with any colour vision can tell apart; the marks also
# differ in shape and filling.
COLOURS = {"own": "#0072B2", "published": "#D55E00", "folded": "#E69F00"}
MARKS = {"published": "o", "folded": "D"}
HATCHES = {"own": "", "folded": "//", "published": ".."}
NAMES = {
    "own": "memattn",
    "folded": "fastest peer, folded by hand",
    "published": "fastest peer, as published",
}


def _shares(axes: Any, groups: list[dict[str, Any]]) -> None:
    width = 0.27
    for place, form in enumerate(("own", "folded", "published")):
        for column, group in enumerate(groups):
            own = form == "own"
            key = MEMATTN.key if own else fastest(group["rounds_ns"], keys_of(group, form))
            share = share_of_peak(group, key) if key else None
            if share is None:
                continue
            x = column + (place - 1) * width
            axes.bar(
                *(x, share.median, width * 0.94),
                color=COLOURS[form],
                edgecolor="white",
                hatch=HATCHES[form],
            )
            text = f"{share.median:.2f}" if share.median >= 0.005 else f"{share.median:.1g}"
            axes.text(x, share.median + 0.012, text, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(groups)), [group["name"] for group in groups])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the FMA peak, 4·N·U·H·S")
    handles = [
        mpl.patches.Patch(facecolor=COLOURS[form], edgecolor="white", hatch=hatch)
        for form, hatch in HATCHES.items()
    ]
    names = [NAMES[form] for form in HATCHES]
    axes.legend(handles, names, frameon=False, ncols=3, loc="upper left", fontsize=9)


def peak_figure(result: dict[str, Any]) -> Any:
    """Draw bars of memattn and the fastest peer of each form, forward."""
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    _shares(axes, groups_of(result, "forward"))
    axes.set_title("Forward on one core, float32", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _speed_ups(axes: Any, group: dict[str, Any], peers: list[str]) -> None:
    rounds = group["rounds_ns"]
    for row, peer in enumerate(peers):
        for form in ("published", "folded"):
            keys = [
                key
                for key in keys_of(group, form)
                if contestant(group, key)["peer"] == peer  # type: ignore[index]  # a key of the group
            ]
            best = fastest(rounds, keys)
            if best is None:
                continue
            value = ratio(rounds, best, MEMATTN.key)
            axes.errorbar(
                *(value.median, row + (0.14 if form == "folded" else -0.14)),
                xerr=[[value.median - value.low], [value.high - value.median]],
                fmt=MARKS[form],
                color=COLOURS[form],
                mfc=COLOURS[form] if form == "published" else "white",
                markersize=6,
            )
    axes.axvline(1, color="0.4", linewidth=1)
    axes.set_xscale("log")
    axes.set_ylim(len(peers) - 0.5, -0.5)
    axes.set_title(group["name"], fontsize=10)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(mpl.ticker.LogLocator(numticks=9))
    axes.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)


def _limits(result: dict[str, Any]) -> tuple[float, float]:
    """Return one scale for all panels, which contains every quartile and 1."""
    ends = [1.0]
    for group in result["groups"]:
        for key in keys_of(group, "published") + keys_of(group, "folded"):
            if times(group["rounds_ns"], key) and times(group["rounds_ns"], MEMATTN.key):
                value = ratio(group["rounds_ns"], key, MEMATTN.key)
                ends += [value.low, value.high]
    return min(ends) / 1.5, max(ends) * 1.5


def speed_figure(result: dict[str, Any]) -> Any:
    """Draw a row per task, a panel per shape, and a line per peer in its fastest mode."""
    tasks = [task for task in TASK_NAMES if groups_of(result, task)]
    shapes = list(dict.fromkeys(group["name"] for group in result["groups"]))
    peers = {task: _peers(groups_of(result, task)) for task in tasks}
    heights = [max(1, len(peers[task])) for task in tasks]
    figure, panels = plt.subplots(
        *(len(tasks), len(shapes)),
        figsize=(1.75 * len(shapes) + 2.2, 0.42 * sum(heights) + 0.7 * len(tasks) + 0.8),
        sharey="row",
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    limits = _limits(result)
    for task, row in zip(tasks, panels, strict=True):
        by_name = {group["name"]: group for group in groups_of(result, task)}
        for name, axes in zip(shapes, row, strict=True):
            axes.set_yticks(range(len(peers[task])), [PEERS[peer] for peer in peers[task]])
            if name in by_name:
                _speed_ups(axes, by_name[name], peers[task])
                axes.set_xlim(limits)
            else:
                axes.spines[:].set_visible(False)
                axes.set_xticks([])
                axes.text(
                    0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color="0.5"
                )
        row[0].set_ylabel(TASK_NAMES[task], fontsize=10)
    handles = [
        mpl.lines.Line2D([], [], linestyle="", marker=MARKS[form], color=COLOURS[form], mfc=fill)
        for form, fill in (("published", COLOURS["published"]), ("folded", "white"))
    ]
    names = ["peer as published", "peer folded by hand"]
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    title = "How many times faster memattn is than each peer in its fastest mode, one core, float32"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure


def _peers(groups: list[dict[str, Any]]) -> list[str]:
    present = {one["peer"] for group in groups for one in group["contestants"]}
    return [peer for peer in PEERS if peer in present]


def write(result: dict[str, Any], stem: Path) -> list[Path]:
    """Write the figures that have data as STEM-peak.png and STEM-speed.png."""
    makers = {"speed": speed_figure} if result["groups"] else {}
    if groups_of(result, "forward"):
        makers["peak"] = peak_figure
    written = []
    for name, make in makers.items():
        figure = make(result)
        path = stem.with_name(f"{stem.name}-{name}.png")
        figure.savefig(path, dpi=130)
        plt.close(figure)
        written.append(path)
    return written
