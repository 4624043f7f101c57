"""PyTorch: the layers as modules, ``memattn.torch.MemoryAugmentedAttention`` and its siblings.

``module.py``, ``cross_attention.py`` and ``hierarchical_attention.py`` are what users see;
``base_module.py`` and ``pair_module.py`` what they share. Where the numbers come from depends on
the call: ``kernels.py`` has the compiled kernels, for float32 and float64 on the CPU, which
``function.py`` shows to autograd and ``ops.py`` to ``torch.compile`` and ``torch.export``;
``plain.py`` and ``pair_plain.py`` write the layers in PyTorch's own operators for everything else.
``backends/`` chooses between them and the Triton kernels for GPUs. ``kinds.py`` says what each
needs to know of a layer. ``docs/pytorch.md`` is the guide.
"""

from memattn.torch.cross_attention import CrossAttention
from memattn.torch.hierarchical_attention import HierarchicalAttention
from memattn.torch.module import MemoryAugmentedAttention
from memattn.torch.ops import decompositions

__all__ = ["CrossAttention", "HierarchicalAttention", "MemoryAugmentedAttention", "decompositions"]
