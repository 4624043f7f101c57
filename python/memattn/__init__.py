"""memattn: attention over a learned memory.

``MemoryAugmentedAttention`` is the layer, ``SGD``, ``Adam``, ``AdamW`` and ``clip_by_global_norm``
train it, ``FormatError`` is what a bad file raises. ``memattn.forecast`` and the command ``memattn
forecast`` come with ``pip install 'memattn[forecast]'``.
"""

from memattn._memattn import FormatError, __version__
from memattn.layer import MemoryAugmentedAttention
from memattn.optimizers import SGD, Adam, AdamW, clip_by_global_norm

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "FormatError",
    "MemoryAugmentedAttention",
    "__version__",
    "clip_by_global_norm",
]
