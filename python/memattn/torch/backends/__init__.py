"""The three backends that compute a call of a module, with the same interface.

Each is a module with ``fits``, which returns why it does not support a call; ``attend``, which
computes the call, also under autograd; and ``forward`` and ``backward``, which `attend` uses.
``cpu.py`` has the compiled kernels of this library, ``triton.py`` fused kernels for NVIDIA GPUs,
and ``plain.py`` PyTorch's own operators, which support every call. ``choice.py`` chooses.

The GPU kernels are in ``triton_forward.py``, ``triton_backward.py`` and ``triton_tiles.py``, their
block sizes in ``triton_blocks.py``. ``triton_launch.py`` launches them, and ``triton_ops.py`` has
the operators for graphs. These modules need Triton, and are imported by the first call that needs
them.
"""
