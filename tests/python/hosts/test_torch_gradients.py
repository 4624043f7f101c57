"""Derivatives of the PyTorch module: every option, first and second order, all transforms."""

import copy
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.utils.checkpoint import checkpoint

from memattn.torch import MemoryAugmentedAttention, kernels, plain
from memattn.torch.call import Call

OPTIONS = [
    {},
    {"use_bias": False, "residual": False},
    {"key_dim": 1, "value_dim": 2},  # the projected route
    {"fully_masked": "uniform"},
]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).double()


X = draw(2, 3, 4)
KEEP = draw(2, 3, 3) < 0.5
MASKS = {
    "attention_mask": KEEP,
    "query_mask": torch.tensor([[1, 1, 0], [1, 1, 1]]),  # a token that reads nothing
    "value_mask": torch.tensor([[1, 1, 0], [1, 0, 1]]),
    "use_causal_mask": True,
}


def layer_of(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(4, 3, 2, seed=2, dtype=torch.float64, **options)


def function_of(layer: MemoryAugmentedAttention, **call: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return, for gradcheck, y as a function of x and all weights but the key bias; and these."""
    weights = {n: w for n, w in layer.named_parameters() if n != "key.bias"}

    def function(x: torch.Tensor, *tensors: torch.Tensor) -> Any:
        return functional_call(layer, dict(zip(weights, tensors, strict=True)), (x,), call)

    tensors = (tensor.detach().clone().requires_grad_() for tensor in (X, *weights.values()))
    return function, tuple(tensors)


@pytest.mark.parametrize("scores", [False, True, "mean"])
@pytest.mark.parametrize("masks", [{}, MASKS], ids=["open", "masked"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_first_derivatives_pass_gradcheck(
    options: dict[str, Any], masks: dict[str, Any], scores: Any
) -> None:
    function, inputs = function_of(layer_of(**options), **masks, return_attention_scores=scores)
    assert gradcheck(function, inputs, check_batched_grad=False)


@pytest.mark.parametrize("masks", [{}, MASKS], ids=["open", "masked"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_second_derivatives_pass_gradgradcheck(
    options: dict[str, Any], masks: dict[str, Any]
) -> None:
    function, inputs = function_of(layer_of(**options), **masks, return_attention_scores=True)
    # fast_mode checks along random directions instead of axes, in a tenth of the time.
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_second_derivatives_through_dropout_are_refused() -> None:
    layer = layer_of(dropout=0.5)
    x = X.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="second derivatives through dropout"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    torch.autograd.grad(layer.eval()(x).sum(), x, create_graph=True)


def test_the_gradient_of_the_key_bias_is_zero_and_not_none() -> None:
    for dtype in (torch.float64, torch.bfloat16):  # kernels, and PyTorch's own operators
        layer = layer_of().to(dtype)
        layer(X.to(dtype)).sum().backward()
        assert torch.equal(layer.key.bias.grad, torch.zeros(2, 4, dtype=dtype))


def test_only_needed_gradients_are_computed() -> None:
    layer = layer_of()
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name in ("memory", "value.bias"))
    layer(X).sum().backward()
    assert X.grad is None
    assert [n for n, p in layer.named_parameters() if p.grad is not None] == [
        "memory",
        "value.bias",
    ]
    layer.requires_grad_(False)
    x = X.clone().requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None
    assert not layer(X).requires_grad
    everything = layer_of()
    expected = everything.to_numpy().backward(X.numpy(), torch.ones_like(X).numpy())
    everything(X).sum().backward()
    assert (everything.memory.grad.numpy() == expected["memory"]).all()
    assert (x.grad.numpy() == expected["x"]).all()


def test_a_loss_on_the_scores_alone_has_gradients() -> None:
    layer = layer_of()
    x = X.clone().requires_grad_()
    scores = layer(x, return_attention_scores=True)[1]
    entropy = torch.special.entr(scores).sum()
    found = torch.autograd.grad(entropy, [x, *layer.parameters()])
    call = Call(residual=True, scores="each")
    _, plain_scores = plain.attend(x, layer._weights(), call)
    expected = torch.autograd.grad(
        torch.special.entr(plain_scores).sum(),
        [x, *layer.parameters()],
        materialize_grads=True,
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert found[0].abs().max() > 1e-3


def test_backward_twice_doubles_the_gradients() -> None:
    layer = layer_of()
    y = layer(X)
    y.sum().backward(retain_graph=True)
    first = layer.memory.grad.clone()
    y.sum().backward()
    assert torch.equal(layer.memory.grad, 2 * first)


def test_changing_a_weight_before_backward_is_an_error() -> None:
    layer = layer_of()
    y = layer(X)
    with torch.no_grad():
        layer.memory.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_layer_used_twice_passes_gradcheck() -> None:
    layer = layer_of()
    function, inputs = function_of(layer)
    assert gradcheck(lambda x, *weights: function(function(x, *weights), *weights), inputs)


def test_expanded_gradients_and_other_strides_are_accepted() -> None:
    layer = layer_of()
    x = X.clone().requires_grad_()
    y = layer(x.transpose(0, 1))
    y.sum().backward()  # the gradient of y is a single number, expanded
    other = X.clone().requires_grad_()
    layer(other.transpose(0, 1).contiguous()).backward(torch.ones(3, 2, 4).double())
    assert torch.equal(x.grad, other.grad)


# PyTorch's forward-mode derivatives use deprecated functions of PyTorch.
@pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"key_dim": 1, "value_dim": 2}], ids=str)
def test_torch_func_transforms_agree_with_autograd(options: dict[str, Any]) -> None:
    layer = layer_of(**options)
    expected = layer(X).detach()
    torch.testing.assert_close(vmap(layer)(X).detach(), expected, rtol=1e-12, atol=1e-12)
    gradient = grad(lambda x: layer(x).square().sum())(X)
    x = X.clone().requires_grad_()
    layer(x).square().sum().backward()
    torch.testing.assert_close(gradient, x.grad, rtol=1e-10, atol=1e-12)
    jacobian = jacrev(layer)(X[:1])
    tangent = draw(1, 3, 4)
    found = jvp(layer, (X[:1],), (tangent,))[1]
    torch.testing.assert_close(found, torch.tensordot(jacobian, tangent, 3).detach())
    with forward_ad.dual_level():
        dual = layer(forward_ad.make_dual(X[:1], tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, found)
    per_sample = vmap(grad(lambda w, x: functional_call(layer, w, (x,)).sum()), (None, 0))
    weights = {name: w.detach() for name, w in layer.named_parameters()}
    layer.zero_grad()
    layer(X).sum().backward()
    for name, gradients in per_sample(weights, X).items():
        expected = dict(layer.named_parameters())[name].grad
        torch.testing.assert_close(gradients.sum(0), expected, rtol=1e-10, atol=1e-12)


def test_vmap_over_stacked_weights_computes_an_ensemble() -> None:
    layers = [MemoryAugmentedAttention(4, 3, 2, dtype=torch.float64) for _ in range(3)]
    weights, _ = torch.func.stack_module_state(layers)
    base = copy.deepcopy(layers[0]).to("meta")
    found = vmap(lambda w: functional_call(base, w, (X,)))(weights)
    for one, layer in zip(found, layers, strict=True):
        torch.testing.assert_close(one, layer(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_repeats_dropout_and_gradients(reentrant: bool) -> None:
    layer = layer_of(dropout=0.5)
    gradients = []
    for wrap in (lambda x: layer(x), lambda x: checkpoint(layer, x, use_reentrant=reentrant)):
        torch.manual_seed(3)
        layer.zero_grad()
        x = X.clone().requires_grad_()
        wrap(x).square().sum().backward()
        gradients.append((x.grad, layer.memory.grad.clone()))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_a_dispatch_mode_sees_pytorchs_operators() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = layer_of()
    with FlopCounterMode(display=False) as counter:
        layer(X)
    assert counter.get_total_flops() > 0


def test_a_subclass_of_tensor_is_kept() -> None:
    class Tagged(torch.Tensor):
        pass

    assert type(layer_of()(X.as_subclass(Tagged))) is Tagged


def test_eager_calls_use_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def watched(name: str, function: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return function(*arguments, **options)

        return call

    for name in ("forward", "backward"):
        monkeypatch.setattr(kernels, name, watched(name, getattr(kernels, name)))
    layer_of()(X).sum().backward()
    assert calls == ["forward", "backward"]
