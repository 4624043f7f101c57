"""MultiResolutionAttentionFusion and ExplainableAttention against Keras' attention."""

import json
from typing import Any

import numpy as np
import pytest

from memattn.keras import ExplainableAttention, MultiResolutionAttentionFusion
from memattn.keras.host import KERAS_3, keras
from memattn.keras.self_attention import cheapest_way

from .keras_support import WARNINGS_OF_KERAS, agree, numpy, tensor, tokens

pytestmark = WARNINGS_OF_KERAS
X = tokens(4, 5, 7)
WAYS = [("as_written", True), ("left_read_dense", True), ("left_read_dense", False)]


def filled(layer: Any) -> Any:
    """Gives the layer random weights without zeros."""
    layer(tensor(X))
    draw = np.random.default_rng(0).standard_normal
    layer.set_weights([0.4 * draw(weight.shape) for weight in layer.get_weights()])
    return layer


@pytest.fixture(params=WAYS, ids=["written", "folded", "in turn"])
def forced_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces one of the routes, even if another is cheaper."""
    name = "memattn.keras.self_attention.cheapest_way"
    monkeypatch.setattr(name, lambda *_, **__: request.param)


@pytest.mark.usefixtures("forced_way")
@pytest.mark.parametrize("options", [{}, {"use_bias": False, "value_dim": 2}])
def test_outputs_and_scores_are_those_of_keras_attention(options: dict[str, Any]) -> None:
    fusion = filled(MultiResolutionAttentionFusion(3, 2, options))
    scores_of = filled(ExplainableAttention(2, 3, options))
    expected, scores = fusion.attention(tensor(X), tensor(X), return_attention_scores=True)
    y = numpy(fusion(tensor(X)))
    assert agree(y, numpy(expected), 3e-6)
    assert agree(numpy(scores_of(tensor(X))), numpy(scores), 3e-6)
    last = numpy(fusion(tensor(X), last_step_only=True))
    assert agree(last, y[:, -1:], 3e-6)


@pytest.mark.usefixtures("forced_way")
def test_keras_masks_are_used_and_passed_on() -> None:
    fusion = filled(MultiResolutionAttentionFusion(3, 2))
    scores_of = filled(ExplainableAttention(2, 3))
    x = X.copy()
    x[:, :2] = 0
    kept = x.any(axis=-1)
    masked = keras.layers.Masking()(tensor(x))
    y = numpy(fusion(masked))
    assert agree(y[:, 2:], numpy(fusion(tensor(x[:, 2:]))), 3e-6)
    assert agree(numpy(fusion(masked, last_step_only=True)), y[:, -1:], 3e-6)
    scores = numpy(scores_of(masked))
    np.testing.assert_array_equal(scores[:, :, 2:, :2], 0)
    assert agree(scores[:, :, 2:, 2:], numpy(scores_of(tensor(x[:, 2:]))), 3e-6)
    np.testing.assert_array_equal(numpy(fusion.compute_mask(masked, tensor(kept))), kept)
    assert scores_of.compute_mask(masked, tensor(kept)) is None


@pytest.mark.parametrize("steps", [5, None])
def test_the_layers_work_in_a_functional_model(steps: int | None) -> None:
    inputs = keras.Input((steps, 7))
    fusion, scores_of = MultiResolutionAttentionFusion(3, 2), ExplainableAttention(2, 3)
    y, scores = fusion(inputs), scores_of(inputs)
    assert tuple(y.shape) == (None, steps, 7)
    assert tuple(scores.shape) == (None, 2, steps, steps)
    assert tuple(fusion.compute_output_shape((None, steps, 7))) == (None, steps, 7)
    assert tuple(scores_of.compute_output_shape((None, steps, 7))) == (None, 2, steps, steps)
    last = fusion(inputs, last_step_only=True)
    assert tuple(last.shape) == (None, 1 if steps or KERAS_3 else None, 7)
    found = keras.Model(inputs, [y, scores, last]).predict(X, verbose=0)
    assert agree(found[0], numpy(fusion(tensor(X))), 1e-6)
    assert agree(found[1], numpy(scores_of(tensor(X))), 1e-6)
    assert agree(found[2], found[0][:, -1:], 3e-6)


@pytest.mark.parametrize("kind", [MultiResolutionAttentionFusion, ExplainableAttention])
def test_the_config_restores_the_layer(kind: Any) -> None:
    layer = kind(2, 3, {"use_bias": False, "kernel_regularizer": "l2"}, name="one")
    config = layer.get_config()
    copy = kind.from_config(json.loads(json.dumps(config)))
    assert copy.get_config() == config
    assert (copy.name, copy.attention.get_config()["use_bias"]) == ("one", False)
    with pytest.raises(ValueError, match="attention_options: found dropout, expected some of"):
        kind(2, 3, {"dropout": 0.5})


def test_the_cheapest_route_depends_on_the_sizes() -> None:
    weights = filled(MultiResolutionAttentionFusion(3, 2))._weights()
    many, one = (32, 50, 7), (32, 1, 7)
    assert cheapest_way(weights, many, many, reads=True) == ("as_written", True)
    assert cheapest_way(weights, one, many, reads=True) == ("left_read_dense", False)
    wide = filled(MultiResolutionAttentionFusion(30, 2))._weights()
    assert cheapest_way(wide, many, many, reads=False) == ("left_read_dense", True)
    assert cheapest_way(weights, (None, None, 7), (None, None, 7), reads=True)[0] == "as_written"
