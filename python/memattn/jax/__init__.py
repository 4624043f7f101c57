"""The layers as pure functions of JAX: one call makes parameters, another runs them. Needs JAX.

Parameters are a dict of arrays under the names of the weight files: any optimizer takes them, and
`load` and `save` move them from and to the other hosts.
"""

from memattn.jax.cross_attention import CrossAttention
from memattn.jax.hierarchical_attention import HierarchicalAttention
from memattn.jax.memory import Config, apply, init, load, prepare, save
from memattn.jax.pair_attention import Prepared

__all__ = [
    "Config",
    "CrossAttention",
    "HierarchicalAttention",
    "Prepared",
    "apply",
    "init",
    "load",
    "prepare",
    "save",
]
