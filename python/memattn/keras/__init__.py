"""The layers for Keras, and `replace` for models that were built with the published ones.

It is built on the Keras that ``import keras`` gives, 3 with any backend or 2.15, or on ``tf_keras``
where TF_USE_LEGACY_KERAS tells TensorFlow to use that. ``docs/keras.md`` is the guide.
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
