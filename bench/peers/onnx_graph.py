"""The layer as an ONNX graph, as published and folded by hand, for runtimes that read ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.problem import Array, Problem

OPSET = 17


class Graph:
    """Collects nodes and constants. Code that builds a graph may read the steps."""

    def __init__(self, steps1: int = 0, steps2: int = 0) -> None:
        self.steps1, self.steps2 = steps1, steps2
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Array | np.ndarray) -> str:
        """Add a constant and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def reshape(self, value: str, *sizes: int) -> str:
        """Add a Reshape; 0 keeps a size, -1 stands for the rest."""
        shape = self.constant(f"shape_{len(self.nodes)}", np.array(sizes, np.int64))
        return self.add("Reshape", value, shape)

    def dense(self, value: str, name: str, kernel: Array, bias: Array) -> str:
        """Add a product with a constant matrix, and a constant bias."""
        product = self.add("MatMul", value, self.constant(f"{name}_kernel", kernel))
        return self.add("Add", product, self.constant(f"{name}_bias", bias))

    def model(self, inputs: Mapping[str, tuple[int, ...]], output: tuple[int, ...]) -> bytes:
        """Return the graph in ONNX's format; `inputs` has the names and shapes of its inputs."""
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
            for name, sizes in inputs.items()
        ]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, output)
        graph = helper.make_graph(self.nodes, "layer", values, [y], self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content


def published(problem: Problem) -> bytes:
    """Return Z = X + MultiHeadAttention(X, M, M), input (B, T, U), as Keras' exporters write it.

    The memory and its projections are constants, and it is not tiled over the batch. So a runtime
    may compute keys and values when it loads the graph, as ONNX Runtime and OpenVINO do.
    """
    batch, steps, units, slots, heads = problem.shape.sizes
    weights = problem.weights
    graph = Graph()

    def project(value: str, name: str, length: int) -> str:
        kernel = weights[f"{name}.kernel"].reshape(units, -1)
        flat = graph.dense(value, name, kernel, weights[f"{name}.bias"].ravel())
        return graph.reshape(flat, -1, length, heads, units)

    memory = graph.constant("memory", weights["memory"][None])
    query = graph.add("Transpose", project("x", "query", steps), perm=[0, 2, 1, 3])
    scale = graph.constant("scale", np.array(units**-0.5, np.float32))
    query = graph.add("Mul", query, scale)
    key = graph.add("Transpose", project(memory, "key", slots), perm=[0, 2, 3, 1])
    value = graph.add("Transpose", project(memory, "value", slots), perm=[0, 2, 1, 3])
    scores = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
    read = graph.add("Transpose", graph.add("MatMul", scores, value), perm=[0, 2, 1, 3])
    kernel = weights["output.kernel"].reshape(-1, units)
    read = graph.reshape(read, batch, steps, heads * units)
    graph.add("Add", "x", graph.dense(read, "output", kernel, weights["output.bias"]), output="y")
    return graph.model({"x": (batch, steps, units)}, (batch, steps, units))


def folded(problem: Problem) -> bytes:
    """Return two matrix products with a softmax per head between them, input (N, U)."""
    shape = problem.shape
    arrays = problem.folded()
    graph = Graph()
    logits = graph.dense("x", "logits", arrays["a"], arrays["c"])
    by_head = graph.reshape(logits, shape.tokens, shape.num_heads, shape.memory_size)
    scores = graph.add("Softmax", by_head, axis=-1)
    flat = graph.reshape(scores, shape.tokens, shape.num_heads * shape.memory_size)
    graph.add("Add", "x", graph.dense(flat, "read", arrays["b"], arrays["bo"]), output="y")
    return graph.model({"x": (shape.tokens, shape.units)}, (shape.tokens, shape.units))


def build(problem: Problem, form: str) -> tuple[bytes, dict[str, Array]]:
    """Return the graph of a form, and its input."""
    if form == "published":
        return published(problem), {"x": problem.x}
    return folded(problem), {"x": problem.x.reshape(problem.shape.tokens, -1)}
