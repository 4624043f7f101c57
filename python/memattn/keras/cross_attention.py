"""``CrossAttention`` for Keras: the published layer's variables, folded compute."""

from __future__ import annotations

from typing import Any, Literal

from memattn.cross_attention import CrossAttention as NumpyLayer
from memattn.keras.host import keras, ops, traced_as_written
from memattn.keras.learner import names_of_projections
from memattn.keras.masks import (
    attention_rows,
    causal_rows,
    checked_first_step,
    joined_mask,
    slot_rows,
    token_rows,
)
from memattn.keras.pair_layer import PairLayer, masks_of_inputs, scores_as_wanted, scores_spec
from memattn.keras.sequence_attention import attend
from memattn.layer_options import PairRoute


@keras.saving.register_keras_serializable(package="memattn")
class CrossAttention(PairLayer):
    """Attention of one input over another, ``Z = MultiHeadAttention(S1, S2, S2)``.

    S1 and S2 are the two inputs after a Dense layer each. This is the layer of that name in
    fusionlab-learn, with the same variables under the same names: `source1_dense`, `source2_dense`
    and `cross_attention`, a Keras ``MultiHeadAttention``. It computes the same result with less
    work, since it multiplies weights with each other first if that is cheaper.
    ``docs/siblings-math.md`` has the derivation.

    Below, B is the batch, T1 and T2 the steps of the two inputs, F1 and F2 their widths, U `units`,
    H `num_heads`, D `key_dim` and Dv `value_dim`.

    Parameters
    ----------
    units : int
        Width of the output, and of both inputs after their Dense layers.
    num_heads : int
        Number of attention heads.
    key_dim : int, optional
        Width of a head's queries and keys. Default: `units`, as in the published layer.
    value_dim : int, optional
        Width of a head's values. Default: `key_dim`.
    use_bias : bool
        Whether the Dense layers and the query, key, value and output projections have biases.
    dropout : float
        Fraction of the scores that is set to 0 in training, in [0, 1).
    fully_masked : {"zero", "uniform"}
        Result for a step whose steps of the second input are all masked: the output bias (no
        attention output), as in Keras 3, or equal weights for all of them, as in Keras 2.
    seed : int, optional
        Seed of the initial weights and of dropout. Default: Keras' own seed
        (``keras.utils.set_random_seed``). An initializer with a seed keeps it.
    kernel_initializer, bias_initializer
        Initializers of the Dense layers and of the four projections.
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
    _width_names = ("source1_units", "source2_units")
    _dense_names = ("source1_dense", "source2_dense")
    _attentions = {"cross_attention": (0, 1)}  # noqa: RUF012  # Keras would wrap a mapping of its own

    @traced_as_written
    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        attention_mask: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool | Literal["mean"] = False,
        mask: Any = None,
        first_step: Any = 0,
    ) -> Any:
        """Run the layer: every step of the first input reads the steps of the second.

        The values of masked steps, even NaN, affect neither results nor gradients.

        Parameters
        ----------
        inputs : list or tuple of two tensors
            The input that attends (queries), (B, T1, F1), and the input that is attended to (keys
            and values), (B, T2, F2).
        training : bool, optional
            Apply dropout; Keras sets it in ``fit``.
        attention_mask : tensor of bool, optional
            Mask that broadcasts to (B, T1, T2); True allows attention. All masks are combined by
            AND.
        query_mask : tensor of bool (B, T1), optional
            True for each step of the first input that attends.
        value_mask : tensor of bool (B, T2), optional
            True for each step of the second input that can be attended to.
        use_causal_mask : bool
            Step t attends only to steps 0 to ``first_step + t`` of the second input.
        return_attention_scores : bool or "mean"
            Also return the scores (B, H, T1, T2), before dropout, or their mean over heads
            (B, T1, T2).
        mask : list of two, each a tensor of bool (B, T) or None, optional
            The masks that Keras passes from ``Masking`` or ``Embedding``: a further query mask and
            a further value mask.
        first_step : int or integer scalar
            Position of step 0 of the first input in its sequence. Only the causal mask uses it;
            dropout draws from Keras' generator.

        Returns
        -------
        tensor (B, T1, U), or that and the scores

        Raises
        ------
        ValueError
            If a shape does not fit, or `first_step` is negative.
        TypeError
            If `first_step` is not an integer, or a mask holds floats, since an additive mask of 0
            and -inf would mean the opposite.
        """
        x1, x2 = self._sources(inputs)
        batch, steps, keys = x1.shape[0], x1.shape[1], x2.shape[1]
        mask1, mask2 = masks_of_inputs(inputs, mask)
        first = checked_first_step(first_step, keys)
        keep = joined_mask(
            attention_rows(attention_mask, (batch, steps, keys)),
            token_rows("query_mask", query_mask, (batch, steps)),
            token_rows("mask", mask1, (batch, steps)),
            slot_rows("value_mask", value_mask, (batch, keys)),
            slot_rows("mask", mask2, (batch, keys)),
            causal_rows(ops.shape(x1)[1], ops.shape(x2)[1], first) if use_causal_mask else None,
        )
        output, scores = attend(
            x1,
            x2,
            self._weights("cross_attention"),
            self._way(self._built_widths(), (batch, steps, keys), one_source=False),
            keep,
            self.fully_masked,
            self._drop(0, training),
        )
        if not return_attention_scores:
            return output
        return output, scores_as_wanted(scores(), return_attention_scores)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return the mask of the first input, since each output belongs to one of its steps."""
        return None if mask is None else mask[0]

    def compute_output_spec(self, inputs: Any, *_: Any, **call: Any) -> Any:
        """Return the shapes and dtype of a call's result, for Keras 3."""
        x1, x2 = self._sources(inputs)
        output = keras.KerasTensor((*x1.shape[:2], self.units), self.compute_dtype)
        wanted = call.get("return_attention_scores", False)
        if not wanted:
            return output
        shape = (*x1.shape[:2], x2.shape[1])
        return output, scores_spec(shape, self.num_heads, wanted, self.compute_dtype)

    def route_of(self, batch: int | None, steps1: int | None, steps2: int | None) -> PairRoute:
        """Return the route that a call of these sizes takes, see `route`.

        Parameters
        ----------
        batch, steps1, steps2 : int or None
            B, T1 and T2; None for a size that is unknown before the call.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        return self._route_between(self._built_widths(), (batch, steps1, steps2), one_source=False)

    def _weight_names(self) -> list[str]:
        kinds = ("kernel", "bias") if self.use_bias else ("kernel",)
        dense = [f"source{number}.{kind}" for number in (1, 2) for kind in kinds]
        return [*dense, *names_of_projections("", self.use_bias)]
