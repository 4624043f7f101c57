"""The memory layer on a CUDA device: memattn's Triton kernels beside PyTorch's own routes.

    python -m bench.torch_gpu                 # ten minutes; prints the line of docs/pytorch.md
    python -m bench.torch_gpu --dtypes bf16 --shapes docs,huge
    TRITON_INTERPRET=1 python -m bench.torch_gpu --smoke    # on the CPU; the figures mean nothing

Needs a Python with PyTorch for CUDA and memattn. Each form of the layer runs eagerly, compiled, and
as CUDA graphs of both. A forward call is in evaluation mode, where the Triton kernels keep the fold
unless the layer is compiled or captured. A step is forward and the gradients of x and of all
weights, including the fold. All forms are first compared with the layer in float64. A figure is the
median over shuffled rounds. Bytes are those of x and y, flops those of the folded form's two
products; the rates of a copy and of a matrix product on the same device are printed, too.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.machine import commit
from bench.shapes import MEMORY_SHAPES, Shape
from bench.tables import markdown
from bench.torch_gpu_forms import BACKENDS, FORMS, NAMES
from memattn.torch import MemoryAugmentedAttention

SHAPES = {
    "huge": Shape("huge", 4096, 96, 128, 128, 8),
    **{name: MEMORY_SHAPES[name] for name in ("docs", "big", "token", "xtft", "wide")},
}
SMOKE = {"smoke": Shape("smoke", 2, 3, 8, 5, 2)}
DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
MODES = ("eager", "compiled", "graph", "compiled graph")
CHECKED = 4096  # the most tokens that are compared with float64
LIMITS = {torch.bfloat16: 4e-2, torch.float32: 2e-5}
Times = dict[tuple[str, str], float]
Run = Callable[[], Any]


def names_of(allowed: list[str]) -> Callable[[str], list[str]]:
    """Return an argparse type for comma-separated names."""

    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in allowed:
                expected = ", ".join(allowed)
                raise argparse.ArgumentTypeError(f"found {name!r}, expected {expected}")
        return names

    return read


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def task_of(layer: Any, function: Any, x: Tensor, task: str) -> Run:
    """Return a forward call or a step as a function without arguments."""
    if task == "forward":

        def forward() -> Any:
            with torch.no_grad():
                return [function(x)]

        return forward
    inputs = [x.requires_grad_(), *(p for n, p in layer.named_parameters() if n != "key.bias")]
    grad = torch.randn(x.shape, device=x.device).bfloat16().to(x.dtype)  # the same in each dtype

    def step() -> Any:
        y = function(x)
        return [y, *torch.autograd.grad(y, inputs, grad)]

    return step


def captured(run: Run, device: torch.device) -> Run:
    """Return the replay of a CUDA graph of a task."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = run()

    def replay(kept: Any = kept) -> Any:
        graph.replay()
        return kept

    return replay


def function_of(form: str, layer: Any, x: Tensor, smoke: bool) -> Any:
    """Return a form of the layer; except in a smoke test, exit if another form would compute it.

    A layer that is set to Triton kernels silently uses others if they do not fit.
    """
    function = FORMS[form](layer)
    if form in BACKENDS and not smoke:
        chosen = layer.explain_backend(x)
        if chosen.backend != form:
            sys.exit(f"bench.torch_gpu: {NAMES[form]}: not computed here, but by {chosen}")
    return function


def check(
    shape: Shape, dtype: torch.dtype, device: torch.device, *, smoke: bool
) -> dict[str, float]:
    """Return the largest error of each form, relative to the largest value of each result."""
    torch.manual_seed(0)
    batch = max(1, min(shape.batch, CHECKED // shape.steps))
    layer = MemoryAugmentedAttention(*shape.sizes[2:], seed=1, device=device, dtype=dtype)
    exact = copy.deepcopy(layer).double()
    x = torch.randn(batch, shape.steps, shape.units, device=device).to(dtype)
    results = []
    for name, module, given in (
        *((name, layer, x.clone()) for name in FORMS),
        ("published", exact, x.double()),
    ):
        torch.manual_seed(1)
        function = function_of(name, module, given, smoke)
        found = task_of(module, function, given, "step")()
        results.append([one.detach().double() for one in found])
    expected = results.pop()
    errors = {}
    for name, found in zip(FORMS, results, strict=True):
        pairs = zip(found, expected, strict=True)
        error = max(float((one - e).abs().max() / e.abs().max()) for one, e in pairs)
        if not error <= LIMITS[dtype]:
            sys.exit(
                f"{NAMES[name]}: an error of {error:.1e}, expected {LIMITS[dtype]:.0e} at most"
            )
        errors[name] = error
    return errors


def contestants(
    shape: Shape,
    dtype: torch.dtype,
    device: torch.device,
    task: str,
    modes: tuple[str, ...],
    *,
    smoke: bool,
) -> tuple[dict[tuple[str, str], Run], list[str]]:
    """Return the warm contestants, and those that could not be made, with the reason."""
    runs: dict[tuple[str, str], Run] = {}
    failed = []
    torch._dynamo.reset()  # forms share code, and its cache of versions is limited
    for form in FORMS:
        layer = MemoryAugmentedAttention(*shape.sizes[2:], seed=1, device=device, dtype=dtype)
        layer.requires_grad_(task == "step").train(task == "step")
        x = torch.randn(shape.batch, shape.steps, shape.units, device=device, dtype=dtype)
        function = function_of(form, layer, x, smoke)
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        for mode in modes:
            try:
                target = (
                    torch.compile(function, backend=backend) if "compiled" in mode else function
                )
                run = task_of(layer, target, x, task)
                for _ in range(3):
                    run()
                runs[form, mode] = captured(run, device) if "graph" in mode else run
            except (RuntimeError, torch.OutOfMemoryError) as error:
                failed.append(f"{NAMES[form]}, {mode}: {str(error).splitlines()[0]}")
    return runs, failed


def measure(
    runs: dict[tuple[str, str], Run], device: torch.device, rounds: int, least: float
) -> Times:
    """Return the seconds of a call: medians over shuffled rounds that last at least `seconds`."""
    calls = {}
    for key, run in runs.items():
        synchronize(device)
        start = time.perf_counter()
        run()
        synchronize(device)
        calls[key] = max(1, min(1000, int(least / (time.perf_counter() - start))))
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        order = list(runs)
        random.shuffle(order)
        for key in order:
            synchronize(device)
            start = time.perf_counter()
            for _ in range(calls[key]):
                runs[key]()
            synchronize(device)
            taken[key].append((time.perf_counter() - start) / calls[key])
    return {key: statistics.median(values) for key, values in taken.items()}


def rates(device: torch.device, dtype: torch.dtype, side: int) -> tuple[float, float]:
    """Return the bytes per second of a copy, and the flops per second of a matrix product."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    target = torch.empty_like(a)
    runs: dict[tuple[str, str], Run] = {
        ("copy", ""): lambda: target.copy_(a),
        ("product", ""): lambda: torch.mm(a, b, out=target),
    }
    times = measure(runs, device, 5, 0.02)
    moved = 2 * a.numel() * a.element_size()
    return moved / times["copy", ""], 2 * side**3 / times["product", ""]


def table(shape: Shape, dtype: str, task: str, times: Times, peak: tuple[float, float]) -> str:
    """Return the times of a group: one row per form and mode."""
    moved = 2 * shape.tokens * shape.units * DTYPES[dtype].itemsize
    slowest = times.get(("published", "compiled"))
    rows = []
    for (form, mode), seconds in times.items():
        shares = [f"{moved / seconds / peak[0]:.2f}", f"{shape.flops / seconds / peak[1]:.2f}"]
        faster = f"{slowest / seconds:.2f}" if slowest else ""
        both = shares if task == "forward" else ["", ""]
        rows.append([NAMES[form], mode, f"{seconds * 1e6:,.1f}", faster, *both])
    title = f"{shape.name} ({', '.join(map(str, shape.sizes))}), {dtype}, {task}"
    share = ["of the copy's bytes/s", "of the product's flop/s"]
    return markdown([title, "mode", "µs", "times faster than compiled published", *share], rows)


def line(name: str, found: dict[str, Times]) -> str:
    """Return the line of docs/pytorch.md: Triton, eager or compiled, relative to compiled forms."""
    cells = [name]
    for task in ("forward", "step"):
        times = found.get(task, {})
        ours = [times[key] for mode in MODES[:2] if (key := ("triton", mode)) in times]
        for other in ("plain", "published"):
            theirs = times.get((other, "compiled"))
            cells.append(f"{theirs / min(ours):.2f}" if ours and theirs else "not measured")
    return f"| {' | '.join(cells)} |"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parse = argparse.ArgumentParser("python -m bench.torch_gpu", description=__doc__)
    parse.formatter_class = argparse.RawDescriptionHelpFormatter
    parse.add_argument("--shapes", type=names_of(list(SHAPES)), default=list(SHAPES))
    parse.add_argument("--dtypes", type=names_of(list(DTYPES)), default=list(DTYPES))
    parse.add_argument(
        "--seconds", type=float, default=600.0, help="no group starts later than this"
    )
    parse.add_argument("--rounds", type=int, default=11)
    parse.add_argument(
        "--smoke", action="store_true", help="run all parts on the CPU at tiny sizes"
    )
    return parse


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print tables."""
    options = parser().parse_args(arguments)
    if not options.smoke and not torch.cuda.is_available():
        print(
            "bench.torch_gpu: found no CUDA device; run it where torch.cuda.is_available(), or "
            "with --smoke to try its parts on the CPU",
            file=sys.stderr,
        )
        return 1
    begin = time.monotonic()
    device = torch.device("cpu" if options.smoke else "cuda")
    name = "CPU, no figure counts" if options.smoke else torch.cuda.get_device_name(device)
    shapes = SMOKE if options.smoke else {one: SHAPES[one] for one in options.shapes}
    modes: tuple[str, ...] = MODES
    rounds, least, side = options.rounds, 0.01, 8192
    if options.smoke:
        modes, rounds, least, side = MODES[:2], 1, 0.0, 64
    root = Path(__file__).resolve().parent.parent
    print(f"{name}, PyTorch {torch.__version__}, {commit(root)}\n")
    peaks = {dtype: rates(device, DTYPES[dtype], side) for dtype in options.dtypes}
    for dtype, (moved, flops) in peaks.items():
        print(f"{dtype}: a copy {moved / 1e9:,.0f} GB/s, a product {flops / 1e12:,.1f} Tflop/s")
    lines: dict[str, Times] = {}
    left = []
    for dtype in options.dtypes:
        for shape in shapes.values():
            if time.monotonic() - begin > options.seconds:
                left.append(f"{shape.name} in {dtype}")
                continue
            errors = check(shape, DTYPES[dtype], device, smoke=options.smoke)
            said = ", ".join(f"{NAMES[form]} {error:.0e}" for form, error in errors.items())
            print(f"\n{shape.name}, {dtype}: largest errors beside float64: {said}\n")
            for task in ("forward", "step"):
                runs, failed = contestants(
                    shape, DTYPES[dtype], device, task, modes, smoke=options.smoke
                )
                times = measure(runs, device, rounds, least)
                print(table(shape, dtype, task, times, peaks[dtype]), *failed, "", sep="\n")
                if (shape.name, dtype) in (("huge", "bf16"), ("smoke", "bf16")):
                    lines[task] = times
    if left:
        print(f"not measured in {options.seconds:.0f} s: {', '.join(left)}\n")
    print("The line of docs/pytorch.md:\n")
    print(line(name, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
