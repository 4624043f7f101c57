"""`memattn inspect`: shows the contents of a layer as tables, JSON and a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memattn.cli import output
from memattn.cli.layer_tables import new_table, number_text, tokens_document
from memattn.cli.options import (
    FILE,
    Command,
    layer_option,
    option,
    second_option,
    tokens_option,
)
from memattn.cli.pair_inspection import pair_document, print_pair_inspection
from memattn.errors import printable
from memattn.extras import need

if TYPE_CHECKING:
    from rich.table import Table

    from memattn.convert import FoundLayer
    from memattn.inspection import Inspection, PairInspection

SHOWN_SLOTS = 24  # the most used ones; the JSON document has all
SHOWN_HEADS = 16
MATRIX_SLOTS = 256  # with more, the document has only the nearest slots, no matrix of cosines


@click.command(
    "inspect",
    cls=Command,
    needs="convert",
    examples=(
        "memattn inspect model.keras",
        "memattn inspect layer.safetensors --data tokens.npy --picture memory.svg",
    ),
)
@click.argument("file", metavar="FILE", type=FILE)
@layer_option
@tokens_option
@second_option
@option(
    "--picture", type=FILE, metavar="FILE", group="Output",
    help="File for a figure of the attention of each head: .svg or .png.",
)  # fmt: skip
def inspect(
    file: Path, name: str | None, data: Path | None, second: Path | None, picture: Path | None
) -> None:
    """Show the options, cost and attention of a layer.

    FILE is a layer or a model in any format that memattn convert reads.

    Prints the layer's options, its size and cost, how selectively each head attends, and for each
    slot its norm, its share of the attention and the slot most similar to it. For a CrossAttention
    or HierarchicalAttention, prints the singular values of each head's logit and value matrices,
    and with --data and --second the steps that each step attends to.
    """
    from memattn.inspection import PairInspection, inspect_layer
    from memattn.inspection.source import read_inputs, read_layer

    found, layer = read_layer(file, name)
    if picture is not None:
        need("--picture", "forecast", "matplotlib")
        from memattn.figure_style import check_picture_suffix
        from memattn.figure_style import picture as picture_of
        from memattn.inspection.figures import draw_inspection
        from memattn.inspection.pair_figures import draw_pair_inspection

        check_picture_suffix(picture.suffix)
        output.check_outputs({"picture": picture}, file, data, second)
    inspection: Inspection | PairInspection = inspect_layer(layer, read_inputs(layer, data, second))
    title = title_of(file, found)
    if picture is not None:
        drawn = picture_of(
            lambda: (
                draw_pair_inspection(inspection, title)
                if isinstance(inspection, PairInspection)
                else draw_inspection(inspection, title)
            ),
            picture.suffix,
        )
        output.write_file(picture, drawn)
    if isinstance(inspection, PairInspection):
        place = {"file": str(file), "layer": found.name}
        output.print_json("inspect", place | pair_document(inspection, picture))
        print_pair_inspection(inspection, title)
        output.say_written()
        return
    heads, slots = _heads(inspection), _slots(inspection)
    place = {"file": str(file), "layer": found.name}
    output.print_json("inspect", place | _document(inspection, heads, slots, picture))
    _print_layer(inspection, title)
    output.console().print(_head_table(heads))
    output.say("")
    output.console().print(_slot_table(inspection, slots))
    output.say("")
    _print_notes(inspection)
    output.say_written()


def title_of(file: Path, found: FoundLayer) -> str:
    """Returns the title of a layer: the name of its file and, in a model, of the layer."""
    return printable(f"{file.name}, {found.name}" if found.name else file.name)


def _print_layer(inspection: Inspection, title: str) -> None:
    config, cost = inspection.config, inspection.cost
    key_dim, value_dim = (inspection.shapes[f"{name}.kernel"][2] for name in ("query", "value"))
    width = f"{key_dim:,}" + (f" and {value_dim:,}" if value_dim != key_dim else "")
    output.say(
        f"{title}: {config['memory_size']:,} slots of {config['units']:,} units, "
        f"{config['num_heads']} heads of {width}, {config['dtype']}",
        "bold",
    )
    output.say(f"  {inspection.parameters:,} parameters")
    options = ("memory_initializer", "seed", "use_bias", "residual", "dropout", "fully_masked")
    output.say_item(", ".join(f"{name} {config[name]}" for name in options))
    shapes = []
    for name, shape in inspection.folded_shapes.items():
        sizes = ", ".join(f"{size:,}" for size in shape)
        shapes.append(f"{name.upper() if len(shape) > 1 else name} ({sizes})")
    output.say(f"  folded weights: {', '.join(shapes)}")
    output.say(f"  multiply-adds per token, for sequences of {cost.steps:,} tokens:")
    output.say_item(
        f"  {cost.folded:,} folded, {cost.projected:,} projected (keys and values of the memory "
        f"computed once), {cost.as_written:,.0f} as in Keras"
    )
    output.say(f"  fastest: {cost.route}, {cost.speed_up:.1f} times fewer operations than Keras")
    output.say(f"\nAttention with {inspection.tokens.source}:")


def _head_table(heads: list[dict[str, Any]]) -> Table:
    names = ("head", "slots per token", "logit spread", "one slot %", "key cosine", "value cosine")
    table = new_table(*names)
    for one in heads[:SHOWN_HEADS]:
        spread, alone = one["logit_spread"], 100 * one["saturated"]
        numbers = (one["effective_slots"], spread, alone, one["key_cosine"], one["value_cosine"])
        table.add_row(str(one["head"]), *map(number_text, numbers))
    return table


def _slot_table(inspection: Inspection, slots: list[dict[str, Any]]) -> Table:
    import numpy as np

    names = ("slot", "norm", "read %", "most by head", "highest score", "most similar", "cosine")
    table = new_table(*names)
    dead = set(inspection.dead_slots or [])
    for one in (slots[slot] for slot in inspection.by_usage[:SHOWN_SLOTS]):
        head = int(np.nan_to_num(one["usage_by_head"]).argmax())
        alike = one["nearest"] is not None
        table.add_row(
            str(one["slot"]),
            number_text(one["norm"]),
            number_text(100 * one["usage"]),
            f"{head} ({number_text(100 * one['usage_by_head'][head])} %)",
            number_text(one["largest_score"]),
            str(one["nearest"]) if alike else "",
            number_text(one["nearest_cosine"]) if alike else "",
            style="yellow" if one["slot"] in dead else "",
        )
    return table


def _print_notes(inspection: Inspection) -> None:
    slots, heads = inspection.config["memory_size"], inspection.config["num_heads"]
    output.say("slots per token: how many slots a token reads; one slot %: the tokens that read a")
    output.say("single slot; key and value cosine: how alike the slots are to that head;")
    output.say("read %: the slot's share of all attention.")
    if heads > SHOWN_HEADS:
        output.say(f"Only the first {SHOWN_HEADS} of {heads} heads are shown; --json has all.")
    if slots > SHOWN_SLOTS:
        output.say(
            f"Only the {SHOWN_SLOTS} most used of {slots:,} slots are shown; --json has all."
        )
    dead = inspection.dead_slots
    if dead is None:
        output.say("Dead slots (read by no token): unknown, there are too few tokens.")
    else:
        output.say(f"Dead slots (read by no token): {len(dead):,}.")
    if not inspection.reading.finite:
        output.say("note: the output is not finite; run memattn doctor", "yellow")


def _heads(inspection: Inspection) -> list[dict[str, Any]]:
    """Returns the attention statistics of each head, for the table and for JSON."""
    reading, similarity = inspection.reading, inspection.similarity
    names = ("entropy", "effective_slots", "logit_spread", "saturated")
    columns = {name: getattr(reading, name) for name in names}
    columns |= {"key_cosine": similarity.key_cosine, "value_cosine": similarity.value_cosine}
    heads = range(len(reading.entropy))
    return [{"head": k} | {name: one[k] for name, one in columns.items()} for k in heads]


def _slots(inspection: Inspection) -> list[dict[str, Any]]:
    """Returns the attention statistics of each slot, and the slot most similar to it."""
    reading, similarity = inspection.reading, inspection.similarity
    slots = []
    for slot, norm in enumerate(similarity.norms):
        nearest = -1 if similarity.nearest is None else int(similarity.nearest[slot])
        known = nearest >= 0 and similarity.cosine is not None
        slots.append(
            {
                "slot": slot,
                "norm": norm,
                "nearest": nearest if nearest >= 0 else None,
                "nearest_cosine": similarity.cosine[slot, nearest] if known else None,  # type: ignore[index]
                "usage": reading.share[slot],
                "usage_by_head": reading.usage[:, slot],
                "largest_score": reading.peak[:, slot].max(),
            }
        )
    return slots


def _document(
    inspection: Inspection,
    heads: list[dict[str, Any]],
    slots: list[dict[str, Any]],
    picture: Path | None,
) -> dict[str, Any]:
    """Returns the JSON document without the file and the layer's name."""
    cost, reading = inspection.cost, inspection.reading
    return {
        "config": inspection.config,
        "parameters": {"total": inspection.parameters, "shapes": inspection.shapes},
        "cost": {
            "steps": cost.steps,
            "multiply_adds_a_token": {
                name: getattr(cost, name) for name in ("as_written", "projected", "folded")
            },
            "folded_shapes": inspection.folded_shapes,
            "route": cost.route,
            "path": cost.route,  # its name until version 0.3
            "speed_up": cost.speed_up,
        },
        "tokens": tokens_document(inspection.tokens),
        "heads": heads,
        "slots": slots,
        "dead_slots": inspection.dead_slots,
        "cosine": inspection.similarity.cosine if len(slots) <= MATRIX_SLOTS else None,
        "output": {
            "finite": reading.finite,
            "norm": reading.output_norm,
            "added_constant": reading.added_constant,
            "added_variation": reading.added_variation,
        },
        "files": {"picture": None if picture is None else str(picture)},
    }
