"""All three layers of fusionlab's XTFT are found and read in every format of Keras 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import convert
from memattn.errors import DataError
from memattn.inspection import diagnose
from memattn.inspection.source import read_layers

from .keras_convert_support import MARKS, assert_equal, randomised
from .keras_support import import_fusionlab

pytestmark = MARKS

LAYERS = {
    "MemoryAugmentedAttention": "memory_augmented_attention",
    "CrossAttention": "cross_attention",
    "HierarchicalAttention": "hierarchical_attention",
}
SHAPES = {"XTFT": ((2, 3), (2, 5, 4), (2, 8, 2)), "SuperXTFT": ((2, 3), (2, 5, 4), (2, 5, 2))}


def model_of(name: str, **options: Any) -> tuple[Any, list[np.ndarray]]:
    """Returns a built fusionlab model, and its inputs."""
    model = getattr(import_fusionlab("fusionlab.nn.models"), name)(
        static_input_dim=3,
        dynamic_input_dim=4,
        future_input_dim=2,
        forecast_horizon=3,
        embed_dim=8,
        lstm_units=8,
        attention_units=8,
        num_heads=2,
        hidden_units=8,
        max_window_size=5,
        memory_size=7,
        **options,
    )
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype("f4") for shape in SHAPES[name]]
    model(inputs)
    return model, inputs


def saved(model: Any, folder: Path) -> list[Path]:
    """Saves the model in every format of Keras 2, and returns the paths."""
    files: list[tuple[str, Callable[[str], None]]] = [
        ("xtft.keras", model.save),
        ("xtft.weights.h5", model.save_weights),
        ("xtft.h5", lambda path: model.save_weights(path, save_format="h5")),
    ]
    for name, save in files:
        save(str(folder / name))
    return [folder / name for name, _ in files]


def test_all_layers_of_an_xtft_are_found_and_read(tmp_path: Path) -> None:
    model, _ = model_of("XTFT")
    weights = {name: randomised(getattr(model, part)) for name, part in LAYERS.items()}
    for path in saved(model, tmp_path):
        found = {layer.layer: layer for layer in convert.find(path)}
        assert set(found) == set(LAYERS)
        assert found["MemoryAugmentedAttention"].memory_size == 7
        for name in LAYERS:
            assert_equal(convert.read(path, name).get_weights(), weights[name])
            assert_equal(convert.read(path, found[name].name).get_weights(), weights[name])
        with pytest.raises(DataError, match="found 3 layers; pass layer= with one of"):
            convert.read(path)


def test_the_untrained_memory_layer_of_super_xtft_is_diagnosed(tmp_path: Path) -> None:
    import tensorflow as tf

    model, inputs = model_of(
        "SuperXTFT", output_dim=2
    )  # with one output, the last normalisation gives a constant
    optimizer = tf.keras.optimizers.Adam(0.01)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(inputs) - 1) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        pairs = zip(gradients, model.trainable_variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
    path = tmp_path / "super.weights.h5"  # the older format cannot hold its repeated names
    model.save_weights(str(path))
    said = {
        found.layer: [finding.name for finding in diagnose(layer).findings]
        for found, layer in read_layers(path)
    }
    assert said["MemoryAugmentedAttention"][-1] == "untrained"
    assert "untrained" not in said["CrossAttention"] + said["HierarchicalAttention"]
