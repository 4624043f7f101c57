"""The layers for Keras, and `replace` for models that were built with the published ones.

It uses the Keras that ``import keras`` imports, 3 with any backend or 2.15, or ``tf_keras`` if
TF_USE_LEGACY_KERAS is set for TensorFlow. ``docs/keras.md`` is the guide.
"""

from memattn.keras.cross_attention import CrossAttention
from memattn.keras.hierarchical_attention import HierarchicalAttention
from memattn.keras.layer import MemoryAugmentedAttention
from memattn.keras.published import Replaced, published_as_ours, replace
from memattn.keras.self_attention import ExplainableAttention, MultiResolutionAttentionFusion

__all__ = [
    "CrossAttention",
    "ExplainableAttention",
    "HierarchicalAttention",
    "MemoryAugmentedAttention",
    "MultiResolutionAttentionFusion",
    "Replaced",
    "published_as_ours",
    "replace",
]
