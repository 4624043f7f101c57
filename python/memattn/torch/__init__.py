"""PyTorch: the layer as an ``nn.Module``, ``memattn.torch.MemoryAugmentedAttention``.

``module.py`` is what users see. Where the numbers come from depends on the call: ``kernels.py`` has
the compiled kernels, for float32 and float64 on the CPU, which ``function.py`` shows to autograd
and ``ops.py`` to ``torch.compile`` and ``torch.export``; ``plain.py`` writes the layer in PyTorch's
own operators for everything else. ``docs/pytorch.md`` is the guide.
"""

from memattn.torch.module import MemoryAugmentedAttention
from memattn.torch.ops import decompositions

__all__ = ["MemoryAugmentedAttention", "decompositions"]
