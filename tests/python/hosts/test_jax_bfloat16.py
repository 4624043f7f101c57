"""memattn.jax in bfloat16 on the CPU: calls that are not traced run in the compiled kernels."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import memattn
from memattn.jax import Config, CrossAttention, HierarchicalAttention, apply, half, init

MEMORY = Config(64, 20, 4)
CROSS = CrossAttention(64, 4)
HIERARCHICAL = HierarchicalAttention(64, 4)
ATTENTION_MASKS = np.random.default_rng(2).random((3, 30, 30)) < 0.8
STEP_MASK = np.random.default_rng(3).random((3, 30)) < 0.8


def draw(*shape: int) -> Any:
    return jnp.asarray(np.random.default_rng(1).standard_normal(shape), jnp.bfloat16)


# (function for a call, parameters, inputs, masks, NumPy layer)
LAYERS: dict[str, tuple[Callable[..., Any], Any, list[Any], dict[str, Any], Any]] = {
    "memory": (
        lambda params, x, **options: apply(params, x, MEMORY, **options),
        init(jax.random.key(0), MEMORY, jnp.bfloat16),
        [draw(3, 30, 64)],
        {"attention_mask": ATTENTION_MASKS[:, :, :20], "query_mask": STEP_MASK},
        memattn.MemoryAugmentedAttention(64, 20, 4, precision="bfloat16"),
    ),
    "cross": (
        CROSS.apply,
        CROSS.init(jax.random.key(0), jnp.bfloat16),
        [draw(3, 30, 64), draw(3, 30, 64)[::-1]],
        {"attention_mask": ATTENTION_MASKS, "value_mask": STEP_MASK},
        memattn.CrossAttention(64, 4, precision="bfloat16"),
    ),
    "hierarchical": (
        HIERARCHICAL.apply,
        HIERARCHICAL.init(jax.random.key(0), jnp.bfloat16),
        [draw(3, 30, 64), draw(3, 30, 64)[::-1]],
        {"attention_mask": ATTENTION_MASKS, "short_mask": STEP_MASK},
        memattn.HierarchicalAttention(64, 4, precision="bfloat16"),
    ),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def floats(array: Any) -> Any:
    return np.asarray(array).astype(np.float32)


@every_layer
@pytest.mark.parametrize("masked", [False, True])
def test_calls_have_the_bits_of_the_numpy_layer(name: str, masked: bool) -> None:
    call, params, inputs, masks, layer = LAYERS[name]
    masks = {**masks, "use_causal_mask": True} if masked else {}
    layer.set_weights({key: floats(value) for key, value in params.items()})
    arrays = {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in masks.items()}
    y, scores = call(params, *inputs, **arrays, return_attention_scores=True)
    expected = layer(*map(floats, inputs), **masks, return_attention_scores=True)
    for found, of_numpy in zip(
        jax.tree.leaves((y, scores)), jax.tree.leaves(expected), strict=True
    ):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_array_equal(floats(found), floats(jnp.asarray(of_numpy, jnp.bfloat16)))
    alone = call(params, *inputs, **arrays)
    np.testing.assert_array_equal(floats(alone), floats(y))


@every_layer
def test_the_relative_error_is_that_of_bfloat16(name: str) -> None:
    call, params, inputs, masks, _ = LAYERS[name]
    y = call(params, *inputs, **masks)
    with jax.enable_x64(True):
        wide = {key: value.astype(jnp.float64) for key, value in params.items()}
        run = jax.jit(lambda params, *pair: call(params, *pair, **masks))
        exact = np.asarray(run(wide, *(x.astype(jnp.float64) for x in inputs)))
    error = np.linalg.norm(floats(y) - exact) / np.linalg.norm(exact)
    assert 1e-3 <= error <= 7e-3  # about 1.7e-3 of it comes from rounding the result


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("the kernels ran")


@every_layer
def test_traced_calls_use_jaxs_own_operators(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, params, inputs, _, _ = LAYERS[name]
    plain = call(params, *inputs)
    monkeypatch.setattr(half, "attend", refuse)
    np.testing.assert_allclose(
        floats(jax.jit(call)(params, *inputs)), floats(plain), atol=3e-2 * abs(floats(plain)).max()
    )
    gradients = jax.grad(lambda p: call(p, *inputs).astype(jnp.float32).sum())(params)
    assert set(gradients) == set(params)
    call({key: value.astype(jnp.float32) for key, value in params.items()}, *inputs)
    call(params, *inputs, dropout_key=jax.random.key(1))
    with pytest.raises(AssertionError, match="the kernels ran"):
        call(params, *inputs)


def test_weights_are_copied_once_and_released_with_the_parameters() -> None:
    call, params, inputs, _, _ = LAYERS["memory"]
    half._entries.clear()
    others = {key: value + 1 for key, value in params.items()}
    first = call(others, *inputs)
    (entry,) = half._entries.values()
    call(others, *inputs)
    assert list(half._entries.values()) == [entry]
    changed = {**others, "memory": others["memory"] * 2}
    assert not np.array_equal(floats(call(changed, *inputs)), floats(first))
    assert len(half._entries) == 2
    del entry, others, changed
    gc.collect()
    call(params, *inputs)
    assert len(half._entries) == 1


def test_a_missing_parameter_is_an_error() -> None:
    call, params, inputs, _, _ = LAYERS["memory"]
    with pytest.raises(ValueError, match="apply: params: found"):
        call({key: value for key, value in params.items() if key != "key.bias"}, *inputs)


TWO_DEVICES = """
import jax
import jax.numpy as jnp

from memattn.jax import Config, apply, init

second = jax.devices("cpu")[1]
config = Config(6, 5, 2)
params, x = init(jax.random.key(0), config, jnp.bfloat16), jnp.ones((1, 2, 6), jnp.bfloat16)
params, x = jax.device_put((params, x), second)
y, scores = apply(params, x, config, return_attention_scores=True)
assert y.devices() == scores.devices() == {second}, (y.devices(), scores.devices())
"""


def test_results_stay_on_the_device_of_the_input() -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
