"""Initial weights: memattn's names for a memory's, and seeds for all of them from one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from memattn.keras.host import Initializer, keras


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
    """The initializer with a seed, if it takes one and has none."""
    if seed is None or not hasattr(initializer, "get_config"):
        return initializer
    config = initializer.get_config()
    if config.get("seed", seed) is not None:
        return initializer
    return type(initializer).from_config({**config, "seed": seed})


def in_turn(initializer: Any, seeds: list[Any]) -> Any:
    """The initializer of several weights, each of which takes the next of `seeds`."""
    return initializer if seeds[0] is None else InTurn(initializer, seeds)


@keras.saving.register_keras_serializable(package="memattn")
class InTurn(Initializer):  # type: ignore[misc]
    """Draws each weight from the next of some seeds.

    Keras makes copies of one initializer for the four projections of an attention, by way of its
    config. Copies with one seed would make query and key equal; these share a list of seeds.
    """

    def __init__(self, initializer: Any, seeds: list[int]) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.seeds = seeds

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Return the weight."""
        self.seeds.append(self.seeds.pop(0))
        return seeded(self.initializer, self.seeds[-1])(shape, dtype=dtype, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the list is the one that is in use."""
        initializer = keras.initializers.serialize(self.initializer)
        return {"initializer": initializer, "seeds": self.seeds}
