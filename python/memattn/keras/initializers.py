"""Initial weights: memattn's names of memory initializers, and one seed for all weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.keras.host import Attention, keras


def memory_initializer_of(value: Any) -> Any:
    """Return the initializer for a name or mapping in memattn's sense, else in Keras'."""
    if value == "normal":  # in Keras, this name means a standard deviation of 0.05
        return keras.initializers.RandomNormal(0.0, 1.0)
    if isinstance(value, Mapping) and "kind" in value:
        if value["kind"] != "normal":
            return memory_initializer_of(value["kind"])
        return keras.initializers.RandomNormal(0.0, value.get("stddev", 1.0))
    return keras.initializers.get(value)


def memattn_name(initializer: Any) -> str | dict[str, Any]:
    """Return the name of an initializer in a memattn config; ``"normal"`` if it has none."""
    if isinstance(initializer, keras.initializers.Zeros):
        return "zeros"
    if isinstance(initializer, keras.initializers.GlorotUniform):
        return "glorot_uniform"
    if isinstance(initializer, keras.initializers.RandomNormal):
        config = initializer.get_config()
        if config["mean"] == 0.0 and config["stddev"] > 0.0:
            return {"kind": "normal", "stddev": float(config["stddev"])}
    return "normal"


def derived_seeds(seed: int | None, number: int) -> list[int | None]:
    """Return `number` independent seeds of 31 bits, or Nones if `seed` is None."""
    if seed is None:
        return [None] * number
    return [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(number)]


def seeded(initializer: Any, seed: int | None) -> Any:
    """Return a copy of an unseeded initializer with this seed, or any other unchanged.

    Even if the seed is None it is a copy: one unseeded initializer draws the same values twice.
    """
    if not hasattr(initializer, "get_config"):
        return initializer
    config = initializer.get_config()
    if config.get("seed", 0) is not None:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})


class MultiHeadAttention(Attention):  # type: ignore[misc]
    """Keras' layer, with a seed for each of its weights.

    Keras gives its four projections copies of one initializer. With the same seed in all copies,
    query and key would be equal.
    """

    def __init__(self, seeds: Sequence[int | None] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._turns = iter(tuple(seeds))

    def _get_common_kwargs_for_sublayer(self) -> dict[str, Any]:
        options: dict[str, Any] = super()._get_common_kwargs_for_sublayer()
        for name in ("kernel_initializer", "bias_initializer"):
            options[name] = seeded(options[name], next(self._turns, None))
        return options
