"""Optimizers from Python: the golden training runs, and invalid steps."""

import numpy as np
import pytest

from memattn import SGD, Adam, AdamW, MemoryAugmentedAttention, clip_by_global_norm

from .golden import read


def layer_of(arrays: dict, config: dict, dtype: str = "float64") -> MemoryAugmentedAttention:
    layer = MemoryAugmentedAttention(**config, dtype=dtype, seed=0)
    layer.set_weights({name: arrays[name] for name in layer.weights})
    return layer


@pytest.mark.parametrize("start", ["random", "zeros"])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_training_follows_the_golden_run(name: str, start: str) -> None:
    arrays, config = read(f"train_{name}_{start}")
    layer = layer_of(arrays, config)
    optimizer = SGD(learning_rate=0.1) if name == "sgd" else Adam(learning_rate=0.01)
    for expected in arrays["losses"]:
        error = layer(arrays["x"]) - arrays["target"]
        assert abs(np.mean(error**2) - expected) <= 1e-9 * expected
        optimizer.step(layer, layer.backward(arrays["x"], 2 * error / error.size))
    assert optimizer.iterations == 50
    memory = layer.weights["memory"]
    if start == "zeros":  # the defect of the published layer
        np.testing.assert_array_equal(memory, np.broadcast_to(memory[0], memory.shape))
    else:
        assert np.abs(memory - memory[0]).max() > 0.1


def test_options_reach_the_compiled_part() -> None:
    arrays, config = read("narrow")
    start = layer_of(arrays, config).weights["memory"]
    gradient = arrays["grad.memory"]

    def after(optimizer: SGD | Adam, steps: int = 2) -> np.ndarray:
        layer = layer_of(arrays, config)
        for _ in range(steps):
            optimizer.step(layer, {n: arrays[f"grad.{n}"] for n in layer.weights})
        return layer.weights["memory"]

    plain = start - 2 * 0.1 * gradient
    np.testing.assert_allclose(after(SGD(0.1)), plain, rtol=1e-12)
    momentum = start - 0.1 * gradient - 0.1 * 1.5 * gradient
    np.testing.assert_allclose(after(SGD(0.1, momentum=0.5)), momentum, rtol=1e-12)
    nesterov = start - 0.1 * (1.5 + 1.75) * gradient
    np.testing.assert_allclose(after(SGD(0.1, momentum=0.5, nesterov=True)), nesterov, rtol=1e-12)
    decayed = start * (1 - 0.1 * 0.5) - 0.1 * gradient / (np.abs(gradient) + 1e-7 * 1000**0.5)
    np.testing.assert_allclose(after(AdamW(0.1, weight_decay=0.5), 1), decayed, rtol=1e-9)
    optimizer = SGD(1.0)
    optimizer.learning_rate = 0.1
    np.testing.assert_allclose(after(optimizer), plain, rtol=1e-12)
    assert repr(AdamW(0.1)).startswith("AdamW(learning_rate=0.1, beta_1=0.9")


def test_clip_by_global_norm_scales_large_gradients() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    x = np.ones((2, 3, 6), np.float32)
    gradients = layer.backward(x, x)
    norm = np.sqrt(sum(np.sum(g.astype(float) ** 2) for n, g in gradients.items() if n != "x"))
    clipped, before = clip_by_global_norm(gradients, norm / 4)
    assert abs(before - norm) <= 1e-5 * norm
    assert clipped["x"] is gradients["x"]
    for name in layer.weights:
        assert clipped[name].dtype == np.float32
        np.testing.assert_allclose(clipped[name], gradients[name] / 4, rtol=1e-5)
    untouched, _ = clip_by_global_norm(gradients, 2 * norm)
    np.testing.assert_array_equal(untouched["memory"], gradients["memory"])
    with pytest.raises(ValueError, match="max_norm: found 0, expected"):
        clip_by_global_norm(gradients, 0)


def test_invalid_options_and_gradients_are_refused() -> None:
    for make in (lambda: SGD(float("nan")), lambda: SGD(momentum=2), lambda: Adam(beta_1=1.0)):
        with pytest.raises(ValueError, match=r"found .*, expected"):
            make()
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    before = layer.weights
    gradients = layer.backward(np.ones((1, 1, 6)), np.ones((1, 1, 6)))
    optimizer = SGD()
    with pytest.raises(ValueError, match=r"gradients: lacks 'memory'"):
        optimizer.step(layer, {n: g for n, g in gradients.items() if n != "memory"})
    with pytest.raises(ValueError, match=r"gradients\['memory'\]: found shape \(1, 6\)"):
        optimizer.step(layer, {**gradients, "memory": np.ones((1, 6))})
    with pytest.raises(ValueError, match=r"gradients: found 'mem', expected one of"):
        optimizer.step(layer, {**gradients, "mem": np.ones((1, 6))})
    with pytest.raises(ValueError, match="learning_rate"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.01
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(weight, before[name])
    assert optimizer.iterations == 0
