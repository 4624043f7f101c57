"""The layer as an ONNX graph: two matrix products with a softmax per head between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn.arrays import Array

OPSET = 13
_IR_VERSION = 7  # that of ONNX 1.8, which brought this opset: what old runtimes read
_MAX_BYTES = 1 << 30  # of a protobuf message it is 2 GiB


def folded(weights: Mapping[str, Array]) -> dict[str, Array]:
    """The folded matrices of docs/math.md, heads side by side, computed in float64.

    Returns
    -------
    dict of arrays
        ``a`` (U, H·S), ``b`` (H·S, U), and, when the layer has biases, ``c`` (H·S) and ``bo`` (U).
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
    """The graph ``y = x + softmax(x·A + c)·B + bo`` with x and y (batch, steps, U).

    Raises
    ------
    ValueError
        The folded matrices are too large for a file of ONNX.
    """
    import onnx
    from onnx import helper, numpy_helper

    arrays = folded(weights)
    slots, units = weights["memory"].shape
    heads = weights["query.kernel"].shape[1]
    size = sum(array.nbytes for array in arrays.values())
    if size > _MAX_BYTES:
        raise ValueError(
            f"write: layer: found {size} bytes of folded matrices, expected at most {_MAX_BYTES}"
        )
    # A 0 keeps a size, whatever it is.
    arrays |= {"by_head": np.array([0, 0, heads, slots]), "flat": np.array([0, 0, heads * slots])}
    nodes: list[Any] = []

    def add(kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"{kind.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    logits = add("MatMul", "x", "a")
    if "c" in arrays:
        logits = add("Add", logits, "c")
    scores = add("Softmax", add("Reshape", logits, "by_head"), axis=-1)
    read = add("MatMul", add("Reshape", scores, "flat"), "b")
    if "bo" in arrays:
        read = add("Add", read, "bo")
    add("Add", "x", read, output="y") if config["residual"] else add("Identity", read, output="y")

    kind = helper.np_dtype_to_tensor_dtype(weights["memory"].dtype)
    x, y = (helper.make_tensor_value_info(n, kind, ["batch", "steps", units]) for n in "xy")
    constants = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "memory_augmented_attention", [x], [y], constants)
    model = helper.make_model(
        graph,
        producer_name="memattn",
        ir_version=_IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(model, {"memattn_config": json.dumps(config)})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
