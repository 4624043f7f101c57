"""What computes a call of a module: one of three backends with one seam.

Each is a module with ``fits``, which says why it cannot take a call, ``attend``, which computes it
for autograd too, and ``forward`` and ``backward`` as `attend` uses them. ``cpu.py`` are the
compiled kernels of this library, ``triton.py`` the fused kernels for NVIDIA's GPUs, ``plain.py``
PyTorch's own operators, which take every call. ``choice.py`` chooses.

The kernels for GPUs stand in ``triton_forward.py``, ``triton_backward.py`` and ``triton_tiles.py``,
their block sizes in ``triton_blocks.py``; ``triton_launch.py`` launches them, ``triton_ops.py`` has
the operators for graphs. These need Triton, and are imported when the first call needs them.
"""
