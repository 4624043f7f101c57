"""memattn: attention over a learned memory.

``MemoryAugmentedAttention`` is the layer, ``CrossAttention`` and ``HierarchicalAttention`` are its
siblings over two inputs, and ``load`` opens a file that any of them saved. ``SGD``, ``Adam``,
``AdamW`` and ``clip_by_global_norm`` train them. Invalid files raise ``FormatError``.
``num_threads`` and ``set_num_threads`` control the number of threads of a call, and ``active_isa``
returns the instruction set in use. ``scratch_bytes`` and ``release_scratch`` control the memory
that a thread keeps between calls.
``memattn.forecast`` and the command ``memattn forecast`` come with
``pip install 'memattn[forecast]'``; ``memattn.convert`` and ``memattn convert`` move weights from
and to other formats, some of them with ``pip install 'memattn[convert]'``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memattn._memattn import (
        FormatError,
        __version__,
        active_isa,
        num_threads,
        release_scratch,
        scratch_bytes,
        set_num_threads,
    )
    from memattn.cross_attention import CrossAttention
    from memattn.hierarchical_attention import HierarchicalAttention
    from memattn.layer import MemoryAugmentedAttention
    from memattn.layer_file import load
    from memattn.optimizers import SGD, Adam, AdamW, clip_by_global_norm

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CrossAttention",
    "FormatError",
    "HierarchicalAttention",
    "MemoryAugmentedAttention",
    "__version__",
    "active_isa",
    "clip_by_global_norm",
    "load",
    "num_threads",
    "release_scratch",
    "scratch_bytes",
    "set_num_threads",
]

_HOMES = {
    "FormatError": "memattn._memattn",
    "__version__": "memattn._memattn",
    "active_isa": "memattn._memattn",
    "num_threads": "memattn._memattn",
    "release_scratch": "memattn._memattn",
    "scratch_bytes": "memattn._memattn",
    "set_num_threads": "memattn._memattn",
    "CrossAttention": "memattn.cross_attention",
    "HierarchicalAttention": "memattn.hierarchical_attention",
    "MemoryAugmentedAttention": "memattn.layer",
    "load": "memattn.layer_file",
    "SGD": "memattn.optimizers",
    "Adam": "memattn.optimizers",
    "AdamW": "memattn.optimizers",
    "clip_by_global_norm": "memattn.optimizers",
}


def __getattr__(name: str) -> object:
    # Imported at first use, so that the command line can handle an interrupt and print its help
    # before NumPy is loaded.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
