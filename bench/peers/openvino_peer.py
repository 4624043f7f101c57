"""OpenVINO on the graphs of onnx_graph.py, in float32, for the latency of one stream."""

from __future__ import annotations

import openvino as ov

from bench.pairs import PairProblem
from bench.peers import onnx_pairs
from bench.peers.worker import Model
from bench.problem import Problem

# Without the precision hint it would take bfloat16 where the machine has it.
CONFIG = {
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}


def versions() -> dict[str, str]:
    """What runs."""
    return {"openvino": str(ov.__version__)}


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Make ready mode "graph"; only task "forward"."""
    graph, inputs = onnx_pairs.graph_of(problem, form)
    core = ov.Core()
    compiled = core.compile_model(core.read_model(model=graph), "CPU", CONFIG)
    request = compiled.create_infer_request()
    for name, value in inputs.items():
        # Owns its memory; a shared one would not keep the value alive.
        tensor = ov.Tensor(ov.Type.f32, value.shape)
        tensor.data[:] = value
        request.set_tensor(name, tensor)

    def call() -> None:
        request.start_async()
        request.wait()

    return Model(call, lambda _: [request.get_output_tensor().data])
