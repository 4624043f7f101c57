"""The layer for Keras, and `replace` for models that were built with the published one.

It is built on the Keras that ``import keras`` gives, 3 with any backend or 2.15, or on ``tf_keras``
where TF_USE_LEGACY_KERAS tells TensorFlow to use that. ``docs/keras.md`` is the guide.
"""

from memattn.keras.layer import MemoryAugmentedAttention
from memattn.keras.published import published_as_ours, replace

__all__ = ["MemoryAugmentedAttention", "published_as_ours", "replace"]
