"""Builds an ONNX model: its nodes, its constants and the bytes of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.arrays import Array

OPSET = 13
_IR_VERSION = 7  # of ONNX 1.8, the first release with this opset, so that old runtimes read it
_MAX_BYTES = 1 << 30  # protobuf's limit for a message is 2 GiB


class OnnxModel:
    """A graph under construction, to which nodes are added one at a time.

    Parameters
    ----------
    config : mapping
        The config of the layer, which the model's metadata keeps.
    arrays : mapping
        The constants by name.

    Raises
    ------
    ValueError
        If the constants are too large for an ONNX file.
    """

    def __init__(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        size = sum(array.nbytes for array in arrays.values())
        if size > _MAX_BYTES:
            raise ValueError(
                f"write: layer: found {size} bytes of folded matrices, expected at most "
                f"{_MAX_BYTES}"
            )
        self._config = config
        self._arrays = dict(arrays)
        self._nodes: list[Any] = []

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its result."""
        from onnx import helper

        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def sizes(self, *sizes: int) -> str:
        """Return the name of a constant shape for Reshape, in which 0 keeps the input's size."""
        name = "sizes_" + "_".join(map(str, sizes))
        self._arrays.setdefault(name, np.array(sizes))
        return name

    def file_bytes(
        self, name: str, inputs: Mapping[str, Sequence[str | int]], output: Sequence[str | int]
    ) -> bytes:
        """Return the ONNX file, given the shapes of the inputs by name and of ``y``."""
        import onnx
        from onnx import helper, numpy_helper

        dtype = next(iter(self._arrays.values())).dtype
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        shapes = {**inputs, "y": output}
        infos = [helper.make_tensor_value_info(n, kind, list(s)) for n, s in shapes.items()]
        constants = [numpy_helper.from_array(array, n) for n, array in self._arrays.items()]
        graph = helper.make_graph(self._nodes, name, infos[:-1], infos[-1:], constants)
        model = helper.make_model(
            graph,
            producer_name="memattn",
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        helper.set_model_props(model, {"memattn_config": json.dumps(self._config)})
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
