"""`diagnose` finds each fault of a layer where it is, and none in healthy layers."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention
from memattn.inspection import Diagnosis, diagnose, reference_tokens
from memattn.inspection.tokens import as_tokens

from ..golden import read
from ..layers import SHAPES, change, make_layer, problem, train

SHAPE = (8, 6, 3, None, None)
Edit = Callable[[np.ndarray], object]


def names(diagnosis: Diagnosis) -> list[str]:
    return [finding.name for finding in diagnosis.findings]


def put(value: object, *place: Any) -> Edit:
    """Returns an edit that writes `value` at `place`, or everywhere without a place."""

    def edit(weight: np.ndarray) -> None:
        weight[place or ...] = value

    return edit


# --- Healthy layers -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("initializer", ["normal", "glorot_uniform"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_new_layer_is_healthy(shape: tuple, initializer: str, dtype: str) -> None:
    for options in ({}, {"use_bias": False, "residual": False}):
        layer = make_layer(shape, memory_initializer=initializer, dtype=dtype, **options)
        found = diagnose(layer)
        assert names(found) == []
        assert found.healthy
        assert found.not_judged == {}


def test_a_wide_layer_is_healthy() -> None:
    # Of new layers, a wide one has the smallest differences of logits between slots.
    assert names(diagnose(make_layer((512, 16, 8, None, None)))) == []


@pytest.mark.parametrize("learning_rate", [0.003, 0.03])
@pytest.mark.parametrize(
    "shape", [(1, 5, 1, None, None), (8, 5, 2, 4, 3), (16, 20, 4, None, None), (4, 64, 3, 2, 2)]
)
def test_a_trained_layer_is_healthy(shape: tuple, learning_rate: float) -> None:
    layer = make_layer(shape)
    train(layer, 300, learning_rate)
    assert names(diagnose(layer)) == []
    assert names(diagnose(layer, problem(shape[0])[0])) == []


@pytest.mark.parametrize("case", ["docs_example", "user_guide", "narrow", "mask_no_mask"])
def test_golden_layers_are_healthy(case: str) -> None:
    assert names(diagnose(golden_layer(case))) == []


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_published_layer_trained_from_a_random_memory_is_healthy(optimizer: str) -> None:
    assert names(diagnose(golden_layer(f"train_{optimizer}_random", "last."))) == []


def golden_layer(case: str, prefix: str = "", dtype: str = "float32") -> MemoryAugmentedAttention:
    arrays, config = read(case)
    config.pop("use_causal_mask", None)
    layer = MemoryAugmentedAttention(**config, dtype=dtype, seed=0)
    layer.set_weights({name: arrays[prefix + name] for name in layer.weights})
    return layer


# --- The collapse of the published layer --------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("prefix", ["", "last."])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_published_layer_trained_from_zeros_has_collapsed(
    optimizer: str, prefix: str, dtype: str
) -> None:
    layer = golden_layer(f"train_{optimizer}_zeros", prefix, dtype)
    found = diagnose(layer)
    assert names(found) == ["identical-slots", "uniform-attention"]
    assert not found.healthy
    identical, uniform = found.findings
    assert identical.severity == uniform.severity == "error"
    assert identical.evidence["slots"] == identical.evidence["of"] == 5
    assert identical.evidence["largest_difference"] == 0
    assert "all 5 slots are equal to the last bit" in identical.found
    assert ("and zero" in identical.found) == (prefix == "")
    assert uniform.evidence["entropy"] == pytest.approx(np.log(5), abs=1e-6)
    assert uniform.evidence["log_slots"] == np.log(5)
    assert uniform.evidence["logit_spread"] <= 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_a_memory_of_zeros_is_found_at_any_shape(shape: tuple) -> None:
    layer = make_layer(shape, memory_initializer="zeros")
    assert names(diagnose(layer)) == ["identical-slots", "uniform-attention", "untrained"]


def test_nearly_identical_slots_are_found() -> None:
    layer = make_layer(SHAPE)
    rng = np.random.default_rng(0)
    mean = rng.standard_normal(8)
    layer.set_weights({"memory": mean + 1e-6 * rng.standard_normal((6, 8))})
    found = diagnose(layer)
    assert names(found) == ["nearly-identical-slots", "uniform-attention"]
    assert found.findings[0].severity == "error"
    assert 0 < found.findings[0].evidence["largest_difference"] < 1e-5


def test_a_group_of_identical_slots_is_a_warning() -> None:
    layer = make_layer(SHAPE)
    memory = layer.weights["memory"]
    change(layer, memory=put(memory[1], [2, 4]))
    found = diagnose(layer)
    assert names(found) == ["identical-slots"]
    assert found.findings[0].severity == "warning"
    assert not found.healthy
    assert found.findings[0].evidence["groups"] == [[1, 2, 4]]
    assert "3 of 6 slots, in 1 group, are equal to the last bit" in found.findings[0].found


# --- Heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["query_kernel", "key_kernel"])
def test_uniform_attention_in_all_heads_is_found(name: str) -> None:
    layer = change(make_layer(SHAPE), **{name: put(0)})
    assert names(diagnose(layer)) == ["uniform-attention"]


@pytest.mark.parametrize("name", ["query_kernel", "key_kernel"])
def test_uniform_attention_in_one_head_is_a_warning(name: str) -> None:
    layer = change(make_layer(SHAPE), **{name: put(0, slice(None), 1)})
    found = diagnose(layer)
    assert names(found) == ["uniform-heads"]
    assert found.findings[0].evidence["heads"] == [1]
    assert found.findings[0].severity == "warning"


def test_a_head_that_chooses_by_its_bias_is_not_uniform() -> None:
    # The head reads the same slot for every token, which is constant but not uniform.
    layer = change(make_layer(SHAPE), query_kernel=put(0), query_bias=put(1))
    assert "uniform-attention" not in names(diagnose(layer))


@pytest.mark.parametrize("name", ["value_kernel", "output_kernel"])
def test_a_head_that_adds_nothing_is_found(name: str) -> None:
    place = (slice(None), 2) if name == "value_kernel" else (2,)
    layer = change(make_layer(SHAPE), **{name: put(0, *place)})
    found = diagnose(layer)
    assert names(found) == ["constant-heads"]
    assert found.findings[0].evidence["heads"] == [2]


def test_a_head_that_adds_a_constant_is_found() -> None:
    layer = make_layer(SHAPE)
    edits = {"value_kernel": put(0, slice(None), 2), "value_bias": put(1, 2)}
    found = diagnose(change(layer, **edits))
    assert names(found) == ["constant-heads"]
    assert found.findings[0].evidence["heads"] == [2]
    assert found.findings[0].evidence["size"][0] > 0.1
    assert found.findings[0].evidence["spread"][0] < 1e-12


# --- Slots that are not read --------------------------------------------------------------------


def test_dead_slots_are_found_given_enough_tokens() -> None:
    layer = make_layer((4, 6, 2, None, None))
    rng = np.random.default_rng(1)
    memory = 0.1 * rng.standard_normal((6, 4))
    memory[[1, 4], 0] = -300
    layer.set_weights({"memory": memory})
    change(
        layer,
        key_kernel=put(np.eye(4)[:, None]),
        query_kernel=put(1e-3),
        query_bias=put(1),
    )
    found = diagnose(layer)
    assert names(found) == ["dead-slots"]
    assert found.findings[0].evidence["slots"] == [1, 4]
    assert found.findings[0].evidence["of"] == 6
    few = diagnose(layer, np.zeros((10, 4)))
    assert names(few) == []
    assert few.not_judged == {"dead-slots": "10 tokens are too few for so many slots"}


# --- Numbers that are too large -----------------------------------------------------------------


def test_exploding_logits_are_found_with_a_bound() -> None:
    layer = make_layer(SHAPE)
    layer.set_weights({"query.kernel": 1e5 * layer.weights["query.kernel"]})
    found = diagnose(layer)
    assert names(found) == ["exploding-logits"]
    finding = found.findings[0]
    assert finding.evidence["heads"] == [0, 1, 2]
    assert min(finding.evidence["saturated"]) > 0.9
    # The bound holds for these tokens, and is not too loose.
    x = reference_tokens(layer).values
    logits = np.einsum("nu,uhd->nhd", x, layer.weights["query.kernel"])
    keys = np.einsum("su,uhd->shd", layer.weights["memory"], layer.weights["key.kernel"])
    gaps = np.ptp(np.einsum("nhd,shd->nhs", logits, keys) / np.sqrt(8), axis=2).max(axis=0)
    bounds = np.array(finding.evidence["largest_gap_bound"])
    assert np.all(gaps <= bounds * (1 + 1e-5))
    assert np.all(bounds < 5 * gaps)


def test_a_selective_head_is_healthy() -> None:
    layer = make_layer(SHAPE)
    layer.set_weights({"query.kernel": 100 * layer.weights["query.kernel"]})
    assert names(diagnose(layer)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["memory", "query_kernel", "key_bias", "output_bias"])
def test_non_finite_weights_are_found_and_counted(name: str, value: float) -> None:
    layer = change(make_layer(SHAPE), **{name: put(value, 0)})
    found = diagnose(layer)
    assert names(found) == ["non-finite-weights"]
    dotted = name.replace("_", ".")
    assert found.findings[0].evidence["counts"] == {dotted: layer.weights[dotted][0].size}
    assert found.not_judged == {"all others": "weights are not finite"}


def test_a_non_finite_output_is_found() -> None:
    layer = make_layer(SHAPE)
    layer.set_weights({name: np.full(w.shape, 1e30) for name, w in layer.weights.items()})
    assert names(diagnose(layer)) == ["non-finite-output"]


# --- Notes, texts and order ---------------------------------------------------------------------


def test_one_slot_is_a_note() -> None:
    found = diagnose(make_layer((4, 1, 2, None, None)))
    assert names(found) == ["single-slot"]
    assert found.healthy


def test_every_finding_has_advice_and_json_evidence() -> None:
    ill = change(
        make_layer((8, 6, 3, None, None)),
        memory=put(1, [0, 1]),
        query_kernel=put(0, slice(None), 1),
        value_kernel=put(0, slice(None), 2),
    )
    found = diagnose(ill)
    assert names(found) == ["identical-slots", "uniform-heads", "constant-heads"]
    for finding in found.findings:
        assert finding.found
        assert finding.meaning.endswith(".") or finding.name == "identical-slots"
        assert finding.advice.endswith(".")
        json.dumps(finding.evidence, allow_nan=False)


def test_errors_come_before_warnings() -> None:
    layer = make_layer(SHAPE)
    change(layer, query_kernel=put(0), memory=put(layer.weights["memory"][1], 2))
    found = diagnose(layer).findings
    assert [finding.name for finding in found] == ["uniform-attention", "identical-slots"]
    assert [finding.severity for finding in found] == ["error", "warning"]


def test_the_diagnosis_depends_on_the_tokens() -> None:
    # All tokens are equal and tiny, so that the scores of every head are uniform.
    layer = make_layer(SHAPE)
    tokens = as_tokens(np.full((200, 8), 1e-9), layer)
    assert names(diagnose(layer)) == []
    assert "uniform-attention" in names(diagnose(layer, tokens))
