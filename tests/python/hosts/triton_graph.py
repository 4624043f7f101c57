"""A program that traces a step as torch.compile does for a GPU, and prints the kernels it finds.

For the graphs of forward and backward, it prints the names of the kernels and of their outputs.
"""

from __future__ import annotations

import json
from typing import Any

import torch
import triton
from torch._functorch.aot_autograd import aot_function
from torch._higher_order_ops.triton_kernel_wrap import kernel_side_table
from torch._subclasses.fake_tensor import FakeTensorMode
from triton.backends.compiler import GPUTarget

from memattn.torch.backends import triton_ops
from memattn.torch.backends.fold import Folded
from memattn.torch.backends.triton_launch import INTERPRETED, Options


class Driver:
    """A driver with a fixed GPU, for which PyTorch asks Triton when it traces a kernel."""

    def get_current_target(self) -> GPUTarget:
        """Return an A100."""
        return GPUTarget("cuda", 80, 32)


def kernels(graph: torch.fx.GraphModule) -> list[Any]:
    """Return the names of the kernels in a graph, each with the names of its outputs."""
    found = []
    for node in graph.graph.nodes:
        if "triton_kernel_wrapper_functional" in str(node.target):
            kernel = kernel_side_table.get_kernel(node.kwargs["kernel_idx"])
            written = sorted(str(user.args[1]) for user in node.users)
            found.append([kernel.fn.__name__, written])
    return found


def main() -> None:
    """Trace the graphs and print their kernels."""
    assert not INTERPRETED
    triton.runtime.driver.set_active(Driver())
    half = torch.bfloat16
    options = Options(
        attention_mask=None,
        query_mask=None,
        value_mask=None,
        dropout_seed=None,
        heads=4,
        use_causal_mask=True,
        first_step=0,
        first_sequence=0,
        residual=True,
        uniform_when_masked=False,
        dropout=0.0,
        scores="mean",
        dtype=half,
        y_dtype=half,
        scores_dtype=half,
    )
    shapes = [(64, 80), (80,), (80, 64), (64,)]
    graphs: list[torch.fx.GraphModule] = []

    def compiler(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def loss(x: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
        y, _, scores = triton_ops.attend(x, Folded(*parts), options)
        return y.float().sum() + scores.float().square().sum()

    with FakeTensorMode():
        x = torch.empty(2, 10, 64, dtype=half, requires_grad=True)
        parts = [torch.empty(shape, requires_grad=True) for shape in shapes]
        aot_function(loss, fw_compiler=compiler, bw_compiler=compiler)(x, *parts).backward()
    print(json.dumps([kernels(graph) for graph in graphs]))


if __name__ == "__main__":
    main()
