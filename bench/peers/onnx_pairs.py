"""CrossAttention and HierarchicalAttention as ONNX graphs, as published and folded by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.pairs import WAYS, PairProblem, Way
from bench.peers import onnx_graph
from bench.peers.onnx_graph import Graph
from bench.problem import Array, Problem


def _published(graph: Graph, prefix: str, x1: str, x2: str, w: Mapping[str, Array]) -> str:
    """Add the layer as Keras' exporters write it; in self-attention x2 is x1, with one Dense."""
    heads, units = w["query.bias"].shape

    def dense(value: str, name: str) -> str:
        kernel, bias = w[f"{name}.kernel"], w[f"{name}.bias"]
        flat = kernel.reshape(-1, units) if name == "output" else kernel.reshape(len(kernel), -1)
        return graph.dense(value, prefix + name, flat, bias.ravel())

    def project(value: str, name: str, order: list[int]) -> str:
        by_head = graph.reshape(dense(value, name), 0, 0, heads, units)
        return graph.add("Transpose", by_head, perm=order)

    s1 = dense(x1, "source1")
    s2 = s1 if x1 == x2 else dense(x2, "source2")
    scale = graph.constant(f"{prefix}scale", np.array(units**-0.5, np.float32))
    query = graph.add("Mul", project(s1, "query", [0, 2, 1, 3]), scale)
    key, value = project(s2, "key", [0, 2, 3, 1]), project(s2, "value", [0, 2, 1, 3])
    scores = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
    read = graph.add("Transpose", graph.add("MatMul", scores, value), perm=[0, 2, 1, 3])
    return dense(graph.reshape(read, 0, 0, heads * units), "output")


def _folded(graph: Graph, prefix: str, x1: str, x2: str, w: Mapping[str, Array], way: Way) -> str:
    """Add the layer in the cheapest way, with the weights that were folded in float64."""

    def flat(name: str) -> Array:
        return w[name].reshape(len(w[name]), -1)

    def constant(name: str, value: Array) -> str:
        return graph.constant(prefix + name, value)

    def dense(value: str, name: str) -> str:
        return graph.dense(value, f"{prefix}{name}", w[f"w{name}"], w[f"b{name}"])

    s1 = dense(x1, "1") if way.dense1 else x1
    s2 = s1 if x1 == x2 and way.dense1 == way.dense2 else dense(x2, "2") if way.dense2 else x2
    if way.left:
        heads, width2 = w["a0"].shape
        query = graph.dense(s1, f"{prefix}query", flat("a"), w["a0"].ravel())
        rows = graph.reshape(query, 0, -1, width2)  # (t, h)
        logits = graph.add("MatMul", rows, graph.add("Transpose", s2, perm=[0, 2, 1]))
        scores = graph.add("Softmax", logits, axis=-1)
    else:
        width2, heads, width1 = w["k"].shape
        keys = graph.add("MatMul", s2, constant("k", flat("k")))
        keys = graph.add("Transpose", graph.reshape(keys, 0, 0, heads, width1), perm=[0, 3, 2, 1])
        steps = graph.steps2
        keys = graph.reshape(keys, 0, 0, heads * steps)  # (F1, (h, s))
        added = graph.add(
            "Transpose", graph.add("MatMul", s2, constant("k0", w["k0"])), perm=[0, 2, 1]
        )
        logits = graph.add("MatMul", s1, keys)
        logits = graph.add("Add", logits, graph.reshape(added, 0, 1, heads * steps))
        scores = graph.add("Softmax", graph.reshape(logits, 0, 0, heads, steps), axis=-1)
    if way.source:
        if not way.left:
            scores = graph.reshape(scores, 0, -1, graph.steps2)
        read = graph.reshape(graph.add("MatMul", scores, s2), 0, graph.steps1, heads * width2)
        units = w["o"].size
        return graph.dense(read, f"{prefix}output", w["c"].reshape(-1, units), w["o"])
    units = w["o"].size
    values = graph.add("MatMul", s2, constant("v", flat("v")))
    values = graph.add("Transpose", graph.reshape(values, 0, 0, heads, units), perm=[0, 2, 1, 3])
    values = graph.reshape(values, 0, heads * graph.steps2, units)
    rows = graph.reshape(scores, 0, 0, heads * graph.steps2)
    return graph.add("Add", graph.add("MatMul", rows, values), constant("o", w["o"]))


def graph_of(problem: Problem | PairProblem, form: str) -> tuple[bytes, dict[str, Array]]:
    """Return the graph of any layer's form, and its inputs."""
    if isinstance(problem, PairProblem):
        return build(problem, form)
    return onnx_graph.build(problem, form)


def build(problem: PairProblem, form: str) -> tuple[bytes, dict[str, Array]]:
    """Return the graph of a form, and its inputs."""
    shape = problem.shape
    graph = Graph(steps1=shape.steps1, steps2=shape.steps2)
    results = []
    sides = [("x1", "x2")] if shape.layer == "cross" else [("x1", "x1"), ("x2", "x2")]
    sets = problem.folded() if form == "folded" else [p.weights for p in problem.attentions()]
    for place, (pair, w) in enumerate(zip(sides, sets, strict=True)):
        prefix = f"attention{place}_"
        if form == "published":
            results.append(_published(graph, prefix, *pair, w))
        else:
            way = WAYS[problem.routes["forward"][place]]
            results.append(_folded(graph, prefix, *pair, w, way))
    last = results[0] if len(results) == 1 else graph.add("Add", *results)
    graph.add("Identity", last, output="y")
    inputs = {"x1": problem.x1, "x2": problem.x2}
    sizes = {name: value.shape for name, value in inputs.items()}
    return graph.model(sizes, problem.grad_y.shape), inputs
