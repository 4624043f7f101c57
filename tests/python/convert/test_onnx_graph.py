"""ONNX Runtime computes the layer's output from the ONNX graph, for any batch and steps."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from memattn import MemoryAugmentedAttention, convert
from memattn.convert.onnx_graph import folded

from ..golden import CASES, read


def run(layer: MemoryAugmentedAttention, folder: Path, x: np.ndarray) -> np.ndarray:
    path = folder / "layer.onnx"
    convert.write(layer, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def within(found: np.ndarray, expected: np.ndarray, limit: float) -> bool:
    return bool(np.abs(found - expected).max() <= limit * np.abs(expected).max())


@pytest.mark.parametrize(("dtype", "limit"), [("float32", 3e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("case", [case for case in CASES if "mask_" not in case])
def test_the_graph_gives_the_golden_output(
    case: str, dtype: str, limit: float, tmp_path: Path
) -> None:
    arrays, config = read(case)
    layer = MemoryAugmentedAttention(**config, dtype=dtype, seed=0)
    layer.set_weights({name: arrays[name] for name in layer.weights})
    y = run(layer, tmp_path, arrays["x"].astype(dtype))
    assert y.dtype == np.dtype(dtype)
    assert within(y, arrays["y"], limit)


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"residual": False}])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (1, 50), (7, 13)])
def test_the_graph_takes_any_batch_and_steps(
    tmp_path: Path, sizes: tuple[int, int], options: dict[str, bool]
) -> None:
    layer = MemoryAugmentedAttention(
        6, 5, 2, key_dim=3, value_dim=4, dropout=0.5, seed=1, **options
    )
    x = np.random.default_rng(0).standard_normal((*sizes, 6)).astype(np.float32)
    assert within(run(layer, tmp_path, x), layer(x), 3e-6)


def test_the_file_has_the_documented_nodes_and_shapes(tmp_path: Path) -> None:
    layer = MemoryAugmentedAttention(6, 5, 2, seed=1)
    convert.write(layer, tmp_path / "layer.onnx")
    model = onnx.load(tmp_path / "layer.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["MatMul", "Add", "Reshape", "Softmax", "Reshape", "MatMul", "Add", "Add"]
    shape = model.graph.input[0].type.tensor_type.shape
    assert [size.dim_param or size.dim_value for size in shape.dim] == ["batch", "steps", 6]
    constants = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    assert (constants["a"], constants["b"]) == ((6, 10), (10, 6))


def test_folded_matrices_give_the_output_of_the_projected_route() -> None:
    layer = MemoryAugmentedAttention(4, 3, 2, key_dim=2, value_dim=3, dtype="float64", seed=5)
    layer.route = "projected"
    arrays = folded(layer.weights)
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    logits = (x @ arrays["a"] + arrays["c"]).reshape(2, 3, 2, 3)
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    y, expected = layer(x, return_attention_scores=True)
    assert within(np.moveaxis(scores, 2, 1), expected, 1e-12)
    assert within(x + scores.reshape(2, 3, 6) @ arrays["b"] + arrays["bo"], y, 1e-12)


def test_too_large_a_graph_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("memattn.convert.onnx_model._MAX_BYTES", 100)
    with pytest.raises(ValueError, match="bytes of folded matrices, expected at most 100"):
        convert.write(MemoryAugmentedAttention(6, 5, 2, seed=1), tmp_path / "layer.onnx")
    assert list(tmp_path.iterdir()) == []
