"""The experiment of docs/collapse.md, with memattn's layer in place of the published one."""

import runpy
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from bench import collapse
from bench.collapse import Experiment, Run, draw, experiment, problem, table, told, train_ours

from memattn import Adam
from memattn.figure_style import picture

ROOT = Path(__file__).resolve().parents[3]
STEPS = 12


def train_zeros(
    python: Path, memory_size: int, steps: int, weights: Mapping[str, np.ndarray] | None = None
) -> Run:
    """Stands for `train_published`, with a memattn layer equal to the published one."""
    layer = collapse.make_layer(memory_size, "zeros")
    if weights:
        layer.set_weights(weights)
    x, target = problem()
    optimizer = Adam(learning_rate=collapse.LEARNING_RATE)
    losses, distances = [], []
    for step in range(steps + 1):
        error = layer(x) - target
        losses.append(np.mean(error**2))
        distances.append(np.ptp(layer.weights["memory"], axis=0).max())
        if step < steps:
            optimizer.step(layer, layer.backward(x, 2 * error / error.size))
    return Run(np.array(losses), np.array(distances), layer.weights)


@pytest.fixture(scope="module")
def found() -> Experiment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collapse, "train_published", train_zeros)
        return experiment(Path("none"), 6, STEPS)


def test_the_experiment_trains_all_layers_and_repairs_one(found: Experiment) -> None:
    assert found.steps == STEPS
    assert len(found.zeros.losses) == len(found.normal.losses) == 2 * STEPS + 1
    assert found.published.different_slots == found.as_it_is.different_slots == 1
    assert found.repaired.different_slots == found.normal.different_slots == 6
    # The second halves continue from the end of the first.
    assert found.as_it_is.losses[0] == found.published.losses[-1]
    assert abs(found.repaired.losses[0] - found.published.losses[-1]) < 1e-2
    np.testing.assert_array_equal(found.published.losses, found.zeros.losses[: STEPS + 1])
    assert found.repaired.distances[0] > 0


def test_the_table_and_text_show_the_results(found: Experiment) -> None:
    lines = table(found).splitlines()
    assert lines[0].startswith("| 6 slots |")
    assert len(lines) == 7
    assert f"| {found.normal.losses[-1]:.4f} | 6 |" in lines[-1]
    text = told(found)
    assert "identical-slots, all 6 slots are equal to the last bit; uniform-attention" in text
    assert "Repair: jitter" in text


def test_the_figure_shows_losses_and_distances(found: Experiment) -> None:
    kept = []
    content = picture(lambda: kept.append(draw([found, found])) or kept[0], ".svg")
    assert content.startswith(b"<?xml")
    losses, _, distances, _ = kept[0].axes
    assert [line.get_label() for line in losses.lines[:4]] == [
        "published layer, from its zeros",
        "trained on as it is",
        "repaired, then trained on",
        "memattn, from a normal memory",
    ]
    np.testing.assert_array_equal(losses.lines[2].get_xdata(), np.arange(STEPS, 2 * STEPS + 1))
    # A difference of 0, which a logarithmic scale cannot show, is drawn at NO_DIFFERENCE.
    np.testing.assert_allclose(distances.lines[0].get_ydata(), collapse.NO_DIFFERENCE)
    labels = [text.get_text() for text in distances.get_yticklabels()]
    assert labels == ["0", "10⁻⁸", "10⁻⁴", "1"]


def test_the_problem_is_that_of_the_example_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["example", "--steps", "5"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(ROOT / "examples/python/memory_from_zeros.py"))
    shown = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    for name, first, last, _ in shown:
        run = train_ours(20, name, 5)
        assert f"{run.losses[0]:.4f}" == first
        assert float(last) == pytest.approx(run.losses[-1], abs=1e-4)


def test_a_failed_training_ends_the_program_with_its_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "no TensorFlow here")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SystemExit, match="could not be trained:\nno TensorFlow here"):
        collapse.train_published(Path("python"), 4, 2)
