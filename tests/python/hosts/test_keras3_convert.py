"""Files that only Keras 3 writes: LoRA, quantised layers, shards."""

from pathlib import Path

import numpy as np
import pytest

from memattn import FormatError, convert
from memattn.keras.host import keras, ops

from .keras_convert_support import (
    HEADS,
    MARKS,
    PUBLISHED,
    SLOTS,
    UNITS,
    models,
    randomised,
    saved_files,
)

pytestmark = MARKS


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        convert.find(path)
    return str(caught.value)


def test_lora_factors_are_refused_unless_merged(tmp_path: Path) -> None:
    model, layer = models(PUBLISHED)[0]
    randomised(layer)
    dense = layer.attention._query_dense
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones(dense.lora_kernel_b.shape))
    keras_file, _, legacy = saved_files(model, tmp_path)
    assert "LoRA factors" in refusal(legacy)
    # A .keras file holds the kernel with the factors merged.
    read = convert.read(keras_file)
    merged = np.asarray(ops.convert_to_numpy(dense.kernel))
    np.testing.assert_allclose(read.weights["query.kernel"], merged, rtol=1e-6)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantised_layers_are_refused(mode: str, tmp_path: Path) -> None:
    model, layer = models(PUBLISHED)[0]
    layer.attention._query_dense.quantize(mode)
    for path in saved_files(model, tmp_path):
        said = refusal(path)
        assert "a quantised query projection" in said
        assert "save the model before it is quantised" in said


def test_a_shard_is_read_and_its_index_refused(tmp_path: Path) -> None:
    x = keras.Input((None, UNITS))
    hidden = PUBLISHED(UNITS, SLOTS, HEADS)(x)
    for _ in range(3):
        hidden = keras.layers.Dense(400)(hidden)
    model = keras.Model(x, hidden)
    index = tmp_path / "model.weights.json"
    model.save_weights(str(index), max_shard_size=0.001)
    assert "the index of weights in shards, expected the weights: convert" in refusal(index)
    shards = sorted(tmp_path.glob("*.h5"))
    assert len(shards) > 1
    assert convert.find(shards[0])[0].memory_size == SLOTS
