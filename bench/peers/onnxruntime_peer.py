"""ONNX Runtime on the graphs of onnx_graph.py, with input and output bound once."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from bench.pairs import PairProblem
from bench.peers import onnx_pairs
from bench.peers.worker import Model
from bench.problem import Problem


def versions() -> dict[str, str]:
    """Return the versions in use."""
    return {"onnxruntime": ort.__version__, "onnx": onnx.__version__}


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "graph"; only task "forward"."""
    graph, inputs = onnx_pairs.graph_of(problem, form)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    shape = session.get_outputs()[0].shape
    y = ort.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32))
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value))
    binding.bind_ortvalue_output("y", y)
    return Model(lambda: session.run_with_iobinding(binding), lambda _: [y.numpy()])
