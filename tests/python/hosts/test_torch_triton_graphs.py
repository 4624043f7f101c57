"""The Triton kernels in graphs of torch.compile and torch.export, and compiled for GPUs."""

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from memattn.torch import MemoryAugmentedAttention

from ..sampling import LONG
from .torch_triton import draw, every_mask, on_triton, results

# PyTorch's exporters and compiler use deprecated functions of PyTorch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.*:FutureWarning"),
]
X, GRAD = draw(2, 3, 6), draw(2, 3, 6, seed=1)
NEITHER = {"use_bias": False, "residual": False}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()


def compiled(layer: MemoryAugmentedAttention, **options: Any) -> Any:
    return torch.compile(layer, fullgraph=True, **{"backend": "aot_eager", **options})


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


# Each value of an axis once; all combinations in the long form.
COMPILED_CASES = (
    list(itertools.product([{}, NEITHER], [False, True, "mean"]))
    if LONG
    else [({}, False), (NEITHER, True), ({}, "mean")]
)


@pytest.mark.parametrize(("options", "scores"), COMPILED_CASES)
def test_compiled_results_and_gradients_equal_eager_ones(
    options: dict[str, Any], scores: Any
) -> None:
    layer = on_triton(6, 5, 2, **options)
    run = compiled(layer)
    for call in ({}, every_mask(2, 3, 5)):
        call = {**call, "return_attention_scores": scores}
        equal(results(layer, X, GRAD, run, **call), results(layer, X, GRAD, **call))
    with torch.no_grad():
        assert torch.equal(run(X), layer(X))


def operators(layer: MemoryAugmentedAttention, run: Any = None) -> Counter:
    names: Counter = Counter()

    def backend(graph: Any, inputs: Any) -> Any:
        names.update(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    torch.compile(layer, fullgraph=True, backend=backend)(X)
    return names


def test_the_graph_holds_the_operator_unless_plain_is_forced() -> None:
    layer = on_triton(6, 5, 2)
    assert operators(layer)["memattn.triton_attention_v1"] == 1
    torch._dynamo.reset()
    layer.backend = "plain"
    assert not any("memattn" in name for name in operators(layer))


def test_compiled_dropout_follows_the_seed() -> None:
    layer = on_triton(6, 5, 2, dropout=0.5).bfloat16()
    run = compiled(layer)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(results(layer, X.bfloat16(), GRAD, run))
    equal(found[0], found[1])
    assert not torch.equal(found[0]["y"], found[2]["y"])
    # The gradient belongs to the same dropout, since y is linear in the output kernel.
    layer = on_triton(6, 5, 2, dropout=0.5)
    y = compiled(layer)(X)
    y.sum().backward()
    read = (y - X - layer.output.bias).sum()
    torch.testing.assert_close((layer.output.kernel * layer.output.kernel.grad).sum(), read)


def test_compile_sees_changed_weights() -> None:
    layer, twin = on_triton(6, 5, 2), on_triton(6, 5, 2)
    run = compiled(layer)
    for _ in range(3):
        for module, function in ((layer, run), (twin, twin)):
            optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
            optimizer.zero_grad()
            function(X).square().sum().backward()
            optimizer.step()
        assert torch.equal(layer.memory, twin.memory)
        with torch.no_grad():
            assert torch.equal(run(X), twin(X))


def test_one_compiled_graph_takes_any_batch_and_steps() -> None:
    layer = on_triton(6, 5, 2)
    graphs: Counter = Counter()

    def backend(graph: Any, inputs: Any) -> Any:
        graphs["made"] += 1
        return graph.forward

    run = compiled(layer, backend=backend, dynamic=True)
    for shape in ((2, 3), (4, 5), (7, 9)):
        x = draw(*shape, 6)
        assert torch.equal(run(x), layer(x))
    assert graphs["made"] == 1


def test_an_exported_program_has_only_pytorchs_operators() -> None:
    layer = on_triton(6, 5, 2)
    program = torch.export.export(layer, (X,))
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not any("triton" in name for name in names)
    torch.testing.assert_close(program.module()(X), layer(X))


def program(name: str, *arguments: str) -> Any:
    """Run a program in this folder without Triton's interpreter, and return its output."""
    path = Path(__file__).with_name(name)
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    result = subprocess.run(
        [sys.executable, path, *arguments], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def test_a_compiler_sees_the_kernels_and_their_outputs() -> None:
    """Graphs traced for a GPU hold the kernels themselves, not an opaque operator."""
    forward, backward = program("triton_graph.py")
    assert forward == [["forward_kernel", ["lse_ptr", "y_ptr"]], ["scores_kernel", ["scores_ptr"]]]
    assert backward == [
        ["tokens_kernel", ["delta_ptr", "dx_ptr"]],
        ["weights_kernel", ["da_ptr", "db_ptr", "dc_ptr"]],
    ]


# Bytes of shared memory per program on sm_80, on sm_90, and the smallest since sm_80.
SHARED = {80: 163 * 1024, 90: 227 * 1024, "small": 99 * 1024}


COMPILED = [
    "64,20,4,bf16,plain,roomy",
    "24,20,3,fp32,all,roomy",
    *(
        [
            "128,128,8,bf16,plain,roomy",
            "128,128,8,bf16,all,small",
        ]
        + [
            f"{sizes},{dtype},{options},{room}"
            for sizes in ("300,40,2", "40,300,2", "256,256,4", "512,512,8", "1000,64,4")
            for dtype in ("bf16", "fp32")
            for options in ("plain", "all")
            for room in ("roomy", "small")
        ]
        if LONG
        else []
    ),
]


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    """What the kernels of all layers need, compiled in one process."""
    found: list[dict[str, Any]] = program("triton_compile.py", *COMPILED)
    return found


@pytest.mark.parametrize("layer", COMPILED)
def test_the_kernels_compile_for_gpus_within_their_limits(
    layer: str, resources: list[dict[str, Any]]
) -> None:
    found = [one for one in resources if one["layer"] == layer]
    kernels = ("forward_kernel", "scores_kernel", "tokens_kernel", "weights_kernel")
    assert [(one["for"], one["kernel"]) for one in found] == [
        (capability, kernel) for capability in (80, 90) for kernel in kernels
    ]
    for one in found:
        assert one["shared"] <= SHARED["small" if "small" in layer else one["for"]], one
        assert one["registers"] <= 255, one
        assert one["spilled"] <= (4096 if "all" in layer else 256), one
        assert one["tensor cores"] == ("fp32" not in layer), one
