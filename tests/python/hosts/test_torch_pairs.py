"""memattn.torch.CrossAttention and HierarchicalAttention: values, options, state."""

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import memattn
from memattn.layer_options import PAIR_ROUTES

from .. import pairs
from ..pairs import KINDS, both
from ..test_pair_layer_golden import EXACT, UNIFORM, scores_of
from .torch_pairs import CLASSES, every_mask, flat, inputs, small, tensors


def golden(case: str, dtype: str, **options: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Returns the module of a golden file, the masks of its call, and the file's arrays."""
    layer, masks, arrays = pairs.golden(case, dtype, **options)
    kind = "cross" if isinstance(layer, memattn.CrossAttention) else "hierarchical"
    return CLASSES[kind].from_numpy(layer), tensors(masks), arrays


def check_golden(module: Any, masks: dict, arrays: dict, limits: tuple[float, float]) -> None:
    """Compares values, scores and gradients with those of the file."""
    values, slopes = limits
    dtype = next(module.parameters()).dtype
    x1, x2 = (torch.from_numpy(arrays[n]).to(dtype).requires_grad_() for n in ("x1", "x2"))
    y, scores = module(x1, x2, **masks, return_attention_scores=True)
    y.backward(torch.from_numpy(arrays["g"]).to(dtype))
    assert np.abs(y.detach().numpy() - arrays["y"]).max() <= values * np.abs(arrays["y"]).max()
    for found, expected in scores_of(scores, arrays):
        assert np.abs(found.detach().numpy() - expected).max() <= values
    for name, tensor in [("x1", x1), ("x2", x2), *module.named_parameters()]:
        if name.endswith("key.bias"):  # ours is 0, the golden one is rounding noise
            assert not tensor.grad.any()
            continue
        expected = arrays[f"grad.{name}"]
        # With one key, our gradients of query and key are 0 and the golden ones rounding noise.
        scale = max(np.abs(expected).max(), 1e-3)
        assert np.abs(tensor.grad.numpy() - expected).max() <= slopes * scale, name


@pytest.mark.parametrize(
    ("dtype", "limits"), [("float64", (1e-12, 1e-12)), ("float32", (3e-6, 6e-6))]
)
@pytest.mark.parametrize("case", EXACT)
def test_the_modules_give_the_golden_values(
    case: str, dtype: str, limits: tuple[float, float]
) -> None:
    check_golden(*golden(case, dtype), limits)


@pytest.mark.parametrize("case", UNIFORM)
def test_fully_masked_uniform_steps_give_the_golden_values(case: str) -> None:
    # The golden values are float32, and Keras gives gradients to logits without effect.
    module, masks, arrays = golden(case, "float64", fully_masked="uniform")
    x1, x2 = (torch.from_numpy(arrays[n]).double() for n in ("x1", "x2"))
    y, scores = module(x1, x2, **masks, return_attention_scores=True)
    assert np.abs(y.detach().numpy() - arrays["y"]).max() <= 3e-6 * np.abs(arrays["y"]).max()
    for found, expected in scores_of(scores, arrays):
        assert np.abs(found.detach().numpy() - expected).max() <= 3e-6


@pytest.mark.parametrize("route", ["auto", *PAIR_ROUTES])
@pytest.mark.parametrize(
    "case", ["cross_uneven", "hierarchical_uneven", *(f"mask_{kind}_every_mask" for kind in KINDS)]
)
def test_pytorchs_own_operators_give_the_golden_values(
    case: str, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memattn.torch.function.applies", lambda *_: False)
    module, masks, arrays = golden(case, "float64")
    module.route = route
    check_golden(module, masks, arrays, (1e-12, 1e-12))


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("kind", KINDS)
def test_training_follows_the_golden_losses(kind: str, name: str) -> None:
    module, _, arrays = golden(f"train_{kind}_{name}", "float64")
    if name == "sgd":
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    else:  # Keras adds epsilon in another place than PyTorch's Adam
        optimizer = memattn.Adam(learning_rate=0.01)
    x1, x2, target = (torch.from_numpy(arrays[n]).double() for n in ("x1", "x2", "target"))
    twin = module.to_numpy()
    for expected in arrays["losses"]:
        module.zero_grad()
        loss = (module(x1, x2) - target).square().mean()
        loss.backward()
        assert abs(loss.item() - expected) <= 1e-9 * expected
        if name == "sgd":
            optimizer.step()
            continue
        optimizer.step(twin, {n: p.grad.numpy() for n, p in module.named_parameters()})
        module.load_state_dict({n: torch.tensor(w) for n, w in twin.weights.items()})
    for weight_name, weight in module.named_parameters():
        last = arrays[f"last.{weight_name}"]
        error = np.abs(weight.detach().numpy() - last).max()
        assert error <= 1e-9 * np.abs(last).max(), weight_name


@both
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [{}, {"use_bias": False}, {"key_dim": 1, "value_dim": 4}, {"fully_masked": "uniform"}],
)
def test_results_and_gradients_equal_numpys_to_the_bit(
    kind: str, options: dict[str, Any], dtype: torch.dtype, training: bool
) -> None:
    module = small(kind, dtype=dtype, **options).train(training)
    twin = module.to_numpy()
    x1, x2 = inputs(kind, dtype)
    grad_y = torch.randn(x1.shape[0], x1.shape[1], 6, dtype=dtype)
    masks = every_mask(kind, x1, x2)
    for call in ({}, masks):
        for scores in (True, "mean"):
            leaves = [x.clone().requires_grad_() for x in (x1, x2)]
            found = module(*leaves, **tensors(call), return_attention_scores=scores)
            expected = twin(
                x1.numpy(), x2.numpy(), **call, return_attention_scores=scores, training=training
            )
            for one, other in zip(flat(found), flat_arrays(expected), strict=True):
                np.testing.assert_array_equal(one.detach().numpy(), other)
        module.zero_grad()
        found[0].backward(grad_y)
        gradients = twin.backward(x1.numpy(), x2.numpy(), grad_y.numpy(), **call, training=training)
        for name, leaf in zip(pairs.INPUTS[kind], leaves, strict=True):
            np.testing.assert_array_equal(leaf.grad.numpy(), gradients[name])
        for name, parameter in module.named_parameters():
            np.testing.assert_array_equal(parameter.grad.numpy(), gradients[name], err_msg=name)


def flat_arrays(outputs: Any) -> list[np.ndarray]:
    """Returns the results of the NumPy layer as a list."""
    y, scores = outputs
    return [y, *(scores if isinstance(scores, tuple) else (scores,))]


@both
@pytest.mark.parametrize("route", PAIR_ROUTES)
def test_a_forced_route_is_used_and_kept_by_copies(kind: str, route: str) -> None:
    module = small(kind)
    module.route = route
    twin = module.to_numpy()
    twin.route = route
    x1, x2 = inputs(kind)
    np.testing.assert_array_equal(module(x1, x2).detach().numpy(), twin(x1.numpy(), x2.numpy()))
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert copied.route == route
    assert set(np.ravel(module.route_of(3, *([7] if kind == "hierarchical" else [7, 4])))) == {
        route
    }
    module.route = "auto"
    assert module.route == "auto"
    with pytest.raises(ValueError, match="route: found 'folded', expected one of \"auto\""):
        module.route = "folded"


@both
def test_routes_are_those_of_the_numpy_layer(kind: str) -> None:
    module = small(kind)
    twin = module.to_numpy()
    taken = set()
    for batch, steps, keys in ((1, 1, 1), (1, 1, 96), (2, 96, 2), (64, 7, 7), (3, 40, 40)):
        sizes = (batch, steps) if kind == "hierarchical" else (batch, steps, keys)
        for training in (False, True):
            found = module.route_of(*sizes, training=training)
            assert found == twin.route_of(*sizes, training=training)
            assert module.train(training).route_of(*sizes) == found
            taken |= set(np.ravel(found))
    assert len(taken) > 1
    with pytest.raises(ValueError, match="batch: found -1"):
        module.route_of(-1, *sizes[1:])


@both
def test_both_inputs_may_be_one_list(kind: str) -> None:
    module = small(kind)
    x1, x2 = inputs(kind)
    expected = module(x1, x2)
    assert torch.equal(module([x1, x2]), expected)
    assert torch.equal(module((x1, x2)), expected)
    first, second = pairs.INPUTS[kind]
    with pytest.raises(TypeError, match=f"{second}: found None, expected layer"):
        module(x1)
    with pytest.raises(ValueError, match=f"{first}: found a list of 3"):
        module([x1, x2, x2])


@both
def test_results_without_gradients_and_for_any_strides_are_equal(kind: str) -> None:
    module = small(kind)
    x1, x2 = inputs(kind)
    expected = module(x1, x2).detach()
    with torch.no_grad():
        assert torch.equal(module(x1, x2), expected)
    with torch.inference_mode():
        assert torch.equal(module(x1, x2), expected)
    other = (x1.mT.contiguous().mT, x2.transpose(0, 1).contiguous().transpose(0, 1))
    assert torch.equal(module(*other), expected)


def test_one_tensor_as_both_inputs_gets_both_gradients() -> None:
    module = small("cross", source2_units=5)
    x1, _ = inputs("cross")
    x = x1.clone().requires_grad_()
    module(x, x).sum().backward()
    first, second = x1.clone().requires_grad_(), x1.clone().requires_grad_()
    module(first, second).sum().backward()
    assert torch.equal(x.grad, first.grad + second.grad)


@both
def test_inputs_without_a_batch_axis_are_accepted(kind: str) -> None:
    module = small(kind)
    x1, x2 = inputs(kind)
    masks = tensors(every_mask(kind, x1, x2))
    whole = flat(module(x1, x2, **masks, return_attention_scores=True))
    for one in range(len(x1)):
        alone = {n: m[one] if isinstance(m, torch.Tensor) else m for n, m in masks.items()}
        found = flat(module(x1[one], x2[one], **alone, return_attention_scores=True))
        # A batch of one may take another route in training.
        for part, expected in zip(found, whole, strict=True):
            torch.testing.assert_close(part, expected[one], rtol=3e-6, atol=3e-6)


@both
@pytest.mark.parametrize("shape", [(0, 7), (2, 0)])
def test_empty_inputs_give_empty_outputs_and_zero_gradients(
    kind: str, shape: tuple[int, int]
) -> None:
    module = small(kind)
    x1, x2 = torch.empty(*shape, 5, requires_grad=True), torch.empty(*shape, 3, requires_grad=True)
    y = module(x1, x2)
    assert y.shape == (*shape, 6)
    y.sum().backward()
    assert x1.grad.shape == x1.shape
    assert all(not parameter.grad.any() for parameter in module.parameters())


def test_a_call_without_keys_gives_the_output_bias() -> None:
    module = small("cross")
    x1, _ = inputs("cross")
    y = module(x1, torch.empty(3, 0, 3))
    assert torch.equal(y, module.output.bias.expand_as(y))


@both
def test_state_dict_has_the_names_of_the_files(kind: str, tmp_path: Path) -> None:
    module = small(kind)
    twin = module.to_numpy()
    assert sorted(module.state_dict()) == sorted(twin.weights)
    twin.save(tmp_path / "layer.safetensors")
    again = CLASSES[kind].from_numpy(memattn.load(tmp_path / "layer.safetensors"))
    x1, x2 = inputs(kind)
    assert torch.equal(again(x1, x2), module(x1, x2))
    assert repr(again) == repr(module)
    from safetensors.torch import load_file

    other = small(kind, seed=2)
    other.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(other(x1, x2), module(x1, x2))
    assert not any("bias" in name for name in small(kind, use_bias=False).state_dict())
    wrong = {"cross": "hierarchical", "hierarchical": "cross"}[kind]
    with pytest.raises(TypeError, match=f"from_numpy: found {type(twin).__name__}, expected"):
        CLASSES[wrong].from_numpy(twin)


@both
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_seed_draws_the_weights_of_the_numpy_layer(kind: str, dtype: str) -> None:
    twin = pairs.small(kind, dtype=dtype)
    first, second = pairs.WIDTHS[kind]
    options = {first: 5, second: 3, "dtype": getattr(torch, dtype)}
    module = CLASSES[kind](6, 2, **options, seed=1)
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), twin.weights[name])
    torch.manual_seed(4)
    drawn, other = (CLASSES[kind](6, 2, **options) for _ in range(2))
    torch.manual_seed(4)
    again = CLASSES[kind](6, 2, **options)
    for one, two, same in zip(*(m.parameters() for m in (drawn, other, again)), strict=True):
        assert torch.equal(one, same)
        assert one.dim() < 2 or not one.any() or not torch.equal(one, two)


@both
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_heads": 0}, "num_heads: found 0, expected"),
        ({"units": 2.5}, "units: found 2.5, expected"),
        ({"dropout": 1.0}, "dropout: found 1, expected"),
        ({"fully_masked": "nan"}, "fully_masked"),
        ({"seed": -1}, "seed: found -1, expected"),
        ({"dtype": torch.int32}, "dtype: found torch.int32, expected a floating-point"),
    ],
)
def test_invalid_options_are_refused(kind: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLASSES[kind](**{"units": 6, "num_heads": 2, **options})


X1, X2 = inputs("cross")


@pytest.mark.parametrize(
    ("kind", "given", "call", "error", "message"),
    [
        ("cross", (X1[..., :4], X2), {}, ValueError, r"x1: .*\(3, 7, 4\), expected .*, 5\) or"),
        ("cross", (X1, X2[..., :2]), {}, ValueError, r"x2: .*\(3, 4, 2\), expected .*, 3\) or"),
        ("cross", (X1, X2[:2]), {}, ValueError, "x2: found a batch of 2, expected 3 as of x1"),
        ("cross", (X1, X2[0]), {}, ValueError, "x2: found 2 axes, expected 3 as of x1"),
        ("cross", (X1.numpy(), X2), {}, TypeError, "x1: found ndarray, expected a tensor"),
        ("cross", (X1, X2.double()), {}, ValueError, "x2: found torch.float64, expected"),
        ("cross", (X1, X2.to("meta")), {}, ValueError, "x2: found device meta, expected cpu"),
        ("hierarchical", (X1, X2), {}, ValueError, "long: found 4 steps, expected 7 as of short"),
        (
            *("cross", (X1, X2), {"attention_mask": torch.ones(7, 5).bool()}, ValueError),
            r"broadcasts to \(3, 7, 4\)",
        ),
        (
            *("cross", (X1, X2), {"value_mask": torch.ones(3, 7).bool()}, ValueError),
            r"value_mask: found shape \(3, 7\), expected \(3, 4\)",
        ),
        (
            *("cross", (X1, X2), {"query_mask": torch.zeros(3, 7)}, TypeError),
            "query_mask: found torch.float32, expected booleans",
        ),
        (
            *("cross", (X1, X2), {"return_attention_scores": "each"}, ValueError),
            'expected True, False or "mean"',
        ),
        ("cross", (X1, X2), {"first_step": -1}, ValueError, "first_step: found -1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    kind: str, given: Any, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        small(kind)(*given, **call)


@both
def test_repr_lists_the_options(kind: str) -> None:
    first, second = pairs.WIDTHS[kind]
    assert f"6, 2, {first}=5, {second}=3, dropout=0.1, seed=1\n" in repr(small(kind, dropout=0.1))


@both
def test_copies_and_pickles_are_equal_and_independent(kind: str) -> None:
    module = small(kind, dropout=0.5)
    x1, x2 = inputs(kind)
    module(x1, x2).sum().backward()
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for twin in (
        copy.deepcopy(module),
        copy.copy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
    ):
        assert torch.equal(twin.eval()(x1, x2), module.eval()(x1, x2))
    with torch.no_grad():
        next(twin.parameters()).zero_()
    assert not torch.equal(twin(x1, x2), module(x1, x2))


@both
def test_dropout_equals_numpys_and_follows_torchs_seed(kind: str) -> None:
    module = small(kind, dropout=0.5, seed=0)
    twin = module.to_numpy()
    leaves = [x.clone().requires_grad_() for x in inputs(kind)]
    arrays = [x.detach().numpy() for x in leaves]
    torch.manual_seed(8)
    first, second = module(*leaves), module(*leaves)
    assert not torch.equal(first, second)
    assert torch.equal(module.eval()(*leaves), module(*leaves))
    torch.manual_seed(8)
    assert torch.equal(module.train()(*leaves), first)
    torch.manual_seed(8)
    twin.dropout_step = int(torch.randint(2**63 - 1, (1,))) - 1
    np.testing.assert_array_equal(twin(*arrays, training=True), first.detach().numpy())
    # The backward pass drops the same scores.
    first.backward(torch.ones_like(first))
    gradients = twin.backward(*arrays, np.ones(first.shape, np.float32), training=True)
    for name, leaf in zip(pairs.INPUTS[kind], leaves, strict=True):
        np.testing.assert_array_equal(leaf.grad.numpy(), gradients[name])


@both
@pytest.mark.parametrize("scores", [True, "mean"])
def test_calls_on_parts_have_the_bits_of_one_call(kind: str, scores: Any) -> None:
    module = small(kind, dropout=0.4)
    module.route = "right_value"  # so that parts and whole take the same route
    x1, x2 = inputs(kind)

    def run(rows: slice, steps: slice | None = None) -> list[torch.Tensor]:
        torch.manual_seed(3)
        places = {"first_sequence": rows.start}
        if steps is not None:
            places["first_step"] = steps.start
        call = {"use_causal_mask": True, "return_attention_scores": scores, **places}
        return flat(module(x1[rows, steps or slice(None)], x2[rows], **call))

    whole = run(slice(0, 3))
    for rows in (slice(0, 1), slice(1, 3)):
        for part, expected in zip(run(rows), whole, strict=True):
            assert torch.equal(part, expected[rows])
    if kind == "cross":
        for steps in (slice(0, 2), slice(2, 7)):
            y = run(slice(0, 3), steps)[0]
            assert torch.equal(y, whole[0][:, steps])


@both
def test_autocast_leaves_the_layer_in_float32(kind: str) -> None:
    module = small(kind)
    x1, x2 = inputs(kind)
    half = (x1.bfloat16(), x2.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        y = module(*half)
    assert y.dtype == torch.float32
    assert torch.equal(y, module(*(x.float() for x in half)))
    with pytest.raises(ValueError, match=r"found torch\.bfloat16, expected torch\.float32"):
        module(*half)


@both
@pytest.mark.parametrize("route", ["as_written", "left_read", "right_value"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 4e-2), (torch.float16, 4e-3)])
def test_half_precision_results_are_close_to_float64(
    kind: str, route: str, dtype: torch.dtype, limit: float
) -> None:
    module = small(kind).to(dtype)
    module.route = route
    leaves = [x.to(dtype).requires_grad_() for x in inputs(kind)]
    outputs = flat(module(*leaves, return_attention_scores=True))
    assert outputs[0].dtype == dtype
    outputs[0].sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    exact = copy.deepcopy(module).double()
    expected = flat(exact(*(x.double() for x in leaves), return_attention_scores=True))
    for found, other in zip(outputs, expected, strict=True):
        assert (found - other).abs().max() <= limit * max(1, other.abs().max())


@both
def test_the_meta_device_gives_shapes_and_moves_to_the_cpu(kind: str) -> None:
    module = small(kind, device="meta")
    x1, x2 = (x.to("meta") for x in inputs(kind))
    outputs = flat(module(x1, x2, use_causal_mask=True, return_attention_scores="mean"))
    assert [tuple(t.shape) for t in outputs] == [
        (3, 7, 6),
        *([(3, 7, 4)] if kind == "cross" else [(3, 7, 7)] * 2),
    ]
    module = module.to_empty(device="cpu")
    module.reset_parameters()
    twin = pairs.small(kind)
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy(), twin.weights[name])
