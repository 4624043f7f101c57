"""The state of optimizers: files, pickles and copies, and training that resumes."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from memattn import SGD, Adam, AdamW, FormatError, MemoryAugmentedAttention, clip_by_global_norm

Optimizer = SGD | Adam
KINDS: dict[str, Callable[[], Optimizer]] = {
    "SGD": lambda: SGD(0.3),
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "nesterov": lambda: SGD(0.1, momentum=0.7, nesterov=True),
    "Adam": lambda: Adam(0.05, beta_1=1 / 3, epsilon=1e-5),
    "AdamW": lambda: AdamW(0.05),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def new_layer(dtype: str) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(4, 3, 2, dropout=0.25, dtype=dtype, seed=1)


def train(layer: MemoryAugmentedAttention, optimizer: Optimizer, first: int, last: int) -> None:
    """Take steps first..last-1 of a run in which every step has its own input and learning rate."""
    for step in range(first, last):
        layer.dropout_step = step
        x = np.sin(np.arange(24.0) + 5 * step).reshape(2, 3, 4)
        error = layer(x, training=True) - 0.5
        optimizer.learning_rate = 0.1 / (1 + step)
        gradients = layer.backward(x, error, training=True)
        optimizer.step(layer, clip_by_global_norm(gradients, 1.0)[0])


def bits(layer: MemoryAugmentedAttention, optimizer: Optimizer) -> tuple[Any, ...]:
    state = optimizer.state()
    weights = [weight.tobytes() for weight in layer.get_weights()]
    return (
        *weights,
        *(v.tobytes() if isinstance(v, np.ndarray) else v for v in state.values()),
        repr(optimizer),
    )


CHILD = """
import importlib.util, sys
from memattn import SGD, Adam, AdamW, MemoryAugmentedAttention
spec = importlib.util.spec_from_file_location("tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
layer = MemoryAugmentedAttention.load("stopped.layer")
optimizer = type(tests.KINDS[sys.argv[2]]()).load("stopped.optimizer")
tests.train(layer, optimizer, 5, 10)
layer.save("resumed.layer")
optimizer.save("resumed.optimizer")
"""


@each_kind
def test_training_resumes_in_a_new_process_with_the_same_bits(tmp_path: Path, kind: str) -> None:
    dtype = "float64" if kind == "momentum" else "float32"
    layer, optimizer = new_layer(dtype), KINDS[kind]()
    train(layer, optimizer, 0, 5)
    layer.save(tmp_path / "stopped.layer")
    optimizer.save(tmp_path / "stopped.optimizer")
    subprocess.run([sys.executable, "-c", CHILD, __file__, kind], cwd=tmp_path, check=True)
    train(layer, optimizer, 5, 10)  # uninterrupted
    layer.save(tmp_path / "whole.layer")
    optimizer.save(tmp_path / "whole.optimizer")
    for name in ("layer", "optimizer"):
        resumed = (tmp_path / f"resumed.{name}").read_bytes()
        assert resumed == (tmp_path / f"whole.{name}").read_bytes()
        assert resumed != (tmp_path / f"stopped.{name}").read_bytes()


def through_file(optimizer: Optimizer, tmp_path: Path) -> Optimizer:
    optimizer.save(tmp_path / "optimizer")
    return type(optimizer).load(tmp_path / "optimizer")


def through_npz(optimizer: Optimizer, tmp_path: Path) -> Optimizer:
    np.savez(tmp_path / "optimizer.npz", **optimizer.state())
    with np.load(tmp_path / "optimizer.npz") as state:
        return restored(optimizer, state)


def restored(optimizer: Optimizer, state: Any) -> Optimizer:
    other = pickle.loads(pickle.dumps(optimizer))
    other.restore(type(optimizer)(0.5, **optimizer._options).state())  # discards the state
    assert other.iterations == 0
    other.restore(state)
    return other


WAYS: dict[str, Callable[[Optimizer, Path], Optimizer]] = {
    "state": lambda optimizer, _: restored(optimizer, optimizer.state()),
    "npz": through_npz,
    "file": through_file,
    "pickle": lambda optimizer, _: pickle.loads(pickle.dumps(optimizer)),
    "copy": lambda optimizer, _: copy.copy(optimizer),
    "deepcopy": lambda optimizer, _: copy.deepcopy(optimizer),
}


@each_kind
@each_dtype
@pytest.mark.parametrize("way", WAYS)
def test_a_restored_optimizer_continues_with_the_same_bits(
    tmp_path: Path, kind: str, dtype: str, way: str
) -> None:
    layer, optimizer = new_layer(dtype), KINDS[kind]()
    train(layer, optimizer, 0, 3)
    other_layer, other = copy.deepcopy(layer), WAYS[way](optimizer, tmp_path)
    assert type(other) is type(optimizer)
    assert bits(other_layer, other) == bits(layer, optimizer)
    before = bits(layer, optimizer)
    train(other_layer, other, 3, 5)
    assert bits(layer, optimizer) == before, "the copy has its own state"
    train(layer, optimizer, 3, 5)
    assert bits(layer, optimizer) == bits(other_layer, other)


@each_kind
@pytest.mark.parametrize("way", [way for way in WAYS if way != "npz"])
def test_an_optimizer_can_be_kept_before_its_first_step(
    tmp_path: Path, kind: str, way: str
) -> None:
    other = WAYS[way](KINDS[kind](), tmp_path)
    assert repr(other) == repr(KINDS[kind]())
    assert other.iterations == 0
    for dtype in ("float32", "float64"):  # not bound to a type yet
        layer, optimizer = new_layer(dtype), KINDS[kind]()
        other_layer, fresh = new_layer(dtype), copy.copy(other)
        train(layer, optimizer, 0, 2)
        train(other_layer, fresh, 0, 2)
        assert bits(layer, optimizer) == bits(other_layer, fresh)


def test_state_matches_its_docstring() -> None:
    layer = new_layer("float32")
    count = layer.count_params()
    names = {"SGD": [], "momentum": ["velocity"], "Adam": ["mean", "square"]}
    for kind, moments in names.items():
        optimizer = KINDS[kind]()
        state = optimizer.state()
        assert [state["dtype"], state["iterations"], state["parameters"]] == [None, 0, 0]
        train(layer, optimizer, 0, 2)
        state = optimizer.state()
        assert state["dtype"] == "float32"
        assert [state["iterations"], state["parameters"]] == [2, count]
        assert state["learning_rate"] == optimizer.learning_rate == 0.05
        assert list(state)[4:] == moments
        for name in moments:
            assert state[name].dtype == np.float32
            assert state[name].shape == (count,)
            state[name][:] = 0  # a copy
            assert optimizer.state()[name].any()


def test_a_state_can_be_converted_to_the_other_type() -> None:
    layer, optimizer = new_layer("float32"), Adam()
    train(layer, optimizer, 0, 2)
    state = optimizer.state()
    state["dtype"] = "float64"
    for name in ("mean", "square"):
        state[name] = state[name].astype(np.float64)
    other = Adam()
    other.restore(state)
    train(new_layer("float64"), other, 2, 3)
    assert other.iterations == 3


def test_layers_of_another_type_or_size_are_refused() -> None:
    layer, optimizer = new_layer("float32"), AdamW()
    train(layer, optimizer, 0, 2)
    before = bits(layer, optimizer)
    other = new_layer("float64")
    x = np.ones((1, 1, 4))
    message = "step: layer: found a float64 layer, expected float32, as in the first step"
    with pytest.raises(ValueError, match=message):
        optimizer.step(other, other.backward(x, x))
    larger = MemoryAugmentedAttention(4, 4, 2, seed=1)
    weights = larger.get_weights()
    with pytest.raises(ValueError, match=r"parameters: found .* values, expected .* first step"):
        optimizer.step(larger, larger.backward(x, x))
    assert all(map(np.array_equal, larger.get_weights(), weights))
    assert bits(layer, optimizer) == before


def test_a_failed_step_does_not_fix_the_type() -> None:
    optimizer = SGD()
    with pytest.raises(ValueError, match="lacks 'memory'"):
        optimizer.step(new_layer("float32"), {})
    train(new_layer("float64"), optimizer, 0, 1)


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.pop(name)


def put(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *((without(n), f"lacks '{n}'") for n in ("dtype", "learning_rate", "iterations")),
        (without("parameters"), "lacks 'parameters'"),
        (without("mean"), "moments: found no mean"),
        (put("dtype", "float16"), r"\['dtype'\]: found 'float16', expected 'float32'"),
        (
            put("dtype", "float64"),
            r"\['mean'\]: found dtype float32 and shape \(\d+,\), expected f",
        ),
        (put("dtype", None), r"\['dtype'\]: found None after 2 iterations, expected None before"),
        (put("learning_rate", "fast"), r"\['learning_rate'\]: found 'fast', expected a number"),
        (put("learning_rate", -1), "learning_rate: found -1, expected a finite number, at least 0"),
        (put("iterations", 2.5), r"\['iterations'\]: found 2.5, expected an integer"),
        (put("iterations", 2**70), r"\['iterations'\]: found \d+, expected an integer of 64 bits"),
        (put("iterations", -1), "iterations: found -1, expected a number from 0 to"),
        (put("iterations", 0), "found 'float32' after 0 iterations, expected None before"),
        (put("parameters", 7), r"mean: found \d+ values, expected 7 values"),
        (put("mean", np.zeros(3, np.float32)), "mean: found 3 values, expected"),
        (put("mean", np.zeros((3, 3), np.float32)), r"found dtype float32 and shape \(3, 3\)"),
        (put("mean", [0.0]), r"\['mean'\]: found dtype float64"),
        (put("momentum", np.zeros(3, np.float32)), "moments: found momentum, expected only mean"),
    ],
)
def test_invalid_states_are_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    layer, optimizer = new_layer("float32"), Adam()
    train(layer, optimizer, 0, 2)
    before = bits(layer, optimizer)
    state = optimizer.state()
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.restore(state)
    assert bits(layer, optimizer) == before


def test_a_state_of_another_kind_is_refused() -> None:
    momentum, plain, adam = SGD(momentum=0.5), SGD(), Adam()
    for optimizer in (momentum, plain, adam):
        train(new_layer("float32"), optimizer, 0, 1)
    with pytest.raises(ValueError, match="moments: found no velocity"):
        momentum.restore(adam.state())
    with pytest.raises(ValueError, match="moments: found no mean"):
        adam.restore(momentum.state())
    with pytest.raises(ValueError, match="moments: found velocity, expected none"):
        plain.restore(momentum.state())


def test_the_safetensors_package_reads_saved_optimizers(tmp_path: Path) -> None:
    layer, optimizer = new_layer("float32"), AdamW(weight_decay=0.25)
    train(layer, optimizer, 0, 2)
    optimizer.save(tmp_path / "optimizer")
    with safe_open(tmp_path / "optimizer", "np") as file:
        metadata = file.metadata()
        for name in ("mean", "square"):
            np.testing.assert_array_equal(file.get_tensor(name), optimizer.state()[name])
    assert metadata["format"] == "memattn.Optimizer"
    assert metadata["kind"] == "AdamW"
    assert float(metadata["weight_decay"]) == 0.25
    assert int(metadata["iterations"]) == 2


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "optimizer"
    Adam().save(path)
    with pytest.raises(FormatError, match='kind: found "Adam", expected SGD'):
        SGD.load(path)
    with pytest.raises(FormatError, match='kind: found "Adam", expected AdamW'):
        AdamW.load(path)
    new_layer("float32").save(path)
    with pytest.raises(
        FormatError, match=r"format: found .*Attention.*, expected memattn.Optimizer"
    ):
        Adam.load(path)
    with pytest.raises(FileNotFoundError):
        Adam.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        Adam().save(tmp_path)


def test_pickles_keep_values_that_are_not_finite() -> None:
    layer, optimizer = new_layer("float32"), Adam()
    gradients = {name: np.full_like(w, np.nan) for name, w in layer.weights.items()}
    optimizer.step(layer, gradients)
    assert np.isnan(pickle.loads(pickle.dumps(optimizer)).state()["mean"]).all()
