"""Inspection of layers of two inputs: tokens, attention, and the matrices of heads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import CrossAttention, HierarchicalAttention
from memattn.errors import DataError
from memattn.inspection import (
    PairInspection,
    PairTokens,
    inspect_layer,
    read_pair_tokens,
    reference_pair_tokens,
)
from memattn.inspection.pair_fold import effective_rank, fold_pair_heads
from memattn.inspection.pair_reading import MAP_STEPS

from ..pairs import both, inputs, small, with_biases


def names_of(kind: str) -> list[str]:
    return [""] if kind == "cross" else ["short", "long"]


# --- tokens ---------------------------------------------------------------------------------------


@both
def test_reference_tokens_are_always_the_same(kind: str) -> None:
    one, two = reference_pair_tokens(small(kind)), reference_pair_tokens(small(kind, seed=9))
    np.testing.assert_array_equal(one.first, two.first)
    np.testing.assert_array_equal(one.second, two.second)
    assert one.is_reference
    assert (one.first.shape, one.second.shape) == ((64, 16, 5), (64, 16, 3))
    assert one.source == "64 sequences of 16 standard normal steps (seed 0)"


def test_many_heads_get_fewer_reference_tokens() -> None:
    assert len(reference_pair_tokens(CrossAttention(1, 8192, seed=0))) == 8


@both
def test_tokens_are_read_from_array_files(tmp_path: Path, kind: str) -> None:
    first, second = inputs(kind)
    np.save(tmp_path / "a.npy", first)
    np.savez(tmp_path / "b.npz", second)
    tokens = read_pair_tokens(tmp_path / "a.npy", tmp_path / "b.npz", small(kind))
    np.testing.assert_array_equal(tokens.first, first)
    np.testing.assert_array_equal(tokens.second, second)
    steps = second.shape[1]
    assert tokens.source == f"3 sequences of 7 and {steps} steps of a.npy and b.npz"
    assert not tokens.is_reference


@both
def test_csv_files_are_one_sequence(tmp_path: Path, kind: str) -> None:
    for name, width in (("a.csv", 5), ("b.csv", 3)):
        head = ",".join(f"c{column}" for column in range(width))
        rows = [",".join(f"{row + column}.5" for column in range(width)) for row in range(6)]
        (tmp_path / name).write_text("\n".join([head, *rows]))
    tokens = read_pair_tokens(tmp_path / "a.csv", tmp_path / "b.csv", small(kind))
    assert (len(tokens), tokens.steps) == (1, (6, 6))


@pytest.mark.parametrize(
    ("kind", "shapes", "said"),
    [
        ("cross", [(3, 7, 4), (3, 4, 3)], r"shape \(3, 7, 4\), expected tokens of .* 5 units"),
        ("cross", [(3, 7, 5), (3, 4, 5)], r"shape \(3, 4, 5\), expected tokens of .* 3 units"),
        ("cross", [(3, 7, 5), (2, 4, 3)], r"\(2, 4, 3\), expected a second input \(3, steps, 3\)"),
        ("hierarchical", [(3, 7, 5), (3, 4, 3)], r"expected a second input \(3, 7, 3\)"),
        ("cross", [(3, 7, 5), (0, 4, 3)], r"shape \(0, 4, 3\)"),
        ("cross", [(3, 7, 5)], "found a list of 1, expected a tuple of the two inputs"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(
    kind: str, shapes: list[tuple[int, ...]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        inspect_layer(small(kind), [np.zeros(shape) for shape in shapes])


@both
def test_non_finite_tokens_and_other_types_are_refused(kind: str) -> None:
    first, second = inputs(kind)
    second[1, 2, 0] = np.nan
    with pytest.raises(DataError, match="a NaN or an infinity in token"):
        inspect_layer(small(kind), (first, second))
    with pytest.raises(DataError, match="found a ndarray, expected a tuple"):
        inspect_layer(small(kind), first)
    with pytest.raises(DataError, match="expected real numbers"):
        inspect_layer(small(kind), ("a", "b"))


# --- attention ------------------------------------------------------------------------------------


@both
def test_statistics_match_their_definitions(kind: str) -> None:
    layer = with_biases(small(kind, dtype="float64"))
    x = inputs(kind, dtype="float64")
    y, scores = layer(*x, return_attention_scores=True)
    inspection = inspect_layer(layer, x)
    assert isinstance(inspection, PairInspection)
    reading = inspection.reading
    assert [one.name for one in reading.attentions] == names_of(kind)
    each = scores if kind == "hierarchical" else (scores,)
    for one, p in zip(reading.attentions, each, strict=True):
        entropy = -(p * np.log(p)).sum(axis=-1).mean(axis=(0, 2))
        np.testing.assert_allclose(one.entropy, entropy)
        np.testing.assert_allclose(one.effective_steps, np.exp(entropy))
        assert one.scores is not None
        np.testing.assert_allclose(one.scores, p.mean(axis=(0, 1)))
        np.testing.assert_allclose(one.scores.sum(axis=1), 1)
        logits = np.log(p)
        np.testing.assert_allclose(one.logit_spread, np.sqrt(logits.var(axis=3).mean(axis=(0, 2))))
        assert one.query_spread is not None
        np.testing.assert_allclose(one.query_spread, np.sqrt(logits.var(axis=2).mean(axis=(0, 2))))
        np.testing.assert_array_equal(one.saturated, 0)
    norms = np.sqrt((y**2).sum(axis=-1).mean())
    np.testing.assert_allclose(reading.output_norm, norms)
    around = y - y.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(reading.output_variation, np.sqrt((around**2).sum(-1).mean()))
    assert reading.finite


@both
def test_statistics_do_not_depend_on_the_part_size(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = small(kind), inputs(kind, batch=9)
    whole = inspect_layer(layer, x).reading
    monkeypatch.setattr("memattn.inspection.pair_reading.VALUES_A_CALL", 1)
    parts = inspect_layer(layer, x).reading
    for one, other in zip(whole.attentions, parts.attentions, strict=True):
        for name in ("entropy", "logit_spread", "query_spread", "saturated", "scores"):
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6)
    np.testing.assert_allclose(whole.output_variation, parts.output_variation, rtol=1e-6)


def test_scores_of_very_many_steps_are_not_kept() -> None:
    layer = CrossAttention(4, 1, seed=0)
    x = np.random.default_rng(0).standard_normal((1, MAP_STEPS + 1, 4))
    assert inspect_layer(layer, (x, x[:, :3])).reading.attentions[0].scores is None
    assert inspect_layer(layer, (x[:, :1], x[:, :3])).reading.attentions[0].query_spread is None


# --- matrices of heads ----------------------------------------------------------------------------


@both
def test_singular_values_match_the_definition(kind: str) -> None:
    """Singular values are those of the logit and value matrices, computed from the kernels."""
    layer = small(kind, key_dim=4, value_dim=7)
    weights = {name: w.astype(np.float64) for name, w in layer.weights.items()}
    for name in names_of(kind):
        first, second = (
            ("source1", "source2") if kind == "cross" else (f"{name}.dense", f"{name}.dense")
        )
        prefix = f"{name}." if name else ""
        for h, head in enumerate(fold_pair_heads(layer.weights, name)):
            query, key, value = (
                weights[f"{prefix}{role}.kernel"][:, h] for role in ("query", "key", "value")
            )
            w1, w2 = weights[f"{first}.kernel"], weights[f"{second}.kernel"]
            a = w1 @ query @ key.T @ w2.T / np.sqrt(4)
            c = w2 @ value @ weights[f"{prefix}output.kernel"][h]
            for found, matrix in ((head.logits, a), (head.values, c)):
                expected = np.linalg.svd(matrix, compute_uv=False)[: len(found)]
                np.testing.assert_allclose(found, expected, atol=1e-12)
                assert len(found) <= min(matrix.shape)


@both
def test_large_matrices_give_the_same_singular_values(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = small(kind, key_dim=4, value_dim=7)
    for name in names_of(kind):
        with monkeypatch.context() as patch:
            exact = fold_pair_heads(layer.weights, name)
            patch.setattr("memattn.inspection.pair_fold.SVD_SIZE", 0)
            for one, other in zip(exact, fold_pair_heads(layer.weights, name), strict=True):
                for part in ("logits", "values"):
                    expected, found = getattr(one, part), getattr(other, part)
                    np.testing.assert_allclose(found, expected, atol=1e-7 * expected[0])


def test_effective_rank_counts_equal_singular_values() -> None:
    assert effective_rank(np.array([2.0, 2.0, 2.0])) == pytest.approx(3)
    assert effective_rank(np.array([5.0, 0.0])) == 1
    assert effective_rank(np.zeros(3)) == 0


@both
def test_inspection_describes_the_layer(kind: str) -> None:
    layer: Any = small(kind, key_dim=4, value_dim=7)
    inspection = inspect_layer(layer, inputs(kind))
    assert inspection.name == type(layer).__name__
    assert inspection.config == layer.get_config()
    assert inspection.parameters == layer.count_params()
    assert inspection.widths == (5, 3)
    assert inspection.head_widths == (4, 7)
    assert inspection.logits_scale == 0.5
    routes = layer.route_of(3, 7, 4) if kind == "cross" else layer.route_of(3, 7)
    assert list(inspection.routes.values()) == ([routes] if kind == "cross" else list(routes))
    again = inspect_layer(layer, PairTokens(*inputs(kind), "mine"))
    assert again.tokens.source == "mine"


def test_a_subclass_has_the_name_of_its_layer_class() -> None:
    class Mine(HierarchicalAttention):
        pass

    assert inspect_layer(Mine(4, 2, seed=0)).name == "HierarchicalAttention"
