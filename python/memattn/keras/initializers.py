"""Initial weights: memattn's names for a memory's, and seeds for all of them from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memattn.keras.host import Attention, keras


def memory_initializer_of(value: Any) -> Any:
    """The initializer that a name or mapping of memattn's means, or else of Keras'."""
    if value == "normal":  # Keras means a standard deviation of 0.05 by this name
        return keras.initializers.RandomNormal(0.0, 1.0)
    if isinstance(value, Mapping) and "kind" in value:
        if value["kind"] != "normal":
            return memory_initializer_of(value["kind"])
        return keras.initializers.RandomNormal(0.0, value.get("stddev", 1.0))
    return keras.initializers.get(value)


def memattn_name(initializer: Any) -> str | dict[str, Any]:
    """What a memattn config calls an initializer; ``"normal"`` where it has no word for it."""
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
    """Seeds of 31 bits that have nothing to do with each other, or None for each."""
    if seed is None:
        return [None] * number
    return [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(number)]


def seeded(initializer: Any, seed: int | None) -> Any:
    """A copy of the initializer with a seed, or none, if it takes one and has none.

    One initializer without a seed, used twice, would draw the same twice.
    """
    if not hasattr(initializer, "get_config"):
        return initializer
    config = initializer.get_config()
    if config.get("seed", 0) is not None:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})


class MultiHeadAttention(Attention):  # type: ignore[misc]
    """Keras' layer, each of whose weights is drawn from a seed of its own.

    Keras gives its four projections copies of one initializer. Copies with one seed would make
    query and key equal.
    """

    def __init__(self, seeds: Sequence[int | None] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._turns = iter(tuple(seeds))

    def _get_common_kwargs_for_sublayer(self) -> dict[str, Any]:
        options: dict[str, Any] = super()._get_common_kwargs_for_sublayer()
        for name in ("kernel_initializer", "bias_initializer"):
            options[name] = seeded(options[name], next(self._turns, None))
        return options
