"""`diagnose` finds each fault of a layer of two inputs, and none in healthy layers."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from memattn import Adam, CrossAttention, HierarchicalAttention, MemoryAugmentedAttention
from memattn.inspection import Diagnosis, Finding, diagnose

from ..pairs import CLASSES, WIDTHS, PairLayer, both, inputs, small, with_biases

Edit = Callable[[np.ndarray], object]


def healthy_layer(kind: str, **options: Any) -> PairLayer:
    return with_biases(small(kind, key_dim=4, value_dim=7, **options))


def prefix_of(kind: str) -> str:
    """Returns the prefix of the attention whose weights the tests change."""
    return "" if kind == "cross" else "long."


def changed(layer: PairLayer, **edits: Edit) -> PairLayer:
    """Edits weights in place; in a hierarchical layer, the names are those of the long side."""
    prefix = prefix_of("cross" if isinstance(layer, CrossAttention) else "hierarchical")
    for name, edit in edits.items():
        full = prefix + name.replace("_", ".")
        if full not in layer.weights:
            full = "long.dense." + name.rpartition("_")[2]
        weight = layer.weights[full].copy()
        edit(weight)
        layer.set_weights({full: weight})
    return layer


def zero(weight: np.ndarray) -> None:
    weight[...] = 0


def names(diagnosis: Diagnosis) -> list[str]:
    return [finding.name for finding in diagnosis.findings]


def only(diagnosis: Diagnosis) -> Finding:
    (finding,) = diagnosis.findings
    return finding


@pytest.mark.parametrize("shape", [(5, 3, 6, 2), (1, 1, 1, 1), (4, 64, 32, 4), (64, 64, 64, 4)])
@pytest.mark.parametrize("seed", range(3))
@both
def test_new_and_trained_layers_are_healthy(kind: str, seed: int, shape: tuple[int, ...]) -> None:
    first, second, units, heads = shape
    widths = dict(zip(WIDTHS[kind], (first, second), strict=True))
    layer = CLASSES[kind](units, heads, **widths, seed=seed)
    diagnosis = diagnose(layer)
    assert names(diagnosis) == ["untrained"]
    assert diagnosis.healthy
    rng = np.random.default_rng(seed)
    x1, x2 = rng.standard_normal((8, 6, first)), rng.standard_normal((8, 6, second))
    optimizer = Adam(learning_rate=0.01)
    for _ in range(30):
        error = layer(x1, x2) - np.sin(x1[..., :1] + x2[..., ::-1][..., :1])
        optimizer.step(layer, layer.backward(x1, x2, 2 * error / error.size))
    assert names(diagnose(layer)) == []


@both
def test_non_finite_weights_are_found_and_counted(kind: str) -> None:
    layer = changed(healthy_layer(kind), key_kernel=lambda w: w.__setitem__((0, 0, 0), np.nan))
    diagnosis = diagnose(layer)
    assert only(diagnosis).name == "non-finite-weights"
    assert f"1 in {prefix_of(kind)}key.kernel" in only(diagnosis).found
    assert diagnosis.not_judged == {"all others": "weights are not finite"}


@both
def test_a_non_finite_output_is_found(kind: str) -> None:
    layer = changed(healthy_layer(kind), output_kernel=lambda w: np.multiply(w, 3e38, out=w))
    with np.errstate(all="ignore"):
        assert only(diagnose(layer)).name == "non-finite-output"


@pytest.mark.parametrize("name", ["key_kernel", "source2_kernel"])
def test_equal_keys_give_uniform_attention(name: str) -> None:
    layer = changed(healthy_layer("cross"), **{name: zero})
    found = {finding.name: finding for finding in diagnose(layer).findings}
    finding = found["uniform-attention"]
    assert finding.severity == "error"
    assert "does not depend on the query" in finding.meaning
    assert finding.evidence["entropy"] == pytest.approx(np.log(16), rel=1e-6)
    assert ("source-not-read" in found) == (name == "source2_kernel")


def test_uniform_attention_of_one_side_names_the_side() -> None:
    layer = changed(healthy_layer("hierarchical"), key_kernel=zero)
    finding = only(diagnose(layer))
    assert finding.name == "uniform-attention"
    assert finding.found.startswith("long side: every query step attends to all key steps equally")
    assert finding.evidence["side"] == "long"


@pytest.mark.parametrize("kind", ["cross", "hierarchical"])
def test_queries_without_effect_are_found(kind: str) -> None:
    layer = changed(
        healthy_layer(kind), query_kernel=zero
    )  # the bias stays, so that keys differ but queries do not
    finding = only(diagnose(layer))
    assert (finding.name, finding.severity) == ("query-ignored", "error")
    assert "the output does not depend on the query" in finding.meaning
    first, second = inputs(kind)
    _, scores = layer(first, second, return_attention_scores=True)
    long = scores if kind == "cross" else scores[1]
    np.testing.assert_allclose(long, long[:, :, :1].repeat(7, axis=2), rtol=1e-5)
    layer = changed(healthy_layer(kind), query_kernel=lambda w: zero(w[:, 1]))
    finding = only(diagnose(layer))
    assert (finding.name, finding.severity) == ("query-ignoring-heads", "warning")
    assert "1 of 2 heads (1)" in finding.found


def test_a_first_input_without_effect_is_found() -> None:
    finding = only(diagnose(changed(healthy_layer("cross"), source1_kernel=zero)))
    assert finding.name == "query-ignored"


@both
def test_equal_steps_in_the_data_advise_to_check_the_data(kind: str) -> None:
    first, second = inputs(kind)
    second[:] = second[:, :1]
    found = diagnose(healthy_layer(kind), (first, second)).findings
    assert [finding.name for finding in found] == ["uniform-attention"]
    assert "First check the data" in found[0].advice


@pytest.mark.parametrize("name", ["value_kernel", "output_kernel"])
@both
def test_values_without_effect_are_found(kind: str, name: str) -> None:
    layer = changed(healthy_layer(kind), **{name: zero})
    finding = only(diagnose(layer))
    assert (finding.name, finding.severity) == ("source-not-read", "error")
    what = "the second input" if kind == "cross" else "the long input"
    assert what in finding.found
    assert what in finding.meaning


@both
def test_heads_that_add_a_constant_are_found(kind: str) -> None:
    layer = changed(
        healthy_layer(kind), value_kernel=lambda w: np.multiply(w[:, 1], 1e-9, out=w[:, 1])
    )
    finding = only(diagnose(layer))
    assert (finding.name, finding.severity) == ("constant-heads", "warning")
    assert finding.evidence["heads"] == [1]


@both
def test_identical_heads_are_found(kind: str) -> None:
    def copy(weight: np.ndarray) -> None:
        weight[:, 1] = weight[:, 0]

    def copy_rows(weight: np.ndarray) -> None:
        weight[1] = weight[0]

    layer = changed(
        healthy_layer(kind),
        query_kernel=copy,
        key_kernel=copy,
        value_kernel=copy,
        output_kernel=copy_rows,
    )
    finding = only(diagnose(layer))
    assert finding.name == "identical-heads"
    assert "2 of 2 heads have equal kernels (0 = 1)" in finding.found
    layer = changed(healthy_layer(kind), query_kernel=copy, key_kernel=copy, value_kernel=copy)
    assert names(diagnose(layer)) == []


@pytest.mark.parametrize(("name", "what"), [("query_kernel", "logits"), ("value_kernel", "values")])
@both
def test_heads_collapsed_to_one_direction_are_found(kind: str, name: str, what: str) -> None:
    def collapse(weight: np.ndarray) -> None:
        weight[:, 0] = np.outer(np.arange(1, 7), np.ones(weight.shape[2])) / 6

    finding = only(diagnose(changed(healthy_layer(kind), **{name: collapse})))
    assert finding.name == "one-direction-heads"
    assert f"{what} of head 0" in finding.found
    assert finding.evidence == finding.evidence | {"heads": [0], "parts": [what]}


@both
def test_exploding_logits_are_found(kind: str) -> None:
    layer = changed(
        healthy_layer(kind),
        query_kernel=lambda w: np.multiply(w, 1e3, out=w),
        key_kernel=lambda w: np.multiply(w, 1e3, out=w),
    )
    finding = only(diagnose(layer))
    assert (finding.name, finding.severity) == ("exploding-logits", "warning")
    assert min(finding.evidence["saturated"]) >= 0.9


@both
def test_a_single_key_step_is_a_note(kind: str) -> None:
    first, second = inputs(kind, steps=1, keys=1)
    diagnosis = diagnose(healthy_layer(kind), (first, second))
    count = 1 if kind == "cross" else 2
    assert names(diagnosis) == ["single-step"] * count
    assert "does not depend on the query" in diagnosis.findings[0].meaning
    assert diagnosis.healthy
    assert sum("exploding-logits" in name for name in diagnosis.not_judged) == count


def test_a_single_query_step_is_not_judged() -> None:
    first, second = inputs("cross", steps=1, keys=4)
    diagnosis = diagnose(healthy_layer("cross"), (first, second))
    assert diagnosis.findings == []
    assert diagnosis.not_judged == {"query-ignored": "there is only one query step"}


@both
def test_a_layer_without_biases_is_never_called_untrained(kind: str) -> None:
    assert diagnose(small(kind, use_bias=False)).findings == []


def test_an_untrained_memory_layer_is_noted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        layer = MemoryAugmentedAttention(8, 5, 2, memory_initializer="zeros", seed=0)
    found = {finding.name: finding for finding in diagnose(layer).findings}
    assert found["untrained"].severity == "note"
    assert found["untrained"].found == (
        "the memory and every bias are exactly 0, as in a new layer"
    )
    assert "SuperXTFT computes its memory layer and discards the result" in (
        found["untrained"].meaning
    )
    layer.set_weights({"output.bias": np.full(8, 1e-6)})
    assert "untrained" not in names(diagnose(layer))
    assert names(diagnose(MemoryAugmentedAttention(8, 5, 2, seed=0))) == []


def test_a_fault_of_the_short_side_names_the_side() -> None:
    layer = HierarchicalAttention(6, 2, short_units=5, long_units=3, seed=1)
    layer.set_weights({"short.query.kernel": np.zeros((6, 2, 6))})
    found = [f for f in diagnose(layer).findings if f.severity == "error"]
    assert [f.evidence["side"] for f in found] == ["short"]
