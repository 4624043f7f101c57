"""ONNX Runtime computes the output of layers of two inputs from their ONNX graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from memattn import convert

from ..pairs import CASES, CLASSES, WIDTHS, PairLayer, both, golden, with_biases

NAMES = {"CrossAttention": ("x1", "x2"), "HierarchicalAttention": ("short", "long")}


def run(layer: PairLayer, folder: Path, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    path = folder / "layer.onnx"
    convert.write(layer, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = dict(zip(NAMES[type(layer).__name__], (first, second), strict=True))
    y: np.ndarray = session.run(["y"], inputs)[0]
    return y


def within(found: np.ndarray, expected: np.ndarray, limit: float) -> bool:
    return bool(np.abs(found - expected).max() <= limit * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 3e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("case", [c for c in CASES if not c.startswith(("mask_", "uniform_"))])
def test_the_graph_gives_the_golden_output(
    case: str, dtype: str, limit: float, tmp_path: Path
) -> None:
    layer, _, arrays = golden(case, dtype)
    y = run(layer, tmp_path, arrays["x1"].astype(dtype), arrays["x2"].astype(dtype))
    assert y.dtype == np.dtype(dtype)
    assert within(y, arrays["y"], limit)


# Widths below, between and above D and Dv, so that each product is folded in some cases only.
@pytest.mark.parametrize("widths", [(5, 3), (5, 6), (2, 9)])
@pytest.mark.parametrize("dims", [(4, 7), (7, 4)])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("steps", [(1, 1), (7, 4)])
@both
def test_every_fold_takes_any_batch_and_steps(
    tmp_path: Path,
    kind: str,
    widths: tuple[int, int],
    dims: tuple[int, int],
    use_bias: bool,
    steps: tuple[int, int],
) -> None:
    options: dict[str, Any] = dict(zip(WIDTHS[kind], widths, strict=True))
    layer = CLASSES[kind](
        6, 2, **options, key_dim=dims[0], value_dim=dims[1], use_bias=use_bias, dropout=0.5, seed=1
    )
    with_biases(layer)
    draw = np.random.default_rng(0).standard_normal
    x1 = draw((3, steps[0], widths[0])).astype("f")
    x2 = draw((3, steps[1 if kind == "cross" else 0], widths[1])).astype("f")
    assert within(run(layer, tmp_path, x1, x2), layer(x1, x2), 3e-6)


@both
def test_the_file_has_the_documented_shapes_and_constants(tmp_path: Path, kind: str) -> None:
    options: dict[str, Any] = dict(zip(WIDTHS[kind], (5, 3), strict=True))
    layer = CLASSES[kind](6, 2, **options, key_dim=4, value_dim=2, seed=1)
    convert.write(layer, tmp_path / "layer.onnx")
    model = onnx.load(tmp_path / "layer.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    shapes = {
        entry.name: [size.dim_param or size.dim_value for size in entry.type.tensor_type.shape.dim]
        for entry in (*model.graph.input, *model.graph.output)
    }
    constants = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    if kind == "cross":
        assert shapes == {
            "x1": ["batch", "steps1", 5],
            "x2": ["batch", "steps2", 3],
            "y": ["batch", "steps1", 6],
        }
        # x2 itself is the keys, since 3 <= 4, but is projected to values, since 3 > 2.
        assert (constants["q"], constants["v"], constants["o"]) == ((5, 6), (3, 4), (4, 6))
        assert "k" not in constants
    else:
        assert shapes == {
            "short": ["batch", "steps", 5],
            "long": ["batch", "steps", 3],
            "y": ["batch", "steps", 6],
        }
        assert (constants["short.k"], constants["long.q"]) == ((5, 8), (3, 6))
        assert "long.k" not in constants
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memattn.convert.onnx_model._MAX_BYTES", 100)
        with pytest.raises(ValueError, match="bytes of folded matrices, expected at most 100"):
            convert.write(layer, tmp_path / "large.onnx")
