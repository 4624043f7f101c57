"""The layers as pure functions for JAX: `init` makes parameters, `apply` runs the layer. Needs JAX.

Parameters are a dict of arrays with the names of the weight files. Any optimizer takes them, and
`load` and `save` exchange them with the other frameworks.
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
