"""The contestants: peers, the modes in which they run, and the forms of the layer that they get."""

from __future__ import annotations

from dataclasses import dataclass

# The peers that are installed, as named in --peers, and their usual names.
PEERS = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
    "tensorflow": "TensorFlow, Keras 3",
    "jax": "JAX",
    "fusionlab": "fusionlab, TF 2.15",
}
FORMS = {
    "published": "as published",
    "folded": "folded by hand",
    "own": "memattn",
}


@dataclass(frozen=True)
class Contestant:
    """One row of a table; `form` is "published", "folded", or "own" for memattn."""

    peer: str
    mode: str
    form: str
    tasks: tuple[str, ...] = ("forward", "step")
    precision: str = "float32"  # of its products; "default": the runtime's choice

    @property
    def key(self) -> str:
        """Return its key in the results."""
        return f"{self.peer} {self.mode} {self.form}"

    @property
    def label(self) -> str:
        """Return its display name, without the form."""
        return label(self.peer, self.mode)


_LABELS = {
    ("memattn", "float32"): "memattn, C++",
    ("memattn", "bfloat16"): "memattn, C++, bfloat16",
    ("memattn", "python"): "memattn, Python, out=",
    ("memattn", "peak"): "FMA peak",
    ("onnxruntime", "graph"): "ONNX Runtime",
    ("openvino", "graph"): "OpenVINO",
    ("openvino", "default"): "OpenVINO, default precision",
    ("torch", "eager"): "PyTorch, eager",
    ("torch", "compile"): "PyTorch, compiled",
    ("tensorflow", "graph"): "TensorFlow, graph",
    ("tensorflow", "xla"): "TensorFlow, XLA",
    ("jax", "jit"): "JAX, jit",
    ("fusionlab", "eager"): "fusionlab, eager",
    ("fusionlab", "graph"): "fusionlab's TF, graph",
    ("fusionlab", "xla"): "fusionlab's TF, XLA",
}


def label(peer: str, mode: str) -> str:
    """Return a contestant's display name, without the form."""
    if mode.startswith("cores"):
        return f"memattn, C++, {mode.removeprefix('cores')} cores"
    return _LABELS.get((peer, mode), peer)


TASKS = ("forward", "step")


def _both_forms(
    peer: str, *modes: str, tasks: tuple[str, ...] = TASKS, precision: str = "float32"
) -> list[Contestant]:
    forms = ("published", "folded")
    return [Contestant(peer, mode, form, tasks, precision) for mode in modes for form in forms]


MEMATTN = Contestant("memattn", "float32", "own")
PEAK = Contestant("memattn", "peak", "own")
HALF = Contestant("memattn", "bfloat16", "own", ("forward",), "bfloat16")
PYTHON = Contestant("memattn", "python", "own", ("forward",))

ALL_PEERS = [
    *_both_forms("onnxruntime", "graph", tasks=("forward",)),
    *_both_forms("openvino", "graph", tasks=("forward",)),
    # Of these peers, only OpenVINO uses another precision than float32 by default.
    *_both_forms("openvino", "default", tasks=("forward",), precision="default"),
    *_both_forms("torch", "eager", "compile"),
    *_both_forms("tensorflow", "graph", "xla"),
    *_both_forms("jax", "jit"),
    Contestant("fusionlab", "eager", "published"),
    *_both_forms("fusionlab", "graph", "xla"),
]


# The peers that also run the layers of two inputs.
PAIR_PEERS = ("onnxruntime", "openvino", "torch", "jax")


def lineup(task: str, peers: list[str], cores: int, layer: str = "memory") -> list[Contestant]:
    """Return a task's contestants: FMA peak, memattn, memattn on `cores` cores, these peers."""
    chosen = [PEAK, MEMATTN, HALF, PYTHON]
    if cores > 1 and layer == "memory":
        chosen.append(Contestant("memattn", f"cores{cores}", "own"))
    wanted = [peer for peer in peers if layer == "memory" or peer in PAIR_PEERS]
    chosen += [contestant for contestant in ALL_PEERS if contestant.peer in wanted]
    return [contestant for contestant in chosen if task in contestant.tasks]
