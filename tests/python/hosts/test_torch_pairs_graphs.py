"""The modules of two inputs under torch.compile, torch.export and ONNX, and their operators."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from memattn.torch import decompositions, kernels, pair_plain

from .. import pairs
from ..pairs import KINDS, both
from ..sampling import LONG, pairwise
from .torch_pairs import every_mask, flat, inputs, small, tensors

# PyTorch's exporters and compiler use deprecated functions of PyTorch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.*:FutureWarning"),
]
OPERATORS = {"cross": "cross_attention_v1", "hierarchical": "hierarchical_attention_v1"}
CLOSE = {"rtol": 3e-6, "atol": 3e-6}
FOLDED = ("left_read_dense1", "right_value")  # routes with folded weights


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()


def compiled(layer: Any, **options: Any) -> Any:
    return torch.compile(layer, fullgraph=True, **{"backend": "aot_eager", **options})


def results(kind: str, layer: Any, run: Any, **call: Any) -> list[torch.Tensor]:
    """Returns outputs and all gradients."""
    layer.zero_grad()
    leaves = [x.clone().requires_grad_() for x in inputs(kind)]
    outputs = flat(run(*leaves, **call))
    sum(output.square().sum() for output in outputs).backward()
    return [*outputs, *(x.grad for x in leaves), *(p.grad.clone() for p in layer.parameters())]


def assert_equal(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@both
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_results_and_gradients_equal_eager_ones(kind: str, backend: str) -> None:
    layer = small(kind)
    run = compiled(layer, backend=backend)
    for call in ({}, tensors(every_mask(kind, *inputs(kind)))):
        assert_equal(results(kind, layer, run, **call), results(kind, layer, layer, **call))
    with torch.no_grad():
        assert torch.equal(run(*inputs(kind)), layer(*inputs(kind)))


@pytest.mark.parametrize(
    ("kind", "options", "scores"),
    pairwise(KINDS, [{}, {"use_bias": False}, {"fully_masked": "uniform"}], [True, "mean"]),
)
def test_compiled_scores_equal_eager_ones(kind: str, options: dict[str, Any], scores: Any) -> None:
    layer = small(kind, **options)
    call = {**tensors(every_mask(kind, *inputs(kind))), "return_attention_scores": scores}
    found = results(kind, layer, compiled(layer), **call)
    assert_equal(found, results(kind, layer, layer, **call))


@both
def test_compile_sees_changed_weights_and_routes(kind: str) -> None:
    kernels._entries.clear()
    layer, twin = small(kind), small(kind)
    run = compiled(layer)
    for step in range(1, 4):
        for module, function in ((layer, run), (twin, twin)):
            optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
            optimizer.zero_grad()
            function(*inputs(kind)).square().sum().backward()
            optimizer.step()
        assert_equal(list(layer.parameters()), list(twin.parameters()))
        assert sum(entry.hosted.folds for entry in kernels._entries.values()) == 2 * step
    for route in ("as_written", "right_value"):
        layer.route = twin.route = route
        assert torch.equal(run(*inputs(kind)), twin(*inputs(kind)))


def test_the_mark_of_a_constant_is_pytorchs() -> None:
    marked = torch.compiler.assume_constant_result(lambda: None)
    assert vars(pair_plain._cheapest) == vars(marked) != {}


@both
def test_one_compiled_graph_takes_any_batch_and_steps(kind: str) -> None:
    layer = small(kind)
    graphs = Counter()

    def backend(graph: Any, _: Any) -> Any:
        graphs["made"] += 1
        return graph.forward

    run = compiled(layer, backend=backend, dynamic=True)
    for batch, steps, keys in ((7, 9, 11), (4, 12, 8), (9, 7, 7), (32, 10, 12)):
        given = inputs(kind, batch=batch, steps=steps, keys=keys)
        assert torch.equal(run(*given), layer(*given))
    assert graphs["made"] == 1


@both
def test_compiled_dropout_follows_the_seed(kind: str) -> None:
    layer = small(kind, dropout=0.5)
    run = compiled(layer)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(results(kind, layer, run))
    assert_equal(found[0], found[1])
    assert not torch.equal(found[0][0], found[2][0])
    torch.manual_seed(1)
    assert_equal(results(kind, layer, layer), found[0])


@both
def test_half_precision_compiles(kind: str) -> None:
    """A second batch makes a graph for any batch; the short form tries that with one layer."""
    layer = small(kind).bfloat16()
    run = compiled(layer)
    for batch in (3, 5) if LONG or kind == "cross" else (3,):
        given = [x.bfloat16() for x in inputs(kind, batch=batch)]
        torch.testing.assert_close(run(*given), layer(*given))


@both
def test_autocast_and_inputs_without_a_batch_axis_compile(kind: str) -> None:
    layer = small(kind)
    run = compiled(layer)
    x1, x2 = inputs(kind)
    with torch.autocast("cpu", torch.bfloat16):
        half = (x1.bfloat16(), x2.bfloat16())
        assert torch.equal(run(*half), layer(*half))
    assert torch.equal(run(x1[0], x2[0]), layer(x1[0], x2[0]))


@pytest.mark.parametrize(
    ("kind", "use_bias", "scores", "needs_x1"),
    pairwise(KINDS, [True, False], ["none", "each", "mean"], [True, False]),
)
def test_the_operators_pass_opcheck(kind: str, use_bias: bool, scores: str, needs_x1: bool) -> None:
    layer = small(kind, use_bias=use_bias, dropout=0.3)
    x1, x2 = inputs(kind)
    keep = torch.rand(3, 7, x2.shape[1], generator=torch.Generator().manual_seed(1)) < 0.6
    step_mask = torch.rand(3, x2.shape[1], generator=torch.Generator().manual_seed(1)) < 0.6
    place = [2, 1] if kind == "cross" else [1]
    call = [keep, None, step_mask, torch.tensor([5]), True, *place, False, 0.3, True, scores]
    call.append("auto")
    weights = [t if t is None else t.detach().requires_grad_() for t in layer._weights()]
    leaves = [x.clone().requires_grad_() for x in (x1, x2)]
    operator = getattr(torch.ops.memattn, OPERATORS[kind]).default
    torch.library.opcheck(operator, (*leaves, *weights, *call))
    shape = {"none": None, "each": (3, 2, 7, x2.shape[1]), "mean": (3, 7, x2.shape[1])}[scores]
    count = 1 if kind == "cross" else 2
    grads = [None if shape is None else torch.randn(shape) for _ in range(count)]
    detached = [t if t is None else t.detach() for t in layer._weights()]
    backward = getattr(torch.ops.memattn, OPERATORS[kind].replace("_v1", "_backward_v1")).default
    given = (torch.randn(3, 7, 6), *grads, needs_x1, True, x1, x2, *detached, *call)
    torch.library.opcheck(backward, given)


def dynamic(kind: str) -> tuple[dict[int, Any], ...]:
    batch, steps, keys = (torch.export.Dim(name) for name in ("batch", "steps", "keys"))
    return {0: batch, 1: steps}, {0: batch, 1: keys if kind == "cross" else steps}


@both
def test_an_exported_program_holds_the_operator_and_is_saved(kind: str, tmp_path: Path) -> None:
    layer = small(kind)
    shapes = dict(zip(pairs.INPUTS[kind], dynamic(kind), strict=True))
    program = torch.export.export(layer, tuple(inputs(kind)), dynamic_shapes=shapes)
    operator = getattr(torch.ops.memattn, OPERATORS[kind]).default
    assert [n.target for n in program.graph.nodes].count(operator) == 1
    given = inputs(kind, batch=5, steps=4, keys=9)
    assert torch.equal(program.module()(*given), layer(*given))

    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    assert torch.equal(loaded(*given), layer(*given))


@both
@pytest.mark.parametrize("scores", [False, True])
def test_decompositions_leave_only_pytorchs_operators(kind: str, scores: bool) -> None:
    layer = small(kind, dropout=0.5).eval()
    given = tuple(inputs(kind))
    call = {**tensors(every_mask(kind, *given)), "return_attention_scores": scores}
    program = torch.export.export(layer, given, call).run_decompositions(decompositions())
    names = {str(n.target) for n in program.graph.nodes if n.op == "call_function"}
    assert not any("memattn" in name for name in names)
    found, expected = flat(program.module()(*given, **call)), flat(layer(*given, **call))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


# Each layer with and without masks, and each route once; all of them in the long form.
ONNX_CASES = (
    list(itertools.product(KINDS, [False, True], ["auto", "as_written", *FOLDED]))
    if LONG
    else [
        ("cross", False, "right_value"),
        ("cross", True, "left_read_dense1"),
        ("hierarchical", False, "auto"),
        ("hierarchical", True, "as_written"),
    ]
)


# PyTorch warns if an argument is not a tensor, such as use_causal_mask.
@pytest.mark.filterwarnings("ignore:# ONNX model has different number of inputs:UserWarning")
# It also warns if two inputs share an axis.
@pytest.mark.filterwarnings("ignore:# The axis name.* will not be used:UserWarning")
@pytest.mark.parametrize(("kind", "masked", "route"), ONNX_CASES)
def test_the_onnx_export_gives_the_results_of_the_module(
    kind: str, masked: bool, route: str, tmp_path: Path
) -> None:
    layer = small(kind).eval()
    layer.route = route
    first, second = dynamic(kind)
    given = inputs(kind)
    call: dict[str, Any] = {}
    shapes: dict[str, Any] = dict(zip(pairs.INPUTS[kind], (first, second), strict=True))
    if masked:
        call = tensors(every_mask(kind, *given))
        for name, value in call.items():
            if not isinstance(value, torch.Tensor):
                shapes[name] = None
            elif value.dim() == 3:
                shapes[name] = {**first, 2: second[1]}
            else:
                shapes[name] = second if name in ("value_mask", "long_mask") else first
        call["return_attention_scores"] = True
        shapes["return_attention_scores"] = None
    file = tmp_path / "layer.onnx"
    torch.onnx.export(layer, tuple(given), file, kwargs=call, dynamic_shapes=shapes, dynamo=True)
    model = onnx.load(file)
    onnx.checker.check_model(model)
    assert {node.domain for node in model.graph.node} == {""}

    given = inputs(kind, batch=4, steps=5, keys=3)
    call = {
        name: value if isinstance(value, bool) else torch.from_numpy(value)
        for name, value in (every_mask(kind, *given) if masked else {}).items()
    }
    expected = flat(layer(*given, **call, return_attention_scores=masked))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    masks = {n: m.numpy() for n, m in call.items() if isinstance(m, torch.Tensor)}
    named = {n: x.numpy() for n, x in zip(pairs.INPUTS[kind], given, strict=True)}
    found = session.run(None, {**named, **masks})
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), **CLOSE)
    if (kind, route) == ("cross", "right_value"):
        assert_only_folded_weights(model)


def assert_only_folded_weights(model: onnx.ModelProto) -> None:
    """Check that a file of the route right_value holds A and C, and no Dense kernel."""
    sizes = sorted(np.prod(tensor.dims) for tensor in model.graph.initializer)
    products = 2 * 5 * 3, 2 * 3 * 6  # A (H, F1, F2) and C (H, F2, U)
    for product in products:
        assert product in sizes
    assert 6 * 2 * 6 not in sizes  # no kernel of query, key, value or output


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # about the checks of shapes
@both
def test_a_traced_module_holds_pytorchs_own_operators(kind: str) -> None:
    layer = small(kind).eval()
    traced = torch.jit.trace(layer, tuple(inputs(kind)), check_trace=False)
    assert "einsum" in str(traced.inlined_graph)
    given = inputs(kind, batch=5, steps=4, keys=2)
    torch.testing.assert_close(traced(*given), layer(*given), **CLOSE)
