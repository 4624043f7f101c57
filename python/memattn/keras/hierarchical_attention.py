"""``HierarchicalAttention`` for Keras: the published layer's variables, folded compute."""

from __future__ import annotations

from typing import Any, Literal

from memattn.hierarchical_attention import HierarchicalAttention as NumpyLayer
from memattn.keras.host import keras, ops, traced_as_written
from memattn.keras.learner import names_of_projections
from memattn.keras.masks import attention_rows, causal_rows, joined_mask, slot_rows, token_rows
from memattn.keras.pair_layer import PairLayer, masks_of_inputs, scores_as_wanted, scores_spec
from memattn.keras.sequence_attention import attend
from memattn.layer_options import PairRoute

_MASKS = ("short_mask", "long_mask")


@keras.saving.register_keras_serializable(package="memattn")
class HierarchicalAttention(PairLayer):
    """The sum of two self-attentions, ``Z = Attention(short) + Attention(long)``.

    Each of the two inputs passes through a Dense layer of its own, ``S = X W + b``, and then
    through ``MultiHeadAttention(S, S, S)`` of its own. This is the layer of that name in
    fusionlab-learn, with the same variables under the same names: `short_term_dense`,
    `long_term_dense`, `short_term_attention` and `long_term_attention`, which are Keras
    ``MultiHeadAttention``. It computes the same result with less work, since it multiplies weights
    with each other first if that is cheaper. ``docs/siblings-math.md`` has the derivation.

    Below, B is the batch, T the steps, Fs and Fl the widths of the short-term and the long-term
    input, U `units`, H `num_heads`, D `key_dim` and Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of the output, and of both inputs after their Dense layers.
    num_heads : int
        Number of attention heads of each side.
    key_dim : int, optional
        Width of a head's queries and keys. Default: `units`, as in the published layer.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1). The sides drop different
        scores.
    fully_masked : {"zero", "uniform"}
        Result of a side for a step whose steps are all masked: that side's output bias (no
        attention output), as in Keras 3, or equal weights for all steps, as in Keras 2.
    seed : int, optional
        Seed of the initial weights and of dropout. Default: Keras' own seed
        (``keras.utils.set_random_seed``). An initializer with a seed keeps it.
    kernel_initializer, bias_initializer
        Initializers of the Dense layers and of the four projections of each side.
    kernel_regularizer, bias_regularizer, activity_regularizer
        Regularizers; the last one applies to the layer's output.
    kernel_constraint, bias_constraint
        Constraints, as everywhere in Keras.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and other arguments of a Keras layer.

    Notes
    -----
    In mixed precision the softmax runs in float32, everything else in the compute dtype.
    """

    _numpy_class = NumpyLayer
    _width_names = ("short_units", "long_units")
    _dense_names = ("short_term_dense", "long_term_dense")
    _attentions = {  # noqa: RUF012  # Keras would wrap a mapping of its own
        "short_term_attention": (0, 0),
        "long_term_attention": (1, 1),
    }

    @traced_as_written
    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        short_mask: Any = None,
        long_mask: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        mask: Any = None,
    ) -> Any:
        """Run the layer: the steps of each input read their own sequence; the results are added.

        The values of masked steps, even NaN, affect neither results nor gradients.

        Parameters
        ----------
        inputs : list or tuple of two tensors
            The short-term input (B, T, Fs) and the long-term input (B, T, Fl); there is no
            broadcasting.
        training : bool, optional
            Apply dropout; Keras sets it in ``fit``.
        short_mask : tensor of bool (B, T), optional
            True for each step of the short-term input that attends and can be attended to. Masks
            are combined by AND.
        long_mask : tensor of bool (B, T), optional
            The same for the long-term input.
        attention_mask : tensor of bool, optional
            Broadcasts to (B, T, T), for both sides.
        use_causal_mask : bool
            Step t attends only to steps 0 to t.
        return_attention_scores : bool or "mean"
            Also return the scores of both sides, a pair of tensors (B, H, T, T), before dropout, or
            their means over heads (B, T, T).
        mask : list of two, each a tensor of bool (B, T) or None, optional
            The masks that Keras passes from ``Masking`` or ``Embedding``: a further short-term and
            a further long-term mask.

        Returns
        -------
        tensor (B, T, U), or that and the pair (short scores, long scores)

        Raises
        ------
        ValueError
            If a shape does not fit.
        TypeError
            If a mask holds floats, since an additive mask of 0 and -inf would mean the opposite.
        """
        terms = self._terms(inputs)
        batch, steps = terms[0].shape[:2]
        both = joined_mask(
            attention_rows(attention_mask, (batch, steps, steps)),
            causal_rows(ops.shape(terms[0])[1], ops.shape(terms[0])[1], 0)
            if use_causal_mask
            else None,
        )
        handed = masks_of_inputs(inputs, mask)
        outputs, scores = [], []
        for side, (name, given) in enumerate(
            (("short_mask", short_mask), ("long_mask", long_mask))
        ):
            steps_kept = [(name, given), ("mask", handed[side])]
            keep = joined_mask(
                both,
                *(token_rows(where, kept, (batch, steps)) for where, kept in steps_kept),
                *(slot_rows(where, kept, (batch, steps)) for where, kept in steps_kept),
            )
            width = self._built_widths()[side]
            output, scores_of_side = attend(
                terms[side],
                terms[side],
                self._weights(tuple(self._attentions)[side]),
                self._way((width, width), (batch, steps, steps), one_source=True),
                keep,
                self.fully_masked,
                self._drop(side, training),
            )
            outputs.append(output)
            scores.append(scores_of_side)
        output = outputs[0] + outputs[1]
        if not return_attention_scores:
            return output
        first, second = (scores_as_wanted(found(), return_attention_scores) for found in scores)
        return output, (first, second)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the masks of both inputs, ANDed, as Keras' Add does."""
        return None if mask is None else joined_mask(*mask)

    def compute_output_spec(self, inputs: Any, *_: Any, **call: Any) -> Any:
        """Return the shapes and dtype of a call's result, for Keras 3."""
        batch, steps, _width = self._terms(inputs)[0].shape
        output = keras.KerasTensor((batch, steps, self.units), self.compute_dtype)
        wanted = call.get("return_attention_scores", False)
        if not wanted:
            return output
        shape, dtype = (batch, steps, steps), self.compute_dtype
        first, second = (scores_spec(shape, self.num_heads, wanted, dtype) for _ in range(2))
        return output, (first, second)

    def route_of(self, batch: int | None, steps: int | None) -> tuple[PairRoute, PairRoute]:
        """Return the routes that both sides of a call of these sizes take.

        Parameters
        ----------
        batch, steps : int or None
            B and T; None for a size that is unknown before the call.

        Returns
        -------
        tuple of two str
            The routes of the short-term and of the long-term side, see `route`.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        sizes = (batch, steps, steps)
        first, second = (
            self._route_between((width, width), sizes, one_source=True)
            for width in self._built_widths()
        )
        return first, second

    def _terms(self, inputs: Any) -> tuple[Any, Any]:
        """Return the two inputs of a call, which must have equal batches and steps."""
        short, long = self._sources(inputs)
        if None not in (short.shape[1], long.shape[1]) and short.shape[1] != long.shape[1]:
            found = f"{short.shape[1]} and {long.shape[1]} steps"
            raise ValueError(f"{self.name}: inputs: found {found}, expected equal numbers")
        return short, long

    def _weight_names(self) -> list[str]:
        kinds = ("kernel", "bias") if self.use_bias else ("kernel",)
        dense = [f"{side}.dense.{kind}" for side in ("short", "long") for kind in kinds]
        projections = (
            names_of_projections(f"{side}.", self.use_bias) for side in ("short", "long")
        )
        return [*dense, *(name for names in projections for name in names)]
