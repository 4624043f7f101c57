"""A program that compiles the Triton kernels to machine code, without a GPU.

    triton_compile.py [UNITS,SLOTS,HEADS,fp32|bf16|fp16,plain|all,roomy|small]...

For each layer it prints, as JSON, the resources of every kernel on sm_80 and sm_90: bytes of shared
memory, registers per thread, and bytes of registers that ptxas spills to memory. "all" compiles the
kernels with every option, "small" those for GPUs with less shared memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from memattn.torch.backends.triton_backward import tokens_kernel, weights_kernel
from memattn.torch.backends.triton_blocks import backward_blocks, forward_blocks
from memattn.torch.backends.triton_forward import forward_kernel, scores_kernel

BYTES = ("am_ptr", "qm_ptr", "vm_ptr")
SINGLE = ("c_ptr", "bo_ptr", "lse_ptr", "delta_ptr", "da_ptr", "dc_ptr", "db_ptr")
PLAIN = {
    **{"UNIFORM": False, "AMASK": False, "QMASK": False, "VMASK": False, "CAUSAL": False},
    **{"DROPS": False, "KEEP_LSE": True, "BIAS": True, "RESIDUAL": True, "NEEDS_X": True},
    **{"MEAN": False, "GRAD_SCORES": False, "SCORES_FACTOR": 1.0},
}
ALL = {
    **PLAIN,
    **{"UNIFORM": True, "AMASK": True, "QMASK": True, "VMASK": True, "CAUSAL": True},
    **{"DROPS": True, "MEAN": True, "GRAD_SCORES": True, "SCORES_FACTOR": 0.25},
}


def compiled(kernel: Any, capability: int, letters: str, values: dict[str, Any]) -> Any:
    """Compile a kernel for pointers to a dtype and the values of its constants."""
    options = {name: values[name] for name in ("num_warps", "num_stages")}
    signature, constants, attributes = {}, {}, {}
    for place, parameter in enumerate(kernel.params):
        name = parameter.name
        if parameter.is_constexpr:
            signature[name], constants[name] = "constexpr", values[name]
            continue
        if name in BYTES:
            kind = "*u8"
        elif name == "seed_ptr":
            kind = "*i64"
        elif name in SINGLE:
            kind = "*fp32"
        elif name.endswith("_ptr"):
            kind = f"*{letters}"
        else:
            kind = "fp32" if name == "factor" else "i32"
        signature[name] = kind
        if kind[0] == "*" or name in ("x_b", "x_t", "g_b", "g_t"):  # as for contiguous tensors
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def needs(kernel: Any, capability: int) -> dict[str, int]:
    """Assemble a compiled kernel, and return its resources."""
    architecture = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kernel.ptx")
        path.write_text(kernel.asm["ptx"])
        command = [get_ptxas(capability).path, "-v", f"--gpu-name={architecture}", path]
        result = subprocess.run(
            [*command, "-o", Path(folder, "kernel.cubin")], capture_output=True, text=True
        )
    text = result.stderr
    if result.returncode:
        sys.exit(text)
    return {
        "shared": kernel.metadata.shared,
        "registers": int(re.findall(r"Used (\d+) registers", text)[0]),
        "spilled": sum(map(int, re.findall(r"(\d+) bytes spill", text))),
        "tensor cores": int("mma.sync" in kernel.asm["ptx"] or "wgmma" in kernel.asm["ptx"]),
    }


def main() -> None:
    """Compile the kernels and print their resources."""
    found = []
    for argument in sys.argv[1:]:
        *sizes, letters, which, room = argument.split(",")
        units, slots, heads = map(int, sizes)
        dtype = torch.float32 if letters == "fp32" else torch.bfloat16
        roomy = room == "roomy"
        of_tokens, of_weights = backward_blocks(units, slots, dtype, roomy=roomy)
        forward = forward_blocks(units, slots, dtype, roomy=roomy, busy=which == "all")
        blocks = {
            forward_kernel: forward.constants(),
            scores_kernel: forward.of_scores().constants(),
            tokens_kernel: of_tokens.constants(),
            weights_kernel: of_weights.constants(),
        }
        layer = {"U": units, "S": slots, "H": heads, "PRECISION": "ieee"}
        for capability in (80, 90):
            for kernel, sides in blocks.items():
                values = {**(ALL if which == "all" else PLAIN), **layer, **sides}
                name = kernel.fn.__name__
                result = needs(compiled(kernel, capability, letters, values), capability)
                found.append({"layer": argument, "for": capability, "kernel": name, **result})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
