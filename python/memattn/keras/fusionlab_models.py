"""How fusionlab's XTFT and SuperXTFT use the output of their attention layers, for `replace`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from memattn.keras.layer import MemoryAugmentedAttention
from memattn.keras.self_attention import MultiResolutionAttentionFusion

_LAST_STEP = "its model reads the last step alone, so no other is computed"
_DISCARDED = "SuperXTFT discards its output, so its weights get no gradient"


def link_fusion(model: Any) -> None:
    """Let the fusion layer of an XTFT ask the model whether it reads only the last step."""
    fusion = getattr(model, "multi_resolution_attention_fusion", None)
    if _is_fusionlab(model, "XTFT", "SuperXTFT") and isinstance(
        fusion, MultiResolutionAttentionFusion
    ):
        fusion._last_step_alone = _asking(model)


def note_of(layer: Any, layers: Iterable[Any]) -> str:
    """Return a note on how the model uses a layer; usually empty."""
    if isinstance(layer, MultiResolutionAttentionFusion) and layer._last_step_alone():
        return _LAST_STEP
    if isinstance(layer, MemoryAugmentedAttention):
        for model in layers:
            held = getattr(model, "memory_augmented_attention", None)
            if held is layer and _is_fusionlab(model, "SuperXTFT"):
                return _DISCARDED
    return ""


def _is_fusionlab(model: Any, *names: str) -> bool:
    """Whether a model's class is exactly one of fusionlab's; a subclass may use other steps."""
    kind = type(model)
    return kind.__name__ in names and kind.__module__.startswith("fusionlab.")


def _asking(model: Any) -> Callable[[], bool]:
    """Return a function that asks a model whether it reads only the last step.

    The function does not keep the model alive, and Keras does not track the model as a sublayer.
    """
    reference = weakref.ref(model)

    def last_step_alone() -> bool:
        found = reference()
        return (
            found is not None
            and found.final_agg == "last"
            and found.anomaly_detection_strategy != "feature_based"
        )

    return last_step_alone
