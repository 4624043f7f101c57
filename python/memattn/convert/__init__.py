"""Converts layers between the files of Keras, PyTorch, NumPy and safetensors, and to ONNX.

>>> from memattn import convert
>>> convert.find("model.keras")  # doctest: +SKIP
>>> layer = convert.read("model.keras", layer="memory_augmented_attention")  # doctest: +SKIP
>>> convert.write(layer, "layer.safetensors")  # doctest: +SKIP

Files are treated as data: no code in them is executed, and no object is built from their config.
``docs/convert.md`` lists what is read, written and refused.
"""

from __future__ import annotations

from memattn.convert.reading import find, read
from memattn.convert.recognise import FoundLayer
from memattn.convert.writing import write

__all__ = ["FoundLayer", "find", "read", "write"]
