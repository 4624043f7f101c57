"""fusionlab's attentions of one input: XTFT's fusion, and the layer that returns scores.

Each is a Keras ``MultiHeadAttention`` of an input over itself. These layers compute only the part
that is used: the last step if no other is read, or the scores without the values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from memattn.keras.host import (
    Attention,
    Layer,
    build_attention,
    keras,
    projection_tensors,
    shape_of,
    traced_as_written,
)
from memattn.keras.masks import Size, joined_mask, slot_rows, token_rows
from memattn.keras.sequence_attention import SequenceWeights, attend, attention_scores
from memattn.layer_options import PAIR_WAYS

# Options of Keras' attention that these layers accept besides num_heads and key_dim.
ATTENTION_OPTIONS = (
    *("value_dim", "use_bias", "kernel_initializer", "bias_initializer"),
    *("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint"),
)
_UNKNOWN = 32  # stands for a size that is unknown before the call


class SelfAttention(Layer):  # type: ignore[misc]
    """A ``MultiHeadAttention`` of one input over itself, in `attention`."""

    # As in Learner: attributes that `replace` sets on a layer whose class it changes.
    _fresh: ClassVar[tuple[str, ...]] = ("supports_masking",)

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        attention_options: Mapping[str, Any] | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        options = dict(attention_options or {})
        unknown = sorted(set(options) - set(ATTENTION_OPTIONS))
        if unknown:
            known = ", ".join(ATTENTION_OPTIONS)
            found = ", ".join(unknown)
            raise ValueError(f"attention_options: found {found}, expected some of {known}")
        self.num_heads = num_heads
        self.attention: Any = Attention(
            num_heads=num_heads, key_dim=key_dim, dtype=self.dtype_policy, **options
        )

    def build(self, input_shape: Any) -> None:
        """Create the weights.

        Parameters
        ----------
        input_shape : (B, T, F)
            B and T may be None.
        """
        width = int(input_shape[-1])
        build_attention(self.attention, width, 1, width)
        super().build(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        config: dict[str, Any] = super().get_config()
        options = self.attention.get_config()
        taken = {name: options[name] for name in ATTENTION_OPTIONS}
        return {**config, "num_heads": self.num_heads, "attention_options": taken}

    def _note_widths(self) -> None:
        """Do nothing, since these layers keep no widths."""

    def _weights(self) -> SequenceWeights:
        tensors = projection_tensors(self.name, self.attention)
        return SequenceWeights(self.compute_dtype, None, None, *tensors)

    def _mask(self, inputs: Any, mask: Any) -> Any:
        """Return the mask that Keras passes, for queries and keys; None without one."""
        mask = getattr(inputs, "_keras_mask", None) if mask is None else mask
        size = inputs.shape[:2]
        return joined_mask(token_rows("mask", mask, size), slot_rows("mask", mask, size))


@keras.saving.register_keras_serializable(package="memattn")
class MultiResolutionAttentionFusion(SelfAttention):
    """``MultiHeadAttention(X, X)``, the layer of that name in fusionlab-learn.

    Parameters
    ----------
    units : int
        Width of a head's queries, keys and values.
    num_heads : int
        Number of attention heads.
    attention_options : mapping, optional
        Further options of the Keras ``MultiHeadAttention`` inside, such as ``use_bias``.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and other arguments of a Keras layer.
    """

    _fresh = ("supports_masking", "_last_step_alone")

    def __init__(
        self,
        units: int,
        num_heads: int,
        attention_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, units, attention_options, **kwargs)
        self.units = units
        # Whether the model around the layer reads only the last step; `replace` sets it.
        self._last_step_alone: Callable[[], bool] = _never

    @traced_as_written
    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        last_step_only: bool | None = None,
    ) -> Any:
        """Run the layer: every step, or only the last one, reads all steps.

        Parameters
        ----------
        inputs : tensor (B, T, F)
            The steps.
        training : bool, optional
            Changes nothing.
        mask : tensor of bool (B, T), optional
            The mask that Keras passes on from ``Masking`` or ``Embedding``.
        last_step_only : bool, optional
            Return only the last step, (B, 1, F). Default: True in a model that `replace` knows to
            read no other step.

        Returns
        -------
        tensor (B, T, F) or (B, 1, F)
        """
        if last_step_only is None:
            last_step_only = self._last_step_alone()
        keep = self._mask(inputs, mask)
        queries = inputs
        if last_step_only:
            queries = inputs[:, -1:]
            keep = None if keep is None else keep[:, -1:]
        weights = self._weights()
        way, folded = cheapest_way(weights, queries.shape, inputs.shape, reads=True)
        output, _ = attend(queries, inputs, weights, PAIR_WAYS[way], keep, "uniform", folded=folded)
        return output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the input, or None if the output is one step."""
        return None if self._last_step_alone() else mask

    def compute_output_spec(self, inputs: Any, *_: Any, **call: Any) -> Any:
        """Return the shape and dtype of a call's result, for Keras 3."""
        wanted = call.get("last_step_only")
        alone = self._last_step_alone() if wanted is None else wanted
        batch, steps, width = inputs.shape
        return keras.KerasTensor((batch, 1 if alone else steps, width), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, which is that of the input or of one step."""
        batch, steps, width = input_shape
        return shape_of((batch, 1 if self._last_step_alone() else steps, width))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="memattn")
class ExplainableAttention(SelfAttention):
    """The scores of ``MultiHeadAttention(X, X)``, the layer of that name in fusionlab-learn.

    Parameters
    ----------
    num_heads : int
        Number of attention heads.
    key_dim : int
        Width of a head's queries and keys.
    attention_options : mapping, optional
        Further options of the Keras ``MultiHeadAttention`` inside, such as ``use_bias``. The
        layer has weights for values and output, too, as the published one does, and reads none.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and other arguments of a Keras layer.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        attention_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_heads, key_dim, attention_options, **kwargs)
        self.key_dim = key_dim

    @traced_as_written
    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the scores of every step for every step.

        Parameters
        ----------
        inputs : tensor (B, T, F)
            The steps.
        training : bool, optional
            Changes nothing.
        mask : tensor of bool (B, T), optional
            The mask that Keras passes on from ``Masking`` or ``Embedding``.

        Returns
        -------
        tensor (B, H, T, T)
        """
        weights = self._weights()
        way, folded = cheapest_way(weights, inputs.shape, inputs.shape, reads=False)
        keep = self._mask(inputs, mask)
        return attention_scores(
            inputs, inputs, weights, PAIR_WAYS[way], keep, "uniform", folded=folded
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return None, since scores have no axis of steps only."""
        return None

    def compute_output_spec(self, inputs: Any, *_: Any, **__: Any) -> Any:
        """Return the shape and dtype of a call's result, for Keras 3."""
        batch, steps, _ = inputs.shape
        return keras.KerasTensor((batch, self.num_heads, steps, steps), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the scores."""
        batch, steps, _ = input_shape
        return shape_of((batch, self.num_heads, steps, steps))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        return {**super().get_config(), "key_dim": self.key_dim}


def cheapest_way(
    weights: SequenceWeights, queries: tuple[Size, ...], keys: tuple[Size, ...], *, reads: bool
) -> tuple[Any, bool]:
    """Return the route with the fewest multiply-adds for these shapes, and whether it folds.

    `reads` says whether values are read with the scores. There is no Dense layer, so the inputs are
    used as they are.
    """
    batch, T1 = (_UNKNOWN if size is None else int(size) for size in queries[:2])  # noqa: N806
    T2 = _UNKNOWN if keys[1] is None else int(keys[1])  # noqa: N806
    F, _, D = (int(size) for size in weights.query_kernel.shape)  # noqa: N806
    widths = [D, int(weights.value_kernel.shape[2])] if reads else [D]
    written = in_turn = folded = fold = 0
    for width in widths:
        written += (T1 + T2) * F * width + T1 * T2 * width
        in_turn += 2 * T1 * F * width + T1 * T2 * F
        folded += T1 * F * F + T1 * T2 * F
        fold += F * F * width
    costs = {
        ("as_written", True): batch * written,
        ("left_read_dense", False): batch * in_turn,
        ("left_read_dense", True): batch * folded + fold,
    }
    return min(costs, key=lambda way: costs[way])


def _never() -> bool:
    return False
