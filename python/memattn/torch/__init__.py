"""PyTorch: the layers as modules, ``memattn.torch.MemoryAugmentedAttention`` and its siblings.

The public modules are in ``module.py``, ``cross_attention.py`` and ``hierarchical_attention.py``,
their base classes in ``base_module.py`` and ``pair_module.py``. A call is computed in one of three
ways. ``kernels.py`` calls the compiled kernels, for float32 and float64 on the CPU; ``function.py``
connects them to autograd, and ``ops.py`` to ``torch.compile`` and ``torch.export``. ``plain.py``
and ``pair_plain.py`` compute the layers with PyTorch's own operators in all other cases.
``backends/`` chooses between these and the Triton kernels for GPUs. ``kinds.py`` describes each
layer to them. ``docs/pytorch.md`` is the guide.
"""

from memattn.torch.cross_attention import CrossAttention
from memattn.torch.hierarchical_attention import HierarchicalAttention
from memattn.torch.module import MemoryAugmentedAttention
from memattn.torch.ops import decompositions

__all__ = ["CrossAttention", "HierarchicalAttention", "MemoryAugmentedAttention", "decompositions"]
