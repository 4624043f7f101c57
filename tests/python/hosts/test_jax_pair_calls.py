"""CrossAttention and HierarchicalAttention in JAX: options, files, `prepare`, errors."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import memattn
from memattn.jax import CrossAttention, HierarchicalAttention

from ..pairs import CLASSES, WIDTHS, both, inputs, small, with_biases

TWINS: dict[str, Any] = {"cross": CrossAttention, "hierarchical": HierarchicalAttention}
ROUTED = {"cross": "left_read", "hierarchical": ("left_read", "as_written")}


@pytest.fixture(autouse=True)
def _without_float64() -> Iterator[None]:
    """Disables float64, which other tests in this process may have enabled."""
    with jax.enable_x64(False):
        yield


def made(kind: str, **options: Any) -> tuple[Any, Any, Any]:
    """Returns parameters, layer and inputs."""
    params, layer = TWINS[kind].from_numpy(with_biases(small(kind, **options)))
    return params, layer, inputs(kind)


@both
def test_initial_parameters_have_the_distribution_of_numpys(kind: str) -> None:
    widths = dict(zip(WIDTHS[kind], (48, 96), strict=True))
    layer = TWINS[kind](64, 4, **widths)
    params = layer.init(jax.random.key(0))
    expected = CLASSES[kind](64, 4, **widths, seed=0).weights
    assert list(params) == list(expected)
    for name, value in params.items():
        assert value.shape == expected[name].shape == layer.shapes[name]
        assert float(value.std()) == pytest.approx(float(expected[name].std()), rel=0.1)
    assert layer.init(jax.random.key(0), jnp.bfloat16)[name].dtype == jnp.bfloat16
    bare = dataclasses.replace(layer, use_bias=False).shapes
    assert list(bare) == [name for name in layer.shapes if not name.endswith(".bias")]


@both
def test_the_layer_is_hashable_and_a_static_argument(kind: str) -> None:
    params, layer, pair = made(kind)
    assert layer == made(kind)[1]
    assert hash(layer) == hash(made(kind)[1])
    assert layer != dataclasses.replace(layer, dropout=0.5)
    run = jax.jit(lambda layer, *call: layer.apply(*call), static_argnums=0)
    np.testing.assert_allclose(
        run(layer, params, *pair), layer.apply(params, *pair), rtol=2e-6, atol=2e-6
    )
    numpy_layer = small(kind)
    widths = dict(zip(WIDTHS[kind], (5, 3), strict=True))
    assert TWINS[kind](6, 2, **widths) == layer
    assert {f.name for f in dataclasses.fields(layer)} == set(numpy_layer.get_config()) - {
        "dtype",
        "seed",
    }


@both
def test_routes_are_those_of_the_numpy_layer(kind: str) -> None:
    numpy_layer, (_, layer, _) = small(kind), made(kind)
    sizes = [(1, 1, 96), (32, 10, 10), (32, 96, 1)] if kind == "cross" else [(1, 1), (32, 96)]
    for size in sizes:
        for training in (False, True):
            expected = numpy_layer.route_of(*size, training=training)
            assert layer.route_of(*size, training=training) == expected
    with pytest.raises(ValueError, match="batch: found -1, expected at least 0"):
        layer.route_of(-1, *size[1:])


@both
def test_prepared_parameters_replace_the_parameters(kind: str) -> None:
    params, layer, pair = made(kind)
    ready = layer.prepare(params, ROUTED[kind])
    routes = [side.route for side in (ready if kind == "hierarchical" else (ready,))]
    assert routes == (["left_read"] if kind == "cross" else ["left_read", "as_written"])
    y = layer.apply(params, *pair)
    run = jax.jit(layer.apply)  # the prepared parameters are a traced argument
    np.testing.assert_allclose(run(ready, *pair), y, rtol=2e-6, atol=2e-6)
    doubled = jax.tree.map(lambda array: jnp.stack([array, array]), ready)
    both_times = jax.vmap(lambda side: layer.apply(side, *pair))(doubled)
    np.testing.assert_allclose(both_times[1], y, rtol=2e-6, atol=2e-6)
    other = dataclasses.replace(layer, num_heads=1)
    with pytest.raises(ValueError, match=r"apply: params: .*: found shape .*, expected \("):
        other.apply(ready, *pair)
    wrong = "fast" if kind == "cross" else ("as_written", "fast")
    with pytest.raises(ValueError, match="prepare: route: found 'fast', expected one of \"as_wri"):
        layer.prepare(params, wrong)


@pytest.mark.parametrize("options", [{}, {"use_bias": False, "fully_masked": "uniform"}])
@both
def test_files_are_shared_with_numpy(kind: str, options: dict, tmp_path: Path) -> None:
    params, layer, _ = made(kind, key_dim=3, dropout=0.25, **options)
    layer.save(tmp_path / "layer.safetensors", params)
    numpy_layer = memattn.load(tmp_path / "layer.safetensors")
    assert type(numpy_layer) is CLASSES[kind]
    assert numpy_layer.dtype == "float32"
    again, loaded = TWINS[kind].load(tmp_path / "layer.safetensors")
    assert loaded == layer
    assert list(again) == list(layer.shapes)
    for name, value in params.items():
        np.testing.assert_array_equal(numpy_layer.weights[name], value)
        np.testing.assert_array_equal(again[name], value)
    half = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    for name, value in layer.to_numpy(half).weights.items():
        np.testing.assert_array_equal(value, half[name].astype(jnp.float32))
    with jax.enable_x64(True):
        wide = layer.init(jax.random.key(0), jnp.float64)
        assert layer.to_numpy(wide).dtype == "float64"
    other = "hierarchical" if kind == "cross" else "cross"
    with pytest.raises(memattn.FormatError):
        TWINS[other].load(tmp_path / "layer.safetensors")
    with pytest.raises(TypeError, match=f"from_numpy: found {CLASSES[kind].__name__}, expected a "):
        TWINS[other].from_numpy(numpy_layer)


def test_one_array_for_both_inputs_passes_two_dense_layers() -> None:
    numpy_layer = with_biases(small("cross", source2_units=5))
    params, layer = CrossAttention.from_numpy(numpy_layer)
    first, _ = inputs("cross")
    x = jnp.asarray(first)
    np.testing.assert_allclose(
        layer.apply(params, x, x), numpy_layer(first, first), rtol=2e-5, atol=2e-5
    )


@both
def test_empty_batches_steps_and_keys_are_accepted(kind: str) -> None:
    params, layer, (first, second) = made(kind)
    y, scores = layer.apply(params, first[:0], second[:0], return_attention_scores=True)
    assert y.shape == (0, 7, 6)
    assert {part.shape[:2] for part in jax.tree.leaves(scores)} == {(0, 2)}
    steps = layer.apply(params, first[:, :0], second[:, : 0 if kind == "hierarchical" else None])
    assert steps.shape == (3, 0, 6)
    if kind == "cross":  # a call without keys

        def total(params: Any) -> Any:
            y, scores = layer.apply(params, first, second[:, :0], return_attention_scores=True)
            assert scores.shape == (3, 2, 7, 0)
            return y.sum(), y

        slopes, y = jax.grad(total, has_aux=True)(params)
        np.testing.assert_array_equal(y, np.broadcast_to(params["output.bias"], y.shape))
        assert {name for name, slope in slopes.items() if slope.any()} == {"output.bias"}


X = {kind: inputs(kind) for kind in TWINS}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({1: X["cross"][0][0]}, ValueError, r"apply: x1: found shape \(7, 5\), expected \(batch"),
        ({2: X["cross"][1][:2]}, ValueError, r"x2: found shape \(2, 4, 3\), expected \(3, steps2"),
        ({2: None}, TypeError, r"x2: found None, expected apply\(params, x1, x2\) or apply\(par"),
        ({1: [X["cross"][0]], 2: None}, ValueError, "x1: found a list of 1, expected apply"),
        ({1: X["cross"][0] + 1j}, TypeError, "apply: found dtype complex64, expected real numbers"),
        ({"attention_mask": np.ones((3, 5), bool)}, ValueError, r"broadcasts to \(3, 7, 4\)"),
        ({"query_mask": np.ones((3, 4), bool)}, ValueError, r"query_mask: .*expected \(3, 7\)"),
        ({"value_mask": np.ones((3, 7), bool)}, ValueError, r"value_mask: .*expected \(3, 4\)"),
        ({"value_mask": np.ones((3, 4))}, TypeError, "value_mask: .*expected booleans"),
        ({"first_step": -1}, ValueError, "first_step: found -1, expected at least 0"),
        ({"return_attention_scores": "each"}, ValueError, 'expected True, False or "mean"'),
        ({0: {}}, ValueError, "prepare: params: found nothing, expected source1.kernel"),
    ],
)
def test_arguments_that_do_not_fit_cross_attention_are_refused(
    call: dict, error: Any, message: str
) -> None:
    params, layer, pair = made("cross")
    places = [call.get(place, value) for place, value in enumerate((params, *pair))]
    with pytest.raises(error, match=message):
        layer.apply(*places, **{name: v for name, v in call.items() if isinstance(name, str)})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({2: X["hierarchical"][1][:, :1]}, ValueError, r"long: .* \(3, 1, 3\), expected \(3, 7, 3"),
        ({2: X["hierarchical"][1][:1]}, ValueError, r"long: .* \(1, 7, 3\), expected \(3, 7, 3\)"),
        ({"long_mask": np.ones((3, 4), bool)}, ValueError, r"long_mask: .*expected \(3, 7\)"),
        ({"short_mask": np.ones((3, 7))}, TypeError, "short_mask: .*expected booleans"),
        ({0: {"x": 0}}, ValueError, "prepare: params: found x, expected short.dense.kernel"),
    ],
)
def test_arguments_that_do_not_fit_hierarchical_attention_are_refused(
    call: dict, error: Any, message: str
) -> None:
    params, layer, pair = made("hierarchical")
    places = [call.get(place, value) for place, value in enumerate((params, *pair))]
    with pytest.raises(error, match=message):
        layer.apply(*places, **{name: v for name, v in call.items() if isinstance(name, str)})


@both
def test_invalid_options_are_refused(kind: str) -> None:
    for options, message in (
        ({"num_heads": -1}, "num_heads: found -1, expected"),
        ({"key_dim": 0}, "key_dim: found 0, expected"),
        ({"dropout": 1.0}, "dropout: found 1, expected"),
        ({WIDTHS[kind][0]: 0}, f"{WIDTHS[kind][0]}: found 0, expected"),
    ):
        with pytest.raises(ValueError, match=message):
            TWINS[kind](**{"units": 6, "num_heads": 2, **options})
    with pytest.raises(TypeError, match="memory_size"):
        TWINS[kind](6, 2, memory_size=5)


def test_mean_scores_are_the_mean_over_heads() -> None:
    params, layer, pair = made("cross")
    full = layer.apply(params, *pair, return_attention_scores=True)[1]
    mean = layer.apply(params, *pair, return_attention_scores="mean")[1]
    np.testing.assert_allclose(mean, full.mean(1), rtol=1e-6)
    params, layer, pair = made("hierarchical")
    full = layer.apply(params, *pair, return_attention_scores=True)[1]
    mean = layer.apply(params, *pair, return_attention_scores="mean")[1]
    for of_all, of_heads in zip(mean, full, strict=True):
        np.testing.assert_allclose(of_all, of_heads.mean(1), rtol=1e-6)
