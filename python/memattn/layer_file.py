"""`load`, which reads a layer file of any class."""

from __future__ import annotations

import os

from memattn.base_layer import layer_file_info
from memattn.cross_attention import CrossAttention
from memattn.hierarchical_attention import HierarchicalAttention
from memattn.layer import MemoryAugmentedAttention

Layer = MemoryAugmentedAttention | CrossAttention | HierarchicalAttention

# The layer classes by their names in files and messages.
LAYER_CLASSES: dict[str, type[Layer]] = {
    "MemoryAugmentedAttention": MemoryAugmentedAttention,
    "CrossAttention": CrossAttention,
    "HierarchicalAttention": HierarchicalAttention,
}


def load(path: str | os.PathLike[str]) -> Layer:
    """Read a layer of any class from a file that its `save` wrote, from Python or from C++.

    Parameters
    ----------
    path : str or path
        The file, in the format of docs/format.md.

    Returns
    -------
    MemoryAugmentedAttention, CrossAttention or HierarchicalAttention
        A layer with the class and dtype in the file.

    Raises
    ------
    memattn.FormatError
        If the file does not follow docs/format.md.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import memattn
    >>> memattn.CrossAttention(8, 2, seed=0).save("layer.safetensors")  # doctest: +SKIP
    >>> memattn.load("layer.safetensors")  # doctest: +SKIP
    CrossAttention(8, 2, seed=0)
    """
    name, dtype = layer_file_info(path)
    return LAYER_CLASSES[name]._load(path, dtype)
