"""memattn.torch.MemoryAugmentedAttention as a module: values, options, state."""

import copy
import io
import json
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import memattn
from memattn.torch import MemoryAugmentedAttention

from ..golden import CASES, masks_of, read

X = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))


def small(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def tensors(masks: dict[str, Any]) -> dict[str, Any]:
    return {
        name: torch.from_numpy(mask) if isinstance(mask, np.ndarray) else mask
        for name, mask in masks.items()
    }


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 3e-6)])
@pytest.mark.parametrize("case", CASES)
def test_the_module_gives_the_golden_values(case: str, dtype: str, limit: float) -> None:
    arrays, config = read(case)
    masks = masks_of(arrays, config)
    layer = MemoryAugmentedAttention(**config, dtype=getattr(torch, dtype))
    layer.load_state_dict({name: torch.from_numpy(arrays[name]) for name in layer.state_dict()})
    x = torch.from_numpy(arrays["x"]).to(layer.memory.dtype).requires_grad_()
    y, scores = layer(x, **tensors(masks), return_attention_scores=True)
    y.backward(torch.from_numpy(arrays["g"]).to(y.dtype))

    assert np.abs(y.detach().numpy() - arrays["y"]).max() <= limit * np.abs(arrays["y"]).max()
    if "scores" in arrays:
        assert np.abs(scores.detach().numpy() - arrays["scores"]).max() <= limit
    for name, parameter in [("x", x), *layer.named_parameters()]:
        expected = arrays[f"grad.{name}"]
        scale = arrays["grad.query.bias"] if name == "key.bias" else expected
        error = np.abs(parameter.grad.numpy() - expected).max()
        assert error <= limit * np.abs(scale).max(), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_bias": False, "residual": False},
        {"key_dim": 1, "value_dim": 4},
        {"fully_masked": "uniform"},
    ],
    ids=str,
)
def test_results_and_gradients_equal_numpys_to_the_bit(options: dict[str, Any], dtype: str) -> None:
    layer = small(dtype=getattr(torch, dtype), **options)
    twin = layer.to_numpy()
    assert layer.route == twin.route
    rng = np.random.default_rng(3)
    x, g = rng.standard_normal((2, 40, 3, 6)).astype(dtype)
    masks = {
        "attention_mask": rng.random((40, 3, 5)) < 0.6,
        "query_mask": rng.random((40, 3)) < 0.8,
        "value_mask": rng.random((40, 5)) < 0.8,
        "use_causal_mask": True,
    }
    for call in ({}, masks):
        for scores in (True, "mean"):
            inputs = torch.from_numpy(x).requires_grad_()
            found = layer(inputs, **tensors(call), return_attention_scores=scores)
            expected = twin(x, **call, return_attention_scores=scores)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one.detach().numpy(), other)
        layer.zero_grad()
        found[0].backward(torch.from_numpy(g))
        gradients = twin.backward(x, g, **call)
        np.testing.assert_array_equal(inputs.grad.numpy(), gradients["x"])
        for name, parameter in layer.named_parameters():
            np.testing.assert_array_equal(parameter.grad.numpy(), gradients[name], err_msg=name)


def test_results_without_gradients_and_for_any_strides_are_equal() -> None:
    layer = small()
    expected = layer(X.clone().requires_grad_()).detach()
    with torch.no_grad():
        assert torch.equal(layer(X), expected)
    with torch.inference_mode():
        assert torch.equal(layer(X), expected)
    assert torch.equal(layer(X.mT.contiguous().mT), expected)  # another order of strides


def test_state_dict_has_the_names_of_the_files(tmp_path: Path) -> None:
    layer = small()
    twin = layer.to_numpy()
    assert list(layer.state_dict()) == list(twin.weights)
    assert [name for name, _ in layer.named_parameters()] == list(twin.weights)
    twin.save(tmp_path / "layer.safetensors")
    again = MemoryAugmentedAttention.from_numpy(
        memattn.MemoryAugmentedAttention.load(tmp_path / "layer.safetensors")
    )
    assert torch.equal(again(X), layer(X))
    assert repr(again) == repr(layer)
    from safetensors.torch import load_file

    other = small(seed=2)
    other.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(other(X), layer(X))
    assert list(small(use_bias=False).state_dict()) == [
        "memory",
        *(f"{part}.kernel" for part in ("query", "key", "value", "output")),
    ]


def test_a_seed_draws_the_weights_of_the_numpy_layer() -> None:
    twin = memattn.MemoryAugmentedAttention(6, 5, 2, seed=1)
    for name, parameter in small().named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), twin.weights[name])
    double = small(dtype=torch.float64)
    exact = memattn.MemoryAugmentedAttention(6, 5, 2, seed=1, dtype="float64").weights["memory"]
    np.testing.assert_array_equal(double.memory.detach().numpy(), exact)


def test_without_a_seed_torchs_generator_draws_the_weights() -> None:
    torch.manual_seed(4)
    first, second = MemoryAugmentedAttention(6, 5, 2), MemoryAugmentedAttention(6, 5, 2)
    assert not torch.equal(first.memory, second.memory)
    torch.manual_seed(4)
    assert torch.equal(MemoryAugmentedAttention(6, 5, 2).memory, first.memory)
    memory = first.memory.clone()
    first.reset_parameters()
    assert not torch.equal(first.memory, memory)
    fixed = small()
    memory = fixed.memory.clone()
    nn.init.zeros_(fixed.memory)
    fixed.reset_parameters()
    assert torch.equal(fixed.memory, memory)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"units": 0}, ValueError, "units: found 0, expected"),
        ({"memory_size": 2.5}, ValueError, "memory_size: found 2.5, expected"),
        ({"dropout": 1.0}, ValueError, "dropout: found 1, expected"),
        ({"memory_initializer": "ones"}, ValueError, "memory_initializer"),
        ({"fully_masked": "nan"}, ValueError, "fully_masked"),
        ({"seed": -1}, ValueError, "seed: found -1, expected"),
        ({"units": object()}, ValueError, "MemoryAugmentedAttention: "),
        ({"dtype": torch.int32}, ValueError, "dtype: found torch.int32, expected a floating-point"),
        ({"dtype": torch.complex64}, ValueError, "dtype: found torch.complex64"),
    ],
)
def test_invalid_options_are_refused(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MemoryAugmentedAttention(**{"units": 6, "memory_size": 5, "num_heads": 2, **options})


@pytest.mark.parametrize(
    ("x", "call", "error", "message"),
    [
        (
            X[..., :5],
            {},
            ValueError,
            r"x: found shape \(2, 3, 5\), expected \(batch, steps, 6\) or",
        ),
        (X[None], {}, ValueError, r"x: found shape \(1, 2, 3, 6\)"),
        (X[0, 0], {}, ValueError, r"x: found shape \(6,\)"),
        (X.numpy(), {}, TypeError, "x: found ndarray, expected a tensor"),
        (X.double(), {}, ValueError, "x: found torch.float64, expected torch.float32, that of"),
        (X.int(), {}, ValueError, "x: found torch.int32, expected torch.float32"),
        (X.to("meta"), {}, ValueError, "x: found device meta, expected cpu"),
        (X, {"attention_mask": torch.ones(3, 4).bool()}, ValueError, r"broadcasts to \(2, 3, 5\)"),
        (X, {"attention_mask": torch.ones(1, 2, 3, 5).bool()}, ValueError, "attention_mask"),
        (X[0], {"attention_mask": torch.ones(1, 3, 5).bool()}, ValueError, r"to \(3, 5\)"),
        (X, {"attention_mask": torch.zeros(3, 5)}, TypeError, "float32, expected booleans"),
        (X, {"query_mask": torch.ones(3).bool()}, ValueError, r"query_mask: .*expected \(2, 3\)"),
        (X, {"value_mask": torch.ones(2, 3).bool()}, ValueError, r"value_mask: .*\(2, 5\)"),
        (X[0], {"value_mask": torch.ones(1, 5).bool()}, ValueError, r"value_mask: .*\(5,\)"),
        (X, {"value_mask": np.ones((2, 5), bool)}, TypeError, "found ndarray, expected a tensor"),
        (X, {"query_mask": torch.ones(2, 3, device="meta") > 0}, ValueError, "found device meta"),
        (X, {"return_attention_scores": "each"}, ValueError, 'expected True, False or "mean"'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    x: Any, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small()(x, **call)


def test_inputs_without_a_batch_axis_are_accepted() -> None:
    layer = small()
    keep = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    query, value = keep[:, :, 0], keep[:, 0]
    y, scores = layer(
        X, attention_mask=keep, query_mask=query, value_mask=value, return_attention_scores=True
    )
    for one in range(2):
        alone, its_scores = layer(
            X[one],
            attention_mask=keep[one],
            query_mask=query[one],
            value_mask=value[one],
            return_attention_scores=True,
        )
        assert torch.equal(alone, y[one])
        assert torch.equal(its_scores, scores[one])


@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6), (0, 6)])
def test_empty_inputs_give_empty_outputs_and_zero_gradients(shape: tuple[int, ...]) -> None:
    layer = small()
    x = torch.empty(shape, requires_grad=True)
    y = layer(x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape
    assert all(not parameter.grad.any() for parameter in layer.parameters())


def test_masks_broadcast_and_may_hold_integers() -> None:
    layer = small()
    full = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    for mask in (full, full[:1], full[0], full[0, :1], full[:, :1], full[0, 0], full[..., :1]):
        whole = mask.expand(2, 3, 5)
        expected = layer(X, attention_mask=whole.int())
        assert torch.equal(layer(X, attention_mask=mask), expected)


def test_a_memory_of_zeros_warns_once_at_the_callers_line() -> None:
    with pytest.warns(UserWarning, match="equal") as caught:
        layer = small(memory_initializer="zeros")
    assert Path(caught[0].filename) == Path(__file__)
    assert not layer.memory.any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MemoryAugmentedAttention.from_numpy(layer.to_numpy()).reset_parameters()


def test_repr_lists_options_and_projections() -> None:
    layer = small(dropout=0.1, memory_initializer={"kind": "normal", "stddev": 0.3})
    assert repr(layer).startswith(
        "MemoryAugmentedAttention(\n  6, 5, 2, dropout=0.1, "
        "memory_initializer={'kind': 'normal', 'stddev': 0.3}, seed=1\n"
    )
    assert "(query): Projection((6, 2, 6), bias=True)" in repr(layer)


def test_copies_and_pickles_are_equal_and_independent() -> None:
    layer = small(dropout=0.5)
    layer(X).sum().backward()
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(layer),
        copy.copy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(buffer, weights_only=False),
    ):
        twin.eval()
        assert torch.equal(twin(X), layer.eval()(X))
    with torch.no_grad():
        twin.memory.zero_()
    assert layer.memory.any()
    assert not torch.equal(twin(X), layer(X))


def test_dropout_equals_numpys_and_follows_torchs_seed() -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, dropout=0.5, seed=0)
    twin = layer.to_numpy()
    x = X.clone().requires_grad_()
    torch.manual_seed(8)
    first, second = layer(x), layer(x)
    assert not torch.equal(first, second)
    assert torch.equal(layer.eval()(x), layer(x))
    torch.manual_seed(8)
    assert torch.equal(layer.train()(x), first)
    torch.manual_seed(8)
    twin.dropout_step = int(torch.randint(2**63 - 1, (1,))) - 1
    np.testing.assert_array_equal(twin(X.numpy(), training=True), first.detach().numpy())
    # The backward pass drops the same scores.
    first.backward(torch.ones_like(first))
    gradients = twin.backward(X.numpy(), np.ones((2, 3, 6), np.float32), training=True)
    np.testing.assert_array_equal(x.grad.numpy(), gradients["x"])
    np.testing.assert_array_equal(layer.memory.grad.numpy(), gradients["memory"])


def test_autocast_leaves_the_layer_in_float32() -> None:
    layer = small()
    model = nn.Sequential(nn.Linear(6, 6), layer)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(X.bfloat16())
        assert model(X).dtype == torch.float32
    assert y.dtype == torch.float32
    assert torch.equal(y, layer(X.bfloat16().float()))
    model(X).sum().backward()
    with pytest.raises(ValueError, match=r"found torch\.bfloat16, expected torch\.float32"):
        layer(X.bfloat16())


@pytest.mark.parametrize("options", [{}, {"key_dim": 1, "value_dim": 2}], ids=str)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
def test_half_precision_results_are_close_to_float64(
    options: dict[str, Any], dtype: torch.dtype, limit: float
) -> None:
    layer = small(**options).to(dtype)
    x = X.to(dtype).requires_grad_()
    y, scores = layer(x, return_attention_scores=True)
    assert y.dtype == x.dtype
    y.sum().backward()
    exact = copy.deepcopy(layer).double()
    expected, its_scores = exact(x.double(), return_attention_scores=True)
    assert (y - expected).abs().max() <= limit * expected.abs().max()
    assert (scores - its_scores).abs().max() <= limit


def test_the_meta_device_gives_shapes_and_moves_to_the_cpu() -> None:
    with torch.device("meta"):
        layer = MemoryAugmentedAttention(6, 5, 2)
    assert layer.memory.is_meta
    y, scores = layer(X.to("meta"), use_causal_mask=True, return_attention_scores="mean")
    assert (y.shape, scores.shape) == ((2, 3, 6), (2, 3, 5))
    layer = layer.to_empty(device="cpu")
    layer.seed = 1
    layer.reset_parameters()
    assert torch.equal(layer(X), small()(X))
    assert small(device="meta").to(torch.float64).memory.dtype == torch.float64


def test_to_numpy_widens_half_precision_to_float32() -> None:
    layer = small().bfloat16()
    twin = layer.to_numpy()
    assert twin.dtype == "float32"
    np.testing.assert_array_equal(twin.weights["memory"], layer.memory.float().detach().numpy())
    assert json.dumps(twin.get_config())


def test_importing_memattn_does_not_import_torch() -> None:
    code = "import sys, memattn; memattn.MemoryAugmentedAttention; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
