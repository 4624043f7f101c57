"""OpenVINO on the graphs of onnx_graph.py, for the latency of one stream.

Mode "graph" is set to float32. Mode "default" leaves the precision to OpenVINO, which chooses
bfloat16 if the machine has it.
"""

from __future__ import annotations

import openvino as ov

from bench.pairs import PairProblem
from bench.peers import onnx_pairs
from bench.peers.worker import Model
from bench.problem import Problem

CONFIG = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}


def versions() -> dict[str, str]:
    """Return the versions in use."""
    chosen = ov.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name()
    return {"openvino": str(ov.__version__), "default precision": chosen}


def load(problem: Problem | PairProblem, mode: str, task: str, form: str) -> Model:
    """Prepare mode "graph" or "default"; only task "forward"."""
    graph, inputs = onnx_pairs.graph_of(problem, form)
    core = ov.Core()
    config = CONFIG if mode == "default" else CONFIG | {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model=graph), "CPU", config)
    request = compiled.create_infer_request()
    for name, value in inputs.items():
        # Owns its memory; a shared tensor would not keep the value alive.
        tensor = ov.Tensor(ov.Type.f32, value.shape)
        tensor.data[:] = value
        request.set_tensor(name, tensor)

    def call() -> None:
        request.start_async()
        request.wait()

    return Model(call, lambda _: [request.get_output_tensor().data])
