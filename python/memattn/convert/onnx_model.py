"""An ONNX model under construction: nodes, constants, and the bytes of its file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.arrays import Array

OPSET = 13
_IR_VERSION = 7  # that of ONNX 1.8, which brought this opset: what old runtimes read
_MAX_BYTES = 1 << 30  # of a protobuf message it is 2 GiB


class OnnxModel:
    """A graph whose nodes are added one after the other.

    Parameters
    ----------
    config : mapping
        Of the layer, kept in the model's metadata.
    arrays : mapping
        The constants by name.

    Raises
    ------
    ValueError
        The constants are too large for a file of ONNX.
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
        """Adds a node and returns the name of its result."""
        from onnx import helper

        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def sizes(self, *sizes: int) -> str:
        """The name of a constant for Reshape; a 0 keeps a size, whatever it is."""
        name = "sizes_" + "_".join(map(str, sizes))
        self._arrays.setdefault(name, np.array(sizes))
        return name

    def file_bytes(
        self, name: str, inputs: Mapping[str, Sequence[str | int]], output: Sequence[str | int]
    ) -> bytes:
        """The file of a graph with these inputs by name and shape, and one output, ``y``."""
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
