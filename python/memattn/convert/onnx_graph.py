"""The layer as an ONNX graph: two matrix products with a softmax per head between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn.arrays import Array
from memattn.convert.onnx_model import OnnxModel


def folded(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Return the folded matrices of docs/math.md, heads side by side, computed in float64.

    Returns
    -------
    dict of arrays
        ``a`` (U, H·S), ``b`` (H·S, U), and, if the layer has biases, ``c`` (H·S) and ``bo`` (U).
    """
    wide = {name: weight.astype(np.float64) for name, weight in weights.items()}
    memory = wide["memory"]
    slots, units = memory.shape
    _, heads, key_dim = wide["query.kernel"].shape
    keys = np.einsum("su,uhd->hsd", memory, wide["key.kernel"]) / np.sqrt(key_dim)
    values = np.einsum("su,uhd->hsd", memory, wide["value.kernel"])
    arrays = {"a": np.einsum("uhd,hsd->uhs", wide["query.kernel"], keys)}
    if "query.bias" in wide:
        values += wide["value.bias"][:, None]
        arrays["c"] = np.einsum("hd,hsd->hs", wide["query.bias"], keys)
        arrays["bo"] = wide["output.bias"]
    arrays["b"] = np.einsum("hsd,hdu->hsu", values, wide["output.kernel"])
    shapes = {"a": (units, heads * slots), "b": (heads * slots, units), "c": (heads * slots,)}
    dtype = weights["memory"].dtype
    return {n: x.reshape(shapes.get(n, x.shape)).astype(dtype) for n, x in arrays.items()}


def onnx_bytes(weights: Mapping[str, Array], config: Mapping[str, Any]) -> bytes:
    """Return the graph ``y = x + softmax(x·A + c)·B + bo`` with x and y (batch, steps, U).

    Raises
    ------
    ValueError
        If the folded matrices are too large for an ONNX file.
    """
    arrays = folded(weights)
    slots, units = weights["memory"].shape
    heads = weights["query.kernel"].shape[1]
    model = OnnxModel(config, arrays)
    logits = model.add("MatMul", "x", "a")
    if "c" in arrays:
        logits = model.add("Add", logits, "c")
    by_head = model.add("Reshape", logits, model.sizes(0, 0, heads, slots))
    scores = model.add("Softmax", by_head, axis=-1)
    read = model.add("MatMul", model.add("Reshape", scores, model.sizes(0, 0, heads * slots)), "b")
    if "bo" in arrays:
        read = model.add("Add", read, "bo")
    if config["residual"]:
        model.add("Add", "x", read, output="y")
    else:
        model.add("Identity", read, output="y")
    tokens = ["batch", "steps", units]
    return model.file_bytes("memory_augmented_attention", {"x": tokens}, tokens)
