"""The Triton kernels, in Triton's interpreter, against the layer in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from ..masked_values import SOME_JUNK, filled
from ..sampling import LONG, pairwise
from .torch_triton import (
    chance,
    check,
    draw,
    every_mask,
    exact,
    multiply_row_by_row,
    on_triton,
    results,
    triton_blocks,
    triton_launch,
    watch,
)

F32 = 3e-6


def compare(sizes: tuple[int, ...], limit: float = F32, **options: Any) -> None:
    """Compare outputs and gradients of a layer of sizes (B, T, U, S, H) with float64."""
    batch, steps, *layer_sizes = sizes
    call = options.pop("call", {})
    dtype = options.pop("dtype", torch.float32)
    layer = on_triton(*layer_sizes, **options).to(dtype)
    x, grad = draw(batch, steps, layer_sizes[0]).to(dtype), draw(batch, steps, layer_sizes[0])
    choice = layer.explain_backend(x)
    assert choice.backend == "triton", choice
    found = results(layer, x, grad, **call)
    check(found, results(exact(layer), x.double(), grad, **call), limit)


OPTIONS = [{}, {"use_bias": False, "residual": False}, {"fully_masked": "uniform"}]


@pytest.mark.parametrize(
    ("options", "masked", "scores"), pairwise(OPTIONS, [False, True], [False, True, "mean"])
)
def test_every_option_agrees_with_float64(
    options: dict[str, Any], masked: bool, scores: Any
) -> None:
    call = {"return_attention_scores": scores, **(every_mask(3, 15, 5) if masked else {})}
    compare((3, 15, 6, 5, 2), call=call, **options)


LAYOUTS = [
    (1, 1, 1, 1, 1),
    (2, 20, 32, 32, 3),  # whole blocks, and a second tile of tokens
    (1, 5, 140, 20, 2),  # columns in blocks
    (1, 5, 20, 70, 2),  # slots in blocks, two passes
    (1, 3, 140, 70, 1),  # both
]
MORE_BLOCKS = [(1, 5, 300, 20, 2), (1, 5, 20, 300, 2), (1, 3, 260, 280, 1)]


@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize("sizes", [*LAYOUTS, *(MORE_BLOCKS if LONG else [])], ids=str)
def test_every_block_layout_agrees_with_float64(sizes: tuple[int, ...], masked: bool) -> None:
    call = every_mask(sizes[0], sizes[1], sizes[3]) if masked else {}
    compare(sizes, call={"return_attention_scores": "mean" if masked else True, **call})


@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
def test_half_precision_agrees_with_float64(dtype: torch.dtype, limit: float) -> None:
    compare((2, 9, 24, 20, 3), limit, dtype=dtype, call={"return_attention_scores": True})
    compare((2, 9, 24, 20, 3), limit, dtype=dtype, call=every_mask(2, 9, 20))


def test_half_precision_in_several_blocks_agrees_with_float64() -> None:
    """The blocks have 128 columns and 256 slots."""
    for sizes in [(1, 3, 140, 260, 1), *([(1, 3, 280, 300, 1)] if LONG else [])]:
        compare(sizes, 3e-2, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("key_dim", "value_dim"), [(None, 4), (24, None), (8, 7), (4, 32)], ids=str
)
def test_other_key_and_value_dims_agree_with_float64(key_dim: Any, value_dim: Any) -> None:
    compare((2, 3, 8, 5, 2), key_dim=key_dim, value_dim=value_dim)


def test_each_mask_alone_agrees_with_float64() -> None:
    for name, mask in every_mask(2, 4, 5).items():
        if name != "first_step":
            compare((2, 4, 6, 5, 2), call={name: mask})
    for shape in ((4, 1), (1, 5), (1, 1, 5), (2, 1, 1), (5,)):
        compare((2, 4, 6, 5, 2), call={"attention_mask": chance(*shape)})


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_masked_slot_may_be_nan(use_bias: bool) -> None:
    call = {"value_mask": torch.tensor([[1, 0, 1], [1, 1, 1], [1, 0, 0]]).bool()}
    layer = on_triton(6, 3, 2, use_bias=use_bias)
    x = draw(3, 4, 6)
    expected = results(layer, x, x, return_attention_scores=True, **call)
    memory = layer.memory.detach().numpy().copy()
    for junk in SOME_JUNK:
        with torch.no_grad():
            layer.memory.copy_(torch.from_numpy(filled(memory, np.arange(3) == 1, junk)))
        found = results(layer, x, x, return_attention_scores=True, **call)
        for name in ("y", "scores", "x"):
            assert torch.equal(found[name][::2], expected[name][::2]), name
            assert found[name][1].isnan().any(-1).all(), name
        with torch.no_grad():
            assert torch.equal(layer(x, **call)[::2], expected["y"][::2])


def test_other_strides_give_the_same_bits() -> None:
    layer = on_triton(6, 5, 2)
    whole = draw(2, 4, 6)
    expected = results(layer, whole, whole)
    spread = torch.zeros(2, 9, 13)
    for view in (
        whole.transpose(0, 1).contiguous().transpose(0, 1),
        whole.mT.contiguous().mT,
        spread[:, 1::2, 3:9].copy_(whole),
    ):
        assert view.stride() != whole.stride()
        y = layer(view)
        assert torch.equal(y, expected["y"])
        x = view.detach().requires_grad_()
        layer(x).backward(view.detach())
        assert torch.equal(x.grad, expected["x"])
    x = whole.clone().requires_grad_()
    layer(x).sum().backward()  # the gradient of y is a single number, expanded
    other = whole.clone().requires_grad_()
    layer(other).backward(torch.ones(2, 4, 6))
    assert torch.equal(x.grad, other.grad)
    mask = chance(2, 5, 4).mT
    assert torch.equal(layer(whole, attention_mask=mask), layer(whole, attention_mask=mask.clone()))


@pytest.mark.parametrize("shape", [(0, 3, 6), (2, 0, 6), (0, 6)])
def test_empty_inputs_give_empty_outputs_and_zero_gradients(shape: tuple[int, ...]) -> None:
    layer = on_triton(6, 5, 2)
    x = torch.empty(shape, requires_grad=True)
    y, scores = layer(x, return_attention_scores=True)
    assert y.shape == shape
    assert scores.shape == (*shape[:-2], 2, shape[-2], 5)
    y.sum().backward()
    assert x.grad.shape == shape
    assert all(not parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.parametrize("slots", [5, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_do_not_depend_on_the_run_or_the_batch(
    slots: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    multiply_row_by_row(monkeypatch)
    layer = on_triton(6, slots, 2).to(dtype)
    x = draw(5, 17, 6).to(dtype)
    blocks = triton_blocks.forward_blocks(6, slots, dtype, roomy=True, busy=False)
    assert blocks.tokens < 5 * 17
    first, second = (results(layer, x, x, return_attention_scores=True) for _ in range(2))
    for name, value in first.items():
        assert torch.equal(second[name], value), name
    for cut in (1, 2, 3):
        parts = [layer(part) for part in x.split(cut)]
        assert torch.equal(torch.cat(parts), first["y"])
    steps = [layer(part) for part in x.split(4, 1)]
    assert torch.equal(torch.cat(steps, 1), first["y"])
    with torch.no_grad():
        assert torch.equal(layer(x), first["y"])


def test_gradients_of_weights_summed_in_parts_agree_with_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launches = watch(monkeypatch)
    compare((3, 50, 6, 5, 2))
    assert launches[-1][1] == (2, 5, 1)  # one part per tile
    monkeypatch.setattr(
        triton_launch, "_PROGRAMS", 4
    )  # several tiles per part, the last part shorter
    compare((3, 50, 6, 5, 2))
    assert launches[-1][1] == (2, 2, 1)


def test_tf32_follows_pytorchs_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    launches = watch(monkeypatch)
    layer = on_triton(6, 5, 2)
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    try:
        for setting in ("tf32", "ieee"):
            products.fp32_precision = setting
            launches.clear()
            results(layer, draw(2, 4, 6), draw(2, 4, 6))
            assert [one["PRECISION"] for *_, one in launches] == [setting] * 3
    finally:
        products.fp32_precision = before


def test_only_kernels_for_needed_gradients_are_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    launches = watch(monkeypatch)
    layer = on_triton(6, 40, 2)
    x = draw(2, 4, 6)
    everything = results(layer, x, x)
    launches.clear()
    layer(x).backward(x)
    assert [name for name, *_ in launches] == ["forward_kernel", "tokens_kernel", "weights_kernel"]
    assert launches[1][2]["NEEDS_X"] is False
    assert torch.equal(layer.memory.grad, 2 * everything["memory"])
    launches.clear()
    layer.requires_grad_(False)
    x = x.clone().requires_grad_()
    layer(x).backward(x.detach())
    assert [name for name, *_ in launches] == ["forward_kernel", "tokens_kernel"]
    assert torch.equal(x.grad, everything["x"])
    launches.clear()
    assert not layer(x.detach()).requires_grad
    assert [name for name, *_ in launches] == ["forward_kernel"]
    assert launches[0][2]["KEEP_LSE"] is False


def test_a_loss_on_the_scores_alone_has_gradients() -> None:
    layer = on_triton(6, 5, 2)
    twin = exact(layer)
    for choice in (True, "mean"):
        gradients = []
        for module, x in ((layer, draw(2, 4, 6)), (twin, draw(2, 4, 6).double())):
            x.requires_grad_()
            scores = module(x, return_attention_scores=choice)[1]
            inputs = [x, module.memory, module.query.kernel]
            gradients.append(torch.autograd.grad(torch.special.entr(scores).sum(), inputs))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-6)
            assert other.abs().max() > 1e-3


def test_dropout_depends_on_seed_and_position(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply_row_by_row(monkeypatch)
    layer = on_triton(6, 7, 2, dropout=0.4)
    x = draw(3, 4, 6)

    def run(seed: int, **call: Any) -> Any:
        torch.manual_seed(seed)
        return results(layer, x, x, **call)

    first = run(3, return_attention_scores=True)
    for name, value in run(3, return_attention_scores=True).items():
        assert torch.equal(value, first[name]), name
    assert not torch.equal(run(4)["y"], first["y"])
    # Scores are those before dropout.
    torch.testing.assert_close(first["scores"].sum(-1), torch.ones(3, 2, 4))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    layer.train()
    for place in range(3):  # dropout depends on the positions in the whole batch
        torch.manual_seed(3)
        assert torch.equal(layer(x[place : place + 1], first_sequence=place)[0], first["y"][place])
    torch.manual_seed(3)
    assert torch.equal(layer(x[:, 2:], first_step=2), first["y"][:, 2:])


@pytest.mark.parametrize("slots", [7, 40])
def test_gradients_through_dropout_match_finite_differences(slots: int) -> None:
    """Compares gradients with central differences in float32, with the same dropout each time."""
    layer = on_triton(6, slots, 2, dropout=0.4)
    x, grad = draw(2, 3, 6), draw(2, 3, 6, seed=1)
    torch.manual_seed(5)
    found = results(layer, x, grad)
    for name, tensor in (
        ("x", x),
        ("memory", layer.memory),
        ("output.kernel", layer.output.kernel),
    ):
        tensor = tensor.detach()
        direction = draw(*tensor.shape, seed=2)
        values = []
        for step in (0.02, -0.02):
            tensor += step * direction
            torch.manual_seed(5)
            with torch.no_grad():
                values.append((layer(x).double() * grad).sum())
            tensor -= step * direction
        slope = (values[0] - values[1]) / 0.04
        expected = (found[name].double() * direction).sum()
        assert abs(slope - expected) <= 5e-3 * found[name].norm() * direction.norm(), name


def test_dropout_drops_its_share_independently() -> None:
    torch.manual_seed(0)
    layer = on_triton(1, 64, 1, dropout=0.25, use_bias=False, residual=False)
    with torch.no_grad():
        layer.query.kernel.zero_()  # equal scores
        layer.value.kernel.fill_(1)
        layer.output.kernel.fill_(1)
        layer.memory.fill_(1)
        y = layer(torch.zeros(16, 16, 1))
    assert abs(y.mean() - 1) < 0.02  # 16,384 draws: three standard deviations are 0.013
    kept = y * 0.75 * 64  # the number of kept scores, of 64
    torch.testing.assert_close(kept, kept.round(), rtol=0, atol=1e-3)
    assert abs(kept.std() - 3.46) < 0.7  # as for independent draws


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_repeats_dropout_and_gradients(reentrant: bool) -> None:
    layer = on_triton(6, 5, 2, dropout=0.5)
    gradients = []
    for wrap in (lambda x: layer(x), lambda x: checkpoint(layer, x, use_reentrant=reentrant)):
        torch.manual_seed(3)
        layer.zero_grad()
        x = draw(2, 3, 6).requires_grad_()
        wrap(x).square().sum().backward()
        gradients.append((x.grad, layer.memory.grad.clone()))
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


@pytest.mark.parametrize("scores", [False, True, "mean"])
def test_second_derivatives_agree_with_float64_without_dropout(scores: Any) -> None:
    layer = on_triton(6, 5, 2)
    found = []
    for module, x in ((layer, draw(2, 4, 6)), (exact(layer), draw(2, 4, 6).double())):
        x.requires_grad_()
        call = {**every_mask(2, 4, 5), "return_attention_scores": scores}
        outputs = module(x, **call)
        loss = sum(one.square().sum() for one in outputs) if scores else outputs.square().sum()
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), [x, module.memory]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
    layer = on_triton(6, 5, 2, dropout=0.5)
    x = draw(2, 4, 6).requires_grad_()
    with pytest.raises(NotImplementedError, match="second derivatives through dropout"):
        torch.autograd.grad(layer(x).sum(), x, create_graph=True)


def test_backward_twice_works_unless_a_weight_changed() -> None:
    layer = on_triton(6, 5, 2)
    y = layer(draw(2, 4, 6))
    y.sum().backward(retain_graph=True)
    first = layer.memory.grad.clone()
    y.sum().backward()
    assert torch.equal(layer.memory.grad, 2 * first)
    y = layer(draw(2, 4, 6))
    with torch.no_grad():
        layer.memory.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
