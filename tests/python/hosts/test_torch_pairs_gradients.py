"""Derivatives of the modules of two inputs, of first and second order, with masked NaN."""

import copy
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.utils.checkpoint import checkpoint

from memattn.layer_options import PAIR_ROUTES
from memattn.torch import kernels

from ..pairs import both
from .torch_pairs import every_mask, flat, inputs, small, tensors

OPTIONS = [{}, {"use_bias": False}, {"key_dim": 1, "value_dim": 2}, {"fully_masked": "uniform"}]
SIZES = {"batch": 2, "steps": 3, "keys": 4}


def layer_of(kind: str, **options: Any) -> Any:
    return small(kind, dtype=torch.float64, **options)


def call_of(kind: str, masked: bool) -> dict[str, Any]:
    return tensors(every_mask(kind, *inputs(kind, torch.float64, **SIZES))) if masked else {}


def function_of(kind: str, layer: Any, **call: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return outputs as a function of inputs and all weights but the key biases; and these."""
    weights = {n: w for n, w in layer.named_parameters() if not n.endswith("key.bias")}

    def function(x1: torch.Tensor, x2: torch.Tensor, *tensors: torch.Tensor) -> Any:
        named = dict(zip(weights, tensors, strict=True))
        return tuple(flat(functional_call(layer, named, (x1, x2), call)))

    given = (*inputs(kind, torch.float64, **SIZES), *weights.values())
    return function, tuple(tensor.detach().clone().requires_grad_() for tensor in given)


@both
@pytest.mark.parametrize("scores", [False, True, "mean"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_first_derivatives_pass_gradcheck(
    kind: str, options: dict[str, Any], masked: bool, scores: Any
) -> None:
    call = call_of(kind, masked)
    function, given = function_of(
        kind, layer_of(kind, **options), **call, return_attention_scores=scores
    )
    assert gradcheck(function, given, check_batched_grad=False, fast_mode=True)


@both
@pytest.mark.parametrize("route", PAIR_ROUTES)
def test_every_route_passes_gradcheck(kind: str, route: str) -> None:
    layer = layer_of(kind)
    layer.route = route
    function, given = function_of(kind, layer, **call_of(kind, True), return_attention_scores=True)
    assert gradcheck(function, given, check_batched_grad=False, fast_mode=True)


@both
@pytest.mark.parametrize("route", ["as_written", "left_read_dense1", "right_value"])
@pytest.mark.parametrize("masked", [False, True])
def test_second_derivatives_pass_gradgradcheck(kind: str, masked: bool, route: str) -> None:
    layer = layer_of(kind)
    layer.route = route
    function, given = function_of(
        kind, layer, **call_of(kind, masked), return_attention_scores=True
    )
    assert gradgradcheck(function, given, fast_mode=True)


@both
def test_second_derivatives_through_dropout_are_refused(kind: str) -> None:
    layer = layer_of(kind, dropout=0.5)
    x1, x2 = (x.requires_grad_() for x in inputs(kind, torch.float64))
    name = type(layer).__name__
    with pytest.raises(NotImplementedError, match=f"{name}: second derivatives through dropout"):
        torch.autograd.grad(layer(x1, x2).sum(), x1, create_graph=True)
    torch.autograd.grad(layer.eval()(x1, x2).sum(), x1, create_graph=True)


@both
def test_only_needed_gradients_are_computed(kind: str) -> None:
    layer = layer_of(kind)
    x1, x2 = inputs(kind, torch.float64)
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name.endswith("value.kernel"))
    layer(x1, x2).sum().backward()
    found = [n for n, p in layer.named_parameters() if p.grad is not None]
    assert found == [n for n, _ in layer.named_parameters() if n.endswith("value.kernel")]
    layer.requires_grad_(False)
    assert not layer(x1, x2).requires_grad
    x2 = x2.clone().requires_grad_()
    layer(x1, x2).sum().backward()
    assert x1.grad is None
    second = "x2" if kind == "cross" else "long"
    twin = layer.to_numpy()
    ones = torch.ones(x1.shape[0], x1.shape[1], 6).numpy()
    expected = twin.backward(x1.numpy(), x2.detach().numpy(), ones, training=True)
    assert (x2.grad.numpy() == expected[second]).all()


@both
def test_backward_twice_doubles_the_gradients(kind: str) -> None:
    layer = layer_of(kind)
    y = layer(*inputs(kind, torch.float64))
    y.sum().backward(retain_graph=True)
    first = [parameter.grad.clone() for parameter in layer.parameters()]
    y.sum().backward()
    for parameter, once in zip(layer.parameters(), first, strict=True):
        assert torch.equal(parameter.grad, 2 * once)


# PyTorch's forward-mode derivatives use deprecated functions of PyTorch.
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@both
def test_torch_func_transforms_agree_with_autograd(kind: str) -> None:
    layer = layer_of(kind)
    x1, x2 = inputs(kind, torch.float64)
    limits = {"rtol": 1e-10, "atol": 1e-12}
    expected = layer(x1, x2).detach()
    torch.testing.assert_close(vmap(layer)(x1, x2).detach(), expected, **limits)
    leaf = x1.clone().requires_grad_()
    layer(leaf, x2).square().sum().backward()
    gradient = grad(lambda x: layer(x, x2).square().sum())(x1)
    torch.testing.assert_close(gradient, leaf.grad, **limits)
    one, other, tangent = x1[:1], x2[:1], torch.randn(1, 7, 5, dtype=torch.float64)
    jacobian = jacrev(lambda x: layer(x, other))(one)
    found = jvp(lambda x: layer(x, other), (one,), (tangent,))[1]
    torch.testing.assert_close(found, torch.tensordot(jacobian, tangent, 3).detach())
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(one, tangent), other)
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, found)
    per_sample = vmap(grad(lambda w, a, b: functional_call(layer, w, (a, b)).sum()), (None, 0, 0))
    weights = {name: w.detach() for name, w in layer.named_parameters()}
    layer.zero_grad()
    layer(x1, x2).sum().backward()
    for name, gradients in per_sample(weights, x1, x2).items():
        whole = dict(layer.named_parameters())[name].grad
        torch.testing.assert_close(gradients.sum(0), whole, **limits)


@both
def test_vmap_over_stacked_weights_computes_an_ensemble(kind: str) -> None:
    layers = [layer_of(kind, seed=seed) for seed in range(3)]
    weights, _ = torch.func.stack_module_state(layers)
    base = copy.deepcopy(layers[0]).to("meta")
    x1, x2 = inputs(kind, torch.float64)
    found = vmap(lambda w: functional_call(base, w, (x1, x2)))(weights)
    for one, layer in zip(found, layers, strict=True):
        torch.testing.assert_close(one, layer(x1, x2), rtol=1e-12, atol=1e-12)


@both
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_repeats_dropout_and_gradients(kind: str, reentrant: bool) -> None:
    layer = layer_of(kind, dropout=0.5)
    gradients = []
    for wrap in (layer, lambda *x: checkpoint(layer, *x, use_reentrant=reentrant)):
        torch.manual_seed(3)
        layer.zero_grad()
        x1, x2 = (x.requires_grad_() for x in inputs(kind, torch.float64))
        wrap(x1, x2).square().sum().backward()
        gradients.append([x1.grad, x2.grad, *(p.grad for p in layer.parameters())])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def poisoned(kind: str, dtype: torch.dtype) -> tuple[dict[str, Any], Any, Any]:
    """Return masks, inputs, and inputs with NaN in the masked steps."""
    clean = inputs(kind, dtype)
    masks = tensors(every_mask(kind, *clean))
    names = ("query_mask", "value_mask") if kind == "cross" else ("short_mask", "long_mask")
    ill = [x.clone() for x in clean]
    for x, name in zip(ill, names, strict=True):
        x[~masks[name]] = torch.nan
        assert x.isnan().any()
    return masks, clean, ill


@both
@pytest.mark.parametrize("route", ["auto", *PAIR_ROUTES])
@pytest.mark.parametrize("where", ["kernels", "operators"])
@pytest.mark.parametrize("scores", [False, True])
def test_masked_steps_may_hold_nan(
    kind: str, route: str, where: str, scores: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "operators":
        monkeypatch.setattr("memattn.torch.function.applies", lambda *_: False)
    layer = small(kind)
    layer.route = route
    masks, clean, ill = poisoned(kind, torch.float32)
    results = []
    for given in (clean, ill):
        leaves = [x.clone().requires_grad_() for x in given]
        layer.zero_grad()
        outputs = flat(layer(*leaves, **masks, return_attention_scores=scores))
        sum(output.square().sum() for output in outputs).backward()
        results.append(
            [*outputs, *(leaf.grad for leaf in leaves), *(p.grad for p in layer.parameters())]
        )
    for found, expected in zip(*results, strict=True):
        assert not found.isnan().any()
        assert torch.equal(found, expected)


@both
def test_eager_calls_use_the_kernels(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def watched(name: str, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        return call

    for name in ("forward", "backward"):
        monkeypatch.setattr(kernels, name, watched(name, getattr(kernels, name)))
    layer_of(kind)(*inputs(kind, torch.float64)).sum().backward()
    assert calls == ["forward", "backward"]
