"""CrossAttention and HierarchicalAttention in PyTorch, as published and folded by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name

from bench.pairs import WAYS, PairProblem, Way, attentions, fold


def _dense(x: Any, kernel: Any, bias: Any) -> Any:
    rows = torch.addmm(bias.reshape(-1), x.reshape(-1, x.shape[-1]), kernel.flatten(1))
    return rows.reshape(*x.shape[:2], -1)


def _published(x1: Any, x2: Any, w: Mapping[str, Any]) -> Any:
    """Return the result as published, with the fused attention."""
    heads, units = w["query.bias"].shape
    s1 = _dense(x1, w["source1.kernel"], w["source1.bias"])
    s2 = s1 if x2 is None else _dense(x2, w["source2.kernel"], w["source2.bias"])
    query, key, value = (
        _dense(s, w[f"{name}.kernel"], w[f"{name}.bias"])
        .reshape(s.shape[0], s.shape[1], heads, units)
        .transpose(1, 2)
        for s, name in ((s1, "query"), (s2, "key"), (s2, "value"))
    )
    read = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    return _dense(read, w["output.kernel"].flatten(0, 1), w["output.bias"])


def _folded(x1: Any, x2: Any, w: Mapping[str, Any], way: Way) -> Any:
    """Return the result in the cheapest way, with the weights from `fold`."""
    s1 = _dense(x1, w["w1"], w["b1"]) if way.dense1 else x1
    if x2 is None and way.dense1 == way.dense2:
        s2 = s1
    else:
        x2 = x1 if x2 is None else x2
        s2 = _dense(x2, w["w2"], w["b2"]) if way.dense2 else x2
    batch, steps1, width1 = s1.shape
    _, steps2, width2 = s2.shape
    if way.left and way.source:
        # Rows (t, h) of all heads read one matrix, which holds the keys and the values.
        rows = _dense(s1, w["a"], w["a0"]).reshape(batch, 1, -1, width2)
        tokens = s2[:, None]
        read = F.scaled_dot_product_attention(rows, tokens, tokens, scale=1.0)
        return _dense(read.reshape(batch, steps1, -1), w["c"].flatten(0, 1), w["o"])
    heads = w["k"].shape[1]
    keys = (s2.reshape(-1, width2) @ w["k"].flatten(1)).reshape(batch, steps2, heads, width1)
    keys = keys.permute(0, 3, 2, 1).reshape(batch, width1, -1)
    added = (s2 @ w["k0"]).transpose(1, 2).reshape(batch, 1, -1)
    logits = torch.baddbmm(added, s1, keys).reshape(batch, steps1, heads, steps2)
    scores = torch.softmax(logits, -1)
    if way.source:
        read = scores.reshape(batch, -1, steps2) @ s2
        return _dense(read.reshape(batch, steps1, -1), w["c"].flatten(0, 1), w["o"])
    values = (s2.reshape(-1, width2) @ w["v"].flatten(1)).reshape(batch, steps2, heads, -1)
    values = values.transpose(1, 2).reshape(batch, heads * steps2, -1)
    return torch.baddbmm(w["o"], scores.reshape(batch, steps1, -1), values)


def forward(problem: PairProblem, form: str) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """Return a function of both inputs and the constant parts, these parts, and the inputs."""
    one_source = problem.shape.layer == "hierarchical"
    if form == "published":
        sets: list[dict[str, Any]] = [part.weights for part in problem.attentions()]
        layers: list[Callable[..., Any]] = [_published for _ in sets]
    else:
        sets = list(problem.folded())
        layers = [
            lambda x1, x2, w, way=WAYS[route]: _folded(x1, x2, w, way)
            for route in problem.routes["forward"]
        ]
    names = [list(one) for one in sets]

    def run(x1: Any, x2: Any, *parts: Any) -> Any:
        rest, results = list(parts), []
        for place, (layer, keys) in enumerate(zip(layers, names, strict=True)):
            w = dict(zip(keys, rest[: len(keys)], strict=True))
            rest = rest[len(keys) :]
            pair = ((x1, x2)[place], None) if one_source else (x1, x2)
            results.append(layer(*pair, w))
        return sum(results[1:], results[0])

    parts = [torch.from_numpy(value.copy()) for one in sets for value in one.values()]
    return run, parts, [torch.from_numpy(problem.x1), torch.from_numpy(problem.x2)]


def step(problem: PairProblem, form: str) -> tuple[Callable[..., Any], list[Any]]:
    """Return a function of both inputs and all weights, and those arrays."""
    shape, names = problem.shape, list(problem.weights)

    def run(x1: Any, x2: Any, *weights: Any) -> Any:
        results = []
        parts = attentions(shape, x1, x2, dict(zip(names, weights, strict=True)))
        for part, route in zip(parts, problem.routes["step"], strict=True):
            second = None if part.one_source else part.x2
            if form == "published":
                results.append(_published(part.x1, second, part.weights))
            else:
                folded = fold(part.weights, WAYS[route], torch.einsum)
                results.append(_folded(part.x1, second, folded, WAYS[route]))
        return sum(results[1:], results[0])

    return run, [problem.x1, problem.x2, *problem.weights.values()]
