"""The layers of two inputs as ONNX graphs, folded where that saves work at any length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.onnx_model import OnnxModel
from memattn.convert.weights import CROSS, HIERARCHICAL

# For each attention: the prefix of its weights, its inputs, and the Dense layers of the inputs.
_ATTENTIONS = {
    CROSS.name: [("", ("x1", "x2"), ("source1", "source2"))],
    HIERARCHICAL.name: [
        (f"{side}.", (side, side), (f"{side}.dense", f"{side}.dense")) for side in ("short", "long")
    ],
}


def folded_attention(
    weights: Mapping[str, Array], prefix: str, denses: tuple[str, str]
) -> dict[str, Array]:
    """Return the matrices of one attention of X1 to X2, heads side by side, in float64.

    The queries are X1·q + qb. The keys are X2 itself if F2 is at most D, else X2·k. The values are
    X2 itself if F2 is at most Dv, else X2·v. The output is the values read, times o, plus ob. Terms
    of the logits that are the same for all keys are left out, since the softmax cancels them.

    Returns
    -------
    dict of arrays
        ``q`` (F1, H·E) and ``qb`` (H·E), where E is F2 or D; ``k`` (F2, H·D) if E is D; ``o``
        (H·G, U) and ``ob`` (U), where G is F2 or Dv; ``v`` (F2, H·Dv) if G is Dv.
    """
    wide = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}

    def kernel(name: str) -> Any:
        return wide[f"{name}.kernel"]

    def bias(name: str) -> Any:
        return wide.get(f"{name}.bias", np.zeros(kernel(name).shape[1:]))

    first, second = denses
    query, key, value = (kernel(f"{prefix}{role}") for role in ("query", "key", "value"))
    output = kernel(f"{prefix}output")
    queries = np.einsum("fu,uhd->fhd", kernel(first), query) / np.sqrt(query.shape[2])
    shift = np.einsum("u,uhd->hd", bias(first), query) + bias(f"{prefix}query")
    shift = shift / np.sqrt(query.shape[2])
    keys = np.einsum("fu,uhd->fhd", kernel(second), key)
    values = np.einsum("fu,uhd->fhd", kernel(second), value)
    constant = np.einsum("u,uhd->hd", bias(second), value) + bias(f"{prefix}value")
    ob = np.einsum("hd,hdu->u", constant, output)
    if f"{prefix}output.bias" in wide:
        ob = ob + wide[f"{prefix}output.bias"]
    width = len(keys)
    found: dict[str, Any] = {"ob": ob}
    if width <= query.shape[2]:
        found |= {"q": np.einsum("fhd,ghd->fhg", queries, keys)}
        found |= {"qb": np.einsum("hd,ghd->hg", shift, keys)}
    else:
        found |= {"q": queries, "qb": shift, "k": keys}
    if width <= value.shape[2]:
        found |= {"o": np.einsum("fhd,hdu->hfu", values, output)}
    else:
        found |= {"v": values, "o": output}
    rows = {"q": len(queries), "k": width, "v": width}
    flat = {"qb": (-1,), "ob": (-1,), "o": (-1, output.shape[2])}
    dtype = weights[f"{prefix}query.kernel"].dtype
    return {
        name: array.reshape(flat.get(name, (rows.get(name, 1), -1))).astype(dtype)
        for name, array in found.items()
    }


def pair_onnx_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return the graph of a layer of two inputs, without masks and dropout.

    The inputs are ``x1`` (batch, steps1, F1) and ``x2`` (batch, steps2, F2) of a CrossAttention, or
    ``short`` and ``long`` (batch, steps, F) of a HierarchicalAttention. The output is ``y``.

    Raises
    ------
    ValueError
        If the folded matrices are too large for an ONNX file.
    """
    kind = CROSS if "query.kernel" in weights else HIERARCHICAL
    attentions = _ATTENTIONS[kind.name]
    parts = {prefix: folded_attention(weights, prefix, denses) for prefix, _, denses in attentions}
    arrays = {f"{prefix}{n}": array for prefix, one in parts.items() for n, array in one.items()}
    model = OnnxModel(config, arrays)
    results = [
        _add_attention(model, parts[prefix], prefix, inputs, config["num_heads"])
        for prefix, inputs, _ in attentions
    ]
    if len(results) == 1:
        model.add("Identity", results[0], output="y")
    else:
        model.add("Add", *results, output="y")
    widths = [weights[f"{name}.kernel"].shape[0] for name in _denses_of(kind.name)]
    names = ("x1", "x2") if kind is CROSS else ("short", "long")
    steps = ("steps1", "steps2") if kind is CROSS else ("steps", "steps")
    shapes = {
        name: ("batch", step, width) for name, step, width in zip(names, steps, widths, strict=True)
    }
    name = "cross_attention" if kind is CROSS else "hierarchical_attention"
    return model.file_bytes(name, shapes, ("batch", steps[0], config["units"]))


def _denses_of(kind: str) -> tuple[str, str]:
    """Return the names of the Dense layers of the first and the second input."""
    return _ATTENTIONS[kind][0][2][0], _ATTENTIONS[kind][-1][2][1]


def _add_attention(
    model: OnnxModel, part: Mapping[str, Array], prefix: str, inputs: tuple[str, str], heads: int
) -> str:
    """Add the nodes of one attention and return the name of its result (batch, T1, U)."""
    first, second = inputs

    def by_head(name: str, heads: int, width: int, order: list[int]) -> str:
        split = model.add("Reshape", name, model.sizes(0, 0, heads, width))
        return model.add("Transpose", split, perm=order)

    compared = part["q"].shape[1] // heads
    queries = model.add("Add", model.add("MatMul", first, f"{prefix}q"), f"{prefix}qb")
    keys, key_heads = second, 1
    if "k" in part:
        keys, key_heads = model.add("MatMul", second, f"{prefix}k"), heads
    values, value_heads = second, 1
    if "v" in part:
        values, value_heads = model.add("MatMul", second, f"{prefix}v"), heads
    read_width = len(part["o"]) // heads
    logits = model.add(
        "MatMul",
        by_head(queries, heads, compared, [0, 2, 1, 3]),
        by_head(keys, key_heads, compared, [0, 2, 3, 1]),
    )
    scores = model.add("Softmax", logits, axis=-1)
    read = model.add("MatMul", scores, by_head(values, value_heads, read_width, [0, 2, 1, 3]))
    joined = model.add("Transpose", read, perm=[0, 2, 1, 3])
    flat = model.add("Reshape", joined, model.sizes(0, 0, heads * read_width))
    return model.add("Add", model.add("MatMul", flat, f"{prefix}o"), f"{prefix}ob")
