"""fusionlab's XTFT as published beside the same model with its attention layers replaced.

    taskset -c 0 .venv-hosts/keras2/bin/python -m bench.xtft

Each row is one size of model with a batch of 32, as a TensorFlow graph: the forward pass, and a
training step with Adam. All three models have the same weights, and their results are compared
before they are timed. A round times each once, in random order. A figure is the median over rounds;
a ratio is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from fusionlab.nn.models import XTFT

from bench.keras_layer import measure
from bench.machine import describe
from bench.peers.worker import Model
from bench.stats import ratio, spread, times
from memattn.keras import replace

BATCH = 32
HORIZON = 5
# The widths of static, dynamic and future inputs, and the past steps.
SIZES = {"small": ((3, 4, 2), 10), "wide": ((10, 45, 5), 24)}
TOLERANCE = 1e-4  # between the models, relative to the largest forecast
CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}
NEW = ("memory_augmented_attention", "cross_attention", "hierarchical_attention")


def untouched(model: Any) -> Any:
    """Return the model as published."""
    return model


def three(model: Any) -> Any:
    """Return the model with memory, cross and hierarchical attention replaced, not the fusion."""
    for name in NEW:
        replace(getattr(model, name))
    return model


CONTESTANTS: dict[str, Callable[[Any], Any]] = {
    "published": untouched,
    "three": three,
    "all": replace,
}


def inputs_of(widths: tuple[int, int, int], steps: int) -> list[Any]:
    """Return a batch of random inputs."""
    draw = np.random.default_rng(0).standard_normal
    static, dynamic, future = widths
    shapes = [(BATCH, static), (BATCH, steps, dynamic), (BATCH, steps + HORIZON, future)]
    return [tf.constant(draw(shape), tf.float32) for shape in shapes]


def models_of(widths: tuple[int, int, int], inputs: list[Any]) -> dict[str, Any]:
    """Return all contestants, with the same weights, all moved from their initial values."""
    made: dict[str, Any] = {}
    weights: list[np.ndarray] = []
    rng = np.random.default_rng(1)
    for name, change in CONTESTANTS.items():
        model = XTFT(*widths, forecast_horizon=HORIZON)
        model(inputs)
        weights = weights or [
            w + 0.1 * rng.standard_normal(w.shape).astype("float32") for w in model.get_weights()
        ]
        model.set_weights(weights)
        made[name] = change(model)
    expected = made["published"](inputs).numpy()
    for name, model in made.items():
        error = np.abs(model(inputs).numpy() - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE:
            raise RuntimeError(f"{name}: the forecasts differ by {error:.1e} of the largest")
    return made


def graph_of(model: Any, inputs: list[Any], task: str) -> Model:
    """Return a forward pass or a training step as a graph."""
    if task == "forward":
        forward = tf.function(lambda *x: model(list(x)))
        return Model(lambda: forward(*inputs), lambda y: [y.numpy()])
    target = tf.random.stateless_normal((BATCH, HORIZON, 1), (1, 2))
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    def step(*x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(list(x), training=True) - target) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    graph = tf.function(step)
    return Model(lambda: graph(*inputs), lambda y: [y.numpy()])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each row")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: processor time only, for a machine with other load",
    )
    parser.add_argument("--sizes", default=",".join(SIZES))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    processor = describe()["processor"]
    print(f"TensorFlow {tf.__version__}, {processor}, milliseconds a call, {options.clock} clock")
    print("| XTFT | | published | three replaced | all replaced | three | all |")
    print("|---|---|---|---|---|---|---|")
    for name in options.sizes.split(","):
        widths, steps = SIZES[name]
        inputs = inputs_of(widths, steps)
        for task in ("forward", "step"):
            graphs = {
                kind: graph_of(model, inputs, task)
                for kind, model in models_of(widths, inputs).items()
            }
            rounds = measure(graphs, options.seconds, CLOCKS[options.clock])
            cells = [f"{spread(times(rounds, kind)).median / 1e6:.2f}" for kind in CONTESTANTS]
            for kind in ("three", "all"):
                gain = ratio(rounds, "published", kind)
                cells.append(f"{gain.median:.2f} ({gain.low:.2f} to {gain.high:.2f})")
            print(f"| {widths}, T {steps} | {task} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
