"""The PyTorch module in graphs: torch.compile, torch.export, ONNX, and the custom operators."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from memattn.torch import MemoryAugmentedAttention, decompositions, kernels

from ..sampling import LONG, pairwise

# PyTorch's exporters and compiler use deprecated functions of PyTorch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.*:FutureWarning"),
]
X = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(0))
KEEP = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.6


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()


def small(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def compiled(layer: nn.Module, **options: Any) -> Any:
    return torch.compile(layer, fullgraph=True, **{"backend": "aot_eager", **options})


def gradients(layer: nn.Module, run: Any, **call: Any) -> list[torch.Tensor]:
    layer.zero_grad()
    x = X.clone().requires_grad_()
    y = run(x, **call)
    scores = 0
    if isinstance(y, tuple):
        y, scores = y[0], y[1].square().sum()
    (y.square().sum() + scores).backward()
    return [y.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_results_and_gradients_equal_eager_ones(backend: str) -> None:
    layer = small()
    run = compiled(layer, backend=backend)
    for call in ({}, {"attention_mask": KEEP, "use_causal_mask": True}):
        for found, expected in zip(
            gradients(layer, run, **call), gradients(layer, layer, **call), strict=True
        ):
            assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(run(X), layer(X))


@pytest.mark.parametrize(
    "options",
    [{"use_bias": False}, {"key_dim": 1, "value_dim": 2}, {"fully_masked": "uniform"}],
    ids=str,
)
def test_compiled_scores_equal_eager_ones(options: dict[str, Any]) -> None:
    layer = small(**options)
    run = compiled(layer)
    for scores in (True, "mean"):
        call = {"attention_mask": KEEP, "return_attention_scores": scores}
        for found, expected in zip(
            gradients(layer, run, **call), gradients(layer, layer, **call), strict=True
        ):
            assert torch.equal(found, expected)


def test_compile_sees_changed_weights_and_folds_once_a_step() -> None:
    kernels._entries.clear()
    layer, twin = small(), small()
    run = compiled(layer)
    for step in range(1, 4):
        for module, function in ((layer, run), (twin, twin)):
            optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
            optimizer.zero_grad()
            function(X).square().sum().backward()
            optimizer.step()
        assert torch.equal(layer.memory, twin.memory)
        assert sum(entry.hosted.folds for entry in kernels._entries.values()) == 2 * step


def test_one_compiled_graph_takes_any_batch_and_steps() -> None:
    layer = small()
    graphs = Counter()

    def backend(graph: Any, inputs: Any) -> Any:
        graphs["made"] += 1
        return graph.forward

    run = compiled(layer, backend=backend, dynamic=True)
    for shape in ((2, 3), (4, 5), (7, 9), (32, 10)):
        x = torch.randn(*shape, 6)
        assert torch.equal(run(x), layer(x))
    assert graphs["made"] == 1


def test_compiling_equal_layers_one_by_one_makes_one_graph() -> None:
    graphs = Counter()

    def backend(graph: Any, inputs: Any) -> Any:
        graphs["made"] += 1
        return graph.forward

    layers = [MemoryAugmentedAttention(6, 5, 2) for _ in range(10)]
    for layer in layers:
        layer.compile(fullgraph=True, backend=backend)
        layer(X)
    assert graphs["made"] == 1


def test_compiled_dropout_follows_the_seed() -> None:
    layer = small(dropout=0.5)
    run = compiled(layer)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(gradients(layer, run))
    for first, second in zip(results[0], results[1], strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(results[0][0], results[2][0])
    assert not torch.equal(run(X), run(X))
    # The gradient belongs to the same dropout, since the loss is linear in the output kernel.
    torch.manual_seed(1)
    layer.zero_grad()
    y = run(X)
    y.sum().backward()
    read = (y - X - layer.output.bias).sum()
    torch.testing.assert_close((layer.output.kernel * layer.output.kernel.grad).sum(), read)


def test_autocast_and_inputs_without_a_batch_axis_compile() -> None:
    layer = small()
    run = compiled(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(run(X.bfloat16()), layer(X.bfloat16()))
    assert torch.equal(run(X[0]), layer(X[0]))


def test_half_precision_compiles() -> None:
    layer = small().bfloat16()
    torch.testing.assert_close(compiled(layer)(X.bfloat16()), layer(X.bfloat16()))


@pytest.mark.parametrize(
    ("use_bias", "scores", "needs_x"),
    pairwise([True, False], ["none", "each", "mean"], [True, False]),
)
def test_the_operators_pass_opcheck(use_bias: bool, scores: str, needs_x: bool) -> None:
    layer = small(use_bias=use_bias, dropout=0.3)
    tensors = [t if t is None else t.detach().requires_grad_() for t in layer._weights()]
    seed = torch.tensor([5])
    call = [KEEP, None, KEEP[:, 0].contiguous(), seed, True, 2, 1, True, False, 0.3, True, scores]
    x = X.clone().requires_grad_()
    torch.library.opcheck(torch.ops.memattn.attention_v2.default, (x, *tensors, *call))
    grad_scores = {"none": None, "each": torch.randn(2, 2, 3, 5), "mean": torch.randn(2, 3, 5)}
    detached = [t if t is None else t.detach() for t in tensors]
    torch.library.opcheck(
        torch.ops.memattn.attention_backward_v2.default,
        (torch.randn_like(X), grad_scores[scores], needs_x, X, *detached, *call),
    )


def test_an_exported_program_holds_the_operator_and_is_saved(tmp_path: Path) -> None:
    layer = small()
    model = nn.Sequential(nn.Linear(6, 6), layer)
    dims = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model, (X,), dynamic_shapes=dims)
    assert [n.target for n in program.graph.nodes].count(
        torch.ops.memattn.attention_v2.default
    ) == 1
    x = torch.randn(5, 4, 6)
    assert torch.equal(program.module()(x), model(x))

    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.equal(loaded(x), model(x))


def test_decompositions_leave_only_pytorchs_operators() -> None:
    layer = small(dropout=0.5).eval()
    call = {"attention_mask": KEEP, "return_attention_scores": True}
    program = torch.export.export(layer, (X,), call).run_decompositions(decompositions())
    names = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert not any("memattn" in name for name in names)
    for found, expected in zip(program.module()(X, **call), layer(X, **call), strict=True):
        torch.testing.assert_close(found, expected, rtol=3e-6, atol=3e-6)


def run_onnx(file: Path, **inputs: Any) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})


ONNX_CALLS = {
    "plain": {},
    "masks": {
        "attention_mask": KEEP,
        "query_mask": torch.tensor([[True, True, False], [True, True, True]]),
        "value_mask": KEEP[:, 0].contiguous(),
        "use_causal_mask": True,
        "return_attention_scores": True,
    },
}


PROJECTED = {"key_dim": 1, "value_dim": 2}
# Each route and each call once; all combinations in the long form.
ONNX_CASES = (
    list(itertools.product([{}, PROJECTED], ONNX_CALLS))
    if LONG
    else [({}, "masks"), (PROJECTED, "plain")]
)


# PyTorch warns if an argument is not a tensor, such as use_causal_mask.
@pytest.mark.filterwarnings("ignore:# ONNX model has different number of inputs:UserWarning")
@pytest.mark.parametrize(("options", "call"), ONNX_CASES)
def test_the_onnx_export_gives_the_results_of_the_module(
    options: dict[str, Any], call: str, tmp_path: Path
) -> None:
    layer = small(**options).eval()
    kwargs = ONNX_CALLS[call]
    tensors = {k: v for k, v in kwargs.items() if isinstance(v, torch.Tensor)}
    file = tmp_path / "layer.onnx"
    batch, steps = torch.export.Dim("batch"), torch.export.Dim("steps")
    shapes = {"x": {0: batch, 1: steps}}
    for name, tensor in tensors.items():
        has_steps = tensor.dim() == 3 or name == "query_mask"
        shapes[name] = {0: batch, 1: steps} if has_steps else {0: batch}
    for name in kwargs.keys() - tensors.keys():
        shapes[name] = None
    torch.onnx.export(layer, (X,), file, kwargs=kwargs, dynamic_shapes=shapes, dynamo=True)
    model = onnx.load(file)
    onnx.checker.check_model(model)
    assert {domain.domain for domain in model.opset_import} <= {"", "pkg.onnxscript.torch_lib"}
    assert {node.domain for node in model.graph.node} == {""}
    if not options:  # folded at the export, so two products are left
        assert sum(node.op_type in ("MatMul", "Gemm") for node in model.graph.node) == 2

    x = torch.randn(4, 2, 6)
    grown = {n: t.repeat(2, *(1,) * (t.dim() - 1)) for n, t in tensors.items()}
    grown = {n: t[:, :2] if n != "value_mask" else t for n, t in grown.items()}
    expected = layer(x, **{**kwargs, **grown})
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = run_onnx(file, x=x, **grown)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=3e-6, atol=3e-6)


def test_an_exported_program_converts_to_onnx(tmp_path: Path) -> None:
    layer = small().eval()
    file = tmp_path / "layer.onnx"
    program = torch.export.export(layer, (X,)).run_decompositions(decompositions())
    torch.onnx.export(program, f=file, dynamo=True)
    np.testing.assert_allclose(
        run_onnx(file, x=X)[0], layer(X).detach().numpy(), rtol=3e-6, atol=3e-6
    )


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # about the checks of shapes
def test_a_traced_module_holds_pytorchs_own_operators() -> None:
    layer = small().eval()
    traced = torch.jit.trace(layer, (X,), check_trace=False)
    assert "einsum" in str(traced.inlined_graph)
    other = torch.randn(5, 4, 6)
    torch.testing.assert_close(traced(other), layer(other), rtol=3e-6, atol=3e-6)
