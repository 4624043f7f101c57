"""ONNX Runtime on the graphs of onnx_graph.py, input and output bound once."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from bench.peers import onnx_graph
from bench.peers.worker import Model
from bench.problem import Problem


def versions() -> dict[str, str]:
    """What runs."""
    return {"onnxruntime": ort.__version__, "onnx": onnx.__version__}


def load(problem: Problem, mode: str, task: str, form: str) -> Model:
    """Make ready mode "graph"; only task "forward"."""
    graph, x = onnx_graph.build(problem, form)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    y = ort.OrtValue.ortvalue_from_numpy(np.empty_like(x))
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", y)
    return Model(lambda: session.run_with_iobinding(binding), lambda _: [y.numpy()])
