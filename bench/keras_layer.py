"""memattn.keras beside the published Keras layer in one process: forward and training step.

    taskset -c 0 .venv-hosts/keras2/bin/python -m bench.keras_layer

Both are the same layer with the same weights, as a TensorFlow graph or, with ``--mode xla``, under
XLA, and their results are compared before they are timed. A round times each once, in random order.
A figure is the median over rounds; a ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from fusionlab.nn.components import MemoryAugmentedAttention as Published

from bench.peers import tensorflow_layer
from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem
from bench.shapes import MEMORY_SHAPES, TASKS
from bench.stats import ratio, spread, times
from memattn.keras import MemoryAugmentedAttention

SAMPLE_NS = 20_000_000  # a sample is as many calls as take about this long
TOLERANCE = 1e-4  # between the two, relative to the largest value of a part


def load(kind: Callable[..., Any], problem: Problem, mode: str, task: str) -> Model:
    """Return a layer of this class with the problem's weights, ready to be called."""
    shape = problem.shape
    layer = kind(shape.units, shape.memory_size, shape.num_heads)
    layer(tf.constant(problem.x))
    layer.set_weights([problem.weights[name] for name in WEIGHTS])
    return tensorflow_layer.model(layer, list(layer.trainable_variables), problem, mode, task)


def check(models: dict[str, Model]) -> None:
    """Raise an error unless both layers agree, part by part."""
    results = {name: model.read(model.call()) for name, model in models.items()}
    for ours, theirs in zip(results["memattn"], results["published"], strict=True):
        error = np.abs(ours - theirs).max()
        # The gradient of the key's bias is 0 in one layer and rounding noise in the other.
        if not error <= TOLERANCE * max(1.0, np.abs(theirs).max()):
            raise RuntimeError(f"the two differ by {error:.1e}")


def sample(model: Model, calls: int, clock: Callable[[], int] = time.perf_counter_ns) -> float:
    """Return the nanoseconds of a call, by this clock."""
    begin = clock()
    for _ in range(calls):
        model.call()
    return (clock() - begin) / calls


def measure(
    models: dict[str, Model], seconds: float, clock: Callable[[], int] = time.perf_counter_ns
) -> list[dict[str, float]]:
    """Return the rounds over all models, for about this time."""
    calls = {n: max(1, round(SAMPLE_NS / sample(m, 3))) for n, m in models.items()}
    shuffle, order = random.Random(1).shuffle, list(models)
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + seconds
    while len(rounds) < 5 or time.monotonic() < end:
        shuffle(order)
        rounds.append({name: sample(models[name], calls[name], clock) for name in order})
    return rounds


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mode", choices=("graph", "xla"), default="graph")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--shapes", default="docs,xtft,big")
    options = parser.parse_args()
    print(f"TensorFlow {tf.__version__}, {options.mode}, microseconds a call")
    print("| (B, T, U, S, H) | | published | memattn | times faster | quartiles |")
    print("|---|---|---|---|---|---|")
    for name in options.shapes.split(","):
        problem = Problem.draw(MEMORY_SHAPES[name])
        for task in TASKS:
            kinds = {"published": Published, "memattn": MemoryAugmentedAttention}
            models = {n: load(kind, problem, options.mode, task) for n, kind in kinds.items()}
            check(models)
            rounds = measure(models, options.seconds)
            cells = [f"{spread(times(rounds, kind)).median / 1e3:.0f}" for kind in kinds]
            gain = ratio(rounds, "published", "memattn")
            cells += [f"{gain.median:.2f}", f"{gain.low:.2f} to {gain.high:.2f}"]
            print(f"| {MEMORY_SHAPES[name].sizes} | {task} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
