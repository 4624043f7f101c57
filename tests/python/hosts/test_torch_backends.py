"""The backend of a call of the PyTorch modules: the choice, its reason, and how to force one."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.func import vmap

from memattn.torch import CrossAttention, MemoryAugmentedAttention
from memattn.torch.backends import choice, triton

from .torch_triton import draw, on_triton

X = draw(2, 3, 6)


def small(**options: Any) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    variables = {**os.environ, "TRITON_INTERPRET": "0", **environment}
    prelude = "import sys, torch\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, env=variables
    )


def test_the_default_backends_on_the_cpu_and_their_reasons() -> None:
    layer = small()
    assert layer.backend == "auto"
    assert layer.explain_backend(X) == ("cpu", "float32 or float64 on the CPU")
    chosen = layer.bfloat16().explain_backend(X.bfloat16())
    assert chosen.backend == "plain"
    assert "no gradients in bfloat16" in chosen.reason
    assert str(chosen) == f"plain: {chosen.reason}"
    with torch.no_grad():
        chosen = layer.explain_backend(X.bfloat16())
    assert chosen == ("cpu", "bfloat16 on the CPU, without gradients")
    layer.dropout = 0.5
    with torch.no_grad():
        chosen = layer.explain_backend(X.bfloat16())
        assert chosen == ("plain", "the kernels of the CPU have no dropout in bfloat16")
        assert layer.eval().explain_backend(X.bfloat16()).backend == "cpu"
        assert small(dropout=0.5).explain_backend(X).backend == "cpu"
    assert "float32 and float64, not torch.float16" in layer.half().explain_backend(X.half()).reason
    with torch.device("meta"):
        chosen = small().explain_backend(X.to("meta"))
    assert chosen.backend == "plain"
    assert "have not been timed" in chosen.reason
    cross = CrossAttention(4, 2, source1_units=6, source2_units=6)
    assert cross.explain_backend(X, X).backend == "cpu"
    assert cross.explain_backend([X, X]).backend == "cpu"


def test_each_backend_can_be_forced() -> None:
    layer = small()
    computed = layer(X)
    layer.backend = "plain"
    assert layer.explain_backend(X) == ("plain", 'backend="plain"')
    torch.testing.assert_close(layer(X), computed)
    assert not type(layer(X).grad_fn).__name__.startswith("_Attention")
    layer.backend = "triton"
    assert layer.explain_backend(X) == ("triton", 'backend="triton"')
    torch.testing.assert_close(layer(X), computed)
    layer.backend = "auto"
    assert torch.equal(layer(X), computed)


@pytest.mark.parametrize("value", ["cpu", "Triton", "", None, 1])
def test_unknown_backends_are_refused(value: Any) -> None:
    layer = small()
    with pytest.raises(ValueError, match='expected "auto", "plain" or "triton"'):
        layer.backend = value
    assert layer.backend == "auto"


def test_copies_and_pickles_keep_the_backend_but_files_do_not() -> None:
    layer = on_triton(6, 5, 2)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.backend == "triton"
        assert torch.equal(twin(X), layer(X))
    assert MemoryAugmentedAttention.from_numpy(layer.to_numpy()).backend == "auto"
    assert list(layer.state_dict()) == list(small().state_dict())


def test_explain_backend_checks_the_inputs() -> None:
    with pytest.raises(ValueError, match=r"x: found shape \(2, 3, 5\)"):
        small().explain_backend(X[..., :5])
    with pytest.raises(TypeError, match="found ndarray, expected a tensor"):
        small().explain_backend(X.numpy())


def test_triton_falls_back_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = on_triton(6, 5, 2).double()
    chosen = layer.explain_backend(X.double())
    assert chosen.backend == "cpu"
    assert "float32, bfloat16 and float16, not torch.float64" in chosen.reason
    projected = on_triton(6, 5, 2, key_dim=1, value_dim=2)
    assert projected.route == "projected"
    chosen = projected.explain_backend(X)
    assert chosen.backend == "cpu"
    assert "projected form is less work" in chosen.reason
    half = projected.bfloat16().explain_backend(X.bfloat16())
    assert half.backend == "plain"
    assert "projected form" in half.reason
    cross = CrossAttention(4, 2, source1_units=6, source2_units=6)
    cross.backend = "triton"
    chosen = cross.explain_backend(X, X)
    assert chosen.backend == "cpu"
    assert "CrossAttention has no Triton kernel" in chosen.reason
    monkeypatch.setattr(triton, "_INSTALLED", False)
    chosen = on_triton(6, 5, 2).explain_backend(X)
    assert chosen.backend == "cpu"
    assert "Triton is not installed" in chosen.reason


def test_transforms_modes_and_subclasses_see_pytorchs_operators() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    layer = on_triton(6, 5, 2)
    chosen = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        chosen.append(layer.explain_backend(x))
        y: torch.Tensor = layer(x)
        return y

    torch.testing.assert_close(vmap(watched)(X), layer(X))
    with FlopCounterMode(display=False) as counter:
        watched(X)
    assert counter.get_total_flops() > 0
    watched(X.as_subclass(type("Tagged", (torch.Tensor,), {})))
    assert [one.backend for one in chosen] == ["plain"] * 3
    for one, reason in zip(chosen, ("transform", "dispatch mode", "Tagged"), strict=True):
        assert reason in one.reason or "subclass" in one.reason


def test_the_environment_variable_replaces_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, backend in (("plain", "plain"), ("triton", "triton"), ("auto", "cpu")):
        monkeypatch.setattr(choice, "_environment", name)
        chosen = small().explain_backend(X)
        assert chosen.backend == backend
        assert name == "auto" or chosen.reason == f"MEMATTN_TORCH_BACKEND={name}"
    monkeypatch.setattr(choice, "_environment", "plain")
    assert (
        on_triton(6, 5, 2).explain_backend(X).backend == "triton"
    )  # the layer's own setting has priority
    monkeypatch.setattr(choice, "_environment", "cuda")
    with pytest.raises(ValueError, match="MEMATTN_TORCH_BACKEND: found 'cuda', expected"):
        small()(X)
    code = (
        "from memattn.torch import MemoryAugmentedAttention\n"
        "print(MemoryAugmentedAttention(6, 5, 2).explain_backend(torch.zeros(1, 6)))"
    )
    result = run(code, MEMATTN_TORCH_BACKEND="plain")
    assert result.stdout == "plain: MEMATTN_TORCH_BACKEND=plain\n", result.stderr


@pytest.mark.parametrize("hidden", [False, True])
def test_triton_is_optional(hidden: bool) -> None:
    """All calls work, and the kernels are not imported before a layer requests them."""
    code = (
        ("sys.modules['triton'] = None\n" if hidden else "")
        + "from memattn.torch import MemoryAugmentedAttention\n"
        "layer = MemoryAugmentedAttention(6, 5, 2, seed=1)\n"
        "x = torch.ones(2, 3, 6)\n"
        "expected = layer(x)\n"
        "assert 'memattn.torch.backends.triton_launch' not in sys.modules\n"
        "assert 'torch._dynamo' not in sys.modules  # the compiler\n"
        "layer.backend = 'triton'\n"
        "assert torch.equal(layer(x), expected)\n"
        "print(layer.explain_backend(x))"
    )
    result = run(code)
    reason = "is not installed" if hidden else "need an NVIDIA GPU, not a tensor on cpu"
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("cpu: float32 or float64 on the CPU; ")
    assert reason in result.stdout


def test_timed_devices_are_in_the_table_of_the_guide() -> None:
    """The list in code and the table of docs/pytorch.md have the same names, with figures."""
    page = (Path(__file__).parents[3] / "docs" / "pytorch.md").read_text()
    table = page.split("<!-- timed devices -->")[1].split("<!-- end -->")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    names = [row.split("|")[1].strip() for row in rows]
    assert [name for name in names if name != "none yet"] == list(triton.TIMED)
    assert all(any(map(str.isdigit, row)) for row in rows if "none yet" not in row)
