"""fusionlab's XTFT, saved in every format of Keras 2: the memory layer in it is found and read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from memattn import convert

from .keras_convert_support import MARKS, assert_equal, randomised
from .keras_support import import_fusionlab

pytestmark = MARKS


def test_xtft(tmp_path: Path) -> None:
    xtft = import_fusionlab("fusionlab.nn.hybrid").XTFT(
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
    )
    rng = np.random.default_rng(0)
    xtft([rng.standard_normal(shape).astype("f4") for shape in ((2, 3), (2, 5, 4), (2, 8, 2))])
    weights = randomised(xtft.memory_augmented_attention)
    files: list[tuple[str, Callable[[str], None]]] = [
        ("xtft.keras", xtft.save),
        ("xtft.weights.h5", xtft.save_weights),
        ("xtft.h5", lambda path: xtft.save_weights(path, save_format="h5")),
    ]
    for name, save in files:
        path = tmp_path / name
        save(str(path))
        assert [found.memory_size for found in convert.find(path)] == [7]
        assert_equal(convert.read(path).get_weights(), weights)
