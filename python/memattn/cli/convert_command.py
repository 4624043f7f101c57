"""`memattn convert`: reads one layer and writes it in another format."""

from __future__ import annotations

from pathlib import Path

import click

from memattn.cli import output
from memattn.cli.options import FILE, Command, layer_option


@click.command(
    "convert",
    cls=Command,
    examples=(
        "memattn convert model.keras layer.safetensors",
        "memattn convert model.pt layer.onnx --layer encoder.memory",
    ),
)
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
@layer_option
def convert(source: Path, target: Path, name: str | None) -> None:
    """Convert a layer from one format to another.

    The layer is a MemoryAugmentedAttention, a CrossAttention or a HierarchicalAttention.

    SOURCE is a model or its weights: .keras, .weights.h5 or .h5 (Keras 2 and 3), .npz (NumPy),
    .pt or .pth (a PyTorch state_dict), or .safetensors. No code in the file is executed.

    The suffix of TARGET selects its format: .safetensors, .weights.h5, .npz, .pt, .pth or .onnx.
    """
    from dataclasses import asdict

    from memattn.errors import quoted
    from memattn.inspection.source import check_layer_target, read_layer, write_layer

    check_layer_target(target)
    output.check_outputs({"target": target}, source)
    found, layer = read_layer(source, name)
    with output.noted(target):
        write_layer(layer, target)
    document = {"source": str(source), "target": str(target), "layer": asdict(found)}
    output.print_json("convert", document)
    called = f"{quoted(found.name)}: " if found.name else ""
    heads = f"{found.num_heads} head{'s' if found.num_heads > 1 else ''}"
    output.say(f"{called}{found.description}, {heads}, {found.dtype}")
    output.say_written()
