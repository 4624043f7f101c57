"""Memory layers from and to the files of Keras, PyTorch, NumPy and safetensors, and to ONNX.

>>> from memattn import convert
>>> convert.find("model.keras")  # doctest: +SKIP
>>> layer = convert.read("model.keras", layer="memory_augmented_attention")  # doctest: +SKIP
>>> convert.write(layer, "layer.safetensors")  # doctest: +SKIP

A file is data: nothing in one is executed, and no object is built from its config. What is read and
written, and what is refused, is in ``docs/convert.md``.
"""

from __future__ import annotations

from memattn.convert.reading import find, read
from memattn.convert.recognise import FoundLayer
from memattn.convert.writing import write

__all__ = ["FoundLayer", "find", "read", "write"]
