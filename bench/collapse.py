"""The published layer trained from its zeros, unchanged and repaired, beside memattn's.

    python -m bench.collapse

docs/collapse.md shows the results. The published layer runs in fusionlab's environment, which is
created the first time. The problem is that of examples/python/memory_from_zeros.py. Prints a table
and draws a picture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.environments import ROOT, install
from memattn import Adam, MemoryAugmentedAttention
from memattn.figure_style import BLUE, GREEN, MUTED, ORANGE, picture
from memattn.inspection import Diagnosis, Repair, diagnose, repair

UNITS, HEADS = 16, 4
# TensorFlow's products round 16 slots in the same way, but some of 20 slots in another way.
MEMORY_SIZES = (16, 20)
LEARNING_RATE = 0.003
STEPS = 2000
NO_DIFFERENCE = 1e-12  # the position of 0 on a logarithmic scale
SEED = 0

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """Loss and largest difference between two slots, before each step and after the last."""

    losses: Array
    distances: Array
    weights: Mapping[str, Array]

    @property
    def different_slots(self) -> int:
        """Return how many slots differ in at least one bit after the last step."""
        return len(np.unique(self.weights["memory"], axis=0))


@dataclass(frozen=True)
class Experiment:
    """The runs with one memory size: the published layer in two halves, memattn's in one."""

    memory_size: int
    published: Run
    as_it_is: Run
    repaired: Run
    zeros: Run
    normal: Run
    diagnosis: Diagnosis
    repair: Repair

    @property
    def steps(self) -> int:
        """Return the steps of one half."""
        return len(self.published.losses) - 1


def problem() -> tuple[Array, Array]:
    """Return tokens x, and a target whose difference from x varies with x (16, 10, 16)."""
    x = np.random.default_rng(0).standard_normal((16, 10, UNITS))
    return x, x + np.sin(2 * x)[..., ::-1]


def make_layer(memory_size: int, start: str) -> MemoryAugmentedAttention:
    """Return a layer of memattn, without the warning for a memory of zeros."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MemoryAugmentedAttention(
            UNITS, memory_size, HEADS, memory_initializer=start, seed=SEED
        )


def train_ours(memory_size: int, start: str, steps: int) -> Run:
    """Train memattn's layer from an initial memory."""
    x, target = problem()
    layer = make_layer(memory_size, start)
    optimizer = Adam(learning_rate=LEARNING_RATE)
    losses, distances = [], []
    for step in range(steps + 1):
        error = layer(x) - target
        losses.append(np.mean(error**2))
        distances.append(np.ptp(layer.weights["memory"], axis=0).max())
        if step < steps:
            optimizer.step(layer, layer.backward(x, 2 * error / error.size))
    return Run(np.array(losses), np.array(distances), layer.weights)


def train_published(
    python: Path, memory_size: int, steps: int, weights: Mapping[str, Array] | None = None
) -> Run:
    """Train the published layer from its own initial weights or from `weights`."""
    x, target = problem()
    given: dict[str, Any] = {
        "x": x,
        "target": target,
        "steps": steps,
        "learning_rate": LEARNING_RATE,
        "memory_size": memory_size,
        "num_heads": HEADS,
        **(weights or {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(source, **given)
        done = subprocess.run(
            [python, "-m", "bench.peers.fusionlab_training", source, result],
            cwd=folder,  # fusionlab leaves a log there
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(f"bench.collapse: the published layer could not be trained:\n{done.stderr}")
        with np.load(result) as data:
            found = dict(data)
    return Run(found.pop("losses"), found.pop("distances"), found)


def experiment(python: Path, memory_size: int, steps: int) -> Experiment:
    """Train, diagnose, repair, and continue training."""
    published = train_published(python, memory_size, steps)
    ill = make_layer(memory_size, "zeros")
    ill.set_weights(published.weights)
    done = repair(ill, SEED)
    return Experiment(
        memory_size=memory_size,
        published=published,
        as_it_is=train_published(python, memory_size, steps, published.weights),
        repaired=train_published(python, memory_size, steps, done.layer.weights),
        zeros=train_ours(memory_size, "zeros", 2 * steps),
        normal=train_ours(memory_size, "normal", 2 * steps),
        diagnosis=diagnose(ill),
        repair=done,
    )


def table(found: Experiment) -> str:
    """Return losses and slots as Markdown."""
    steps = found.steps
    rows = [
        ("published, from its zeros", found.published, 0, steps),
        ("published, then trained on as it is", found.as_it_is, 0, steps),
        ("published, then repaired and trained on", found.repaired, 0, steps),
        ("memattn, from `zeros`", found.zeros, 0, 2 * steps),
        ("memattn, from `normal`", found.normal, 0, 2 * steps),
    ]
    lines = [
        f"| {found.memory_size} slots | steps | first loss | last loss | different slots |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {last:,} | {run.losses[first]:.4f} | {run.losses[last]:.4f} "
        f"| {run.different_slots} |"
        for name, run, first, last in rows
    ]
    return "\n".join(lines)


def told(found: Experiment) -> str:
    """Return the findings of the doctor, and the changes of the repair."""
    names = "; ".join(f"{one.name}, {one.found}" for one in found.diagnosis.findings)
    done = found.repair
    return (
        f"Diagnosis after {found.steps:,} steps: {names}.\n"
        f"Repair: jitter {done.jitter:.2g}; the output of a token changes by at most "
        f"{done.bound:.2g} of the output's size, and changed by {done.measured:.2g}."
    )


def draw(experiments: Sequence[Experiment]) -> Figure:
    """Draw losses above and slot differences below, over the steps; one column per memory size."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    panels = figure.subplots(
        2, len(experiments), sharex=True, sharey="row", height_ratios=(1.4, 1), squeeze=False
    )
    for found, (losses, distances) in zip(experiments, panels.T, strict=True):
        steps = found.steps
        early, late = np.arange(steps + 1), np.arange(steps, 2 * steps + 1)
        lines = [
            (early, found.published, ORANGE, "-", "published layer, from its zeros"),
            (late, found.as_it_is, ORANGE, "--", "trained on as it is"),
            (late, found.repaired, GREEN, "-", "repaired, then trained on"),
            (np.arange(2 * steps + 1), found.normal, BLUE, "-.", "memattn, from a normal memory"),
        ]
        every = max(1, steps // 200)
        for place, run, color, style, label in lines:
            options = {"color": color, "linestyle": style, "linewidth": 2}
            losses.plot(place[::every], run.losses[::every], label=label, **options)
            shown = np.maximum(run.distances[::every], NO_DIFFERENCE)
            distances.plot(place[::every], shown, **options)
        for axes in (losses, distances):
            axes.set_yscale("log")
            axes.axvline(steps, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))
            axes.margins(x=0.01)
            axes.minorticks_off()
        losses.set_title(f"memory of {found.memory_size} slots")
        distances.set_xlabel("steps of Adam")
    losses, distances = panels[:, 0]
    losses.set_ylabel("mean squared error")
    losses.set_yticks([0.5, 0.1, 0.01], ["0.5", "0.1", "0.01"])
    distances.set_ylabel("largest difference\nbetween two slots")
    distances.set_yticks([NO_DIFFERENCE, 1e-8, 1e-4, 1], ["0", "10⁻⁸", "10⁻⁴", "1"])
    figure.legend(*losses.get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def main() -> None:
    """Run the experiments and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/images/collapse.svg")
    options = parser.parse_args()
    python = install("fusionlab", ROOT / "build/logs/install-fusionlab.log")
    experiments = []
    for memory_size in MEMORY_SIZES:
        found = experiment(python, memory_size, options.steps)
        print(f"{table(found)}\n\n{told(found)}\n", flush=True)
        experiments.append(found)
    options.picture.write_bytes(picture(lambda: draw(experiments), options.picture.suffix))
    print(f"wrote {options.picture}")


if __name__ == "__main__":
    main()
