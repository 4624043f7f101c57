"""`memattn inspect`: what is in a layer, as a table, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from memattn.cli.output import check_output, plain_console, print_json, print_line, write_file
from memattn.convert import FoundLayer
from memattn.errors import printable
from memattn.inspection import Inspection, Tokens, inspect_layer, read_tokens
from memattn.inspection.source import read_layer

SHOWN_SLOTS = 24  # of the most used; the JSON document has all
SHOWN_HEADS = 16
MATRIX_SLOTS = 256  # with more, the document has no matrix of cosines, and the nearest slots only


def inspect_command(
    *, file: Path, name: str | None, data: Path | None, picture: Path | None, as_json: bool
) -> None:
    """Runs the command; see `memattn inspect --help`. Raises DataError."""
    found, layer = read_layer(file, name)
    if picture is not None:
        from memattn.figure_style import check_picture_suffix

        check_picture_suffix(picture.suffix)
        check_output("--picture", picture, file, data)
    tokens = None if data is None else read_tokens(data, layer)
    inspection = inspect_layer(layer, tokens)
    if picture is not None:
        write_file(picture, _draw(inspection, title_of(file, found), picture.suffix))
    if as_json:
        print_json(to_document(inspection, file, found, picture))
        return
    console = plain_console()
    _print_layer(console, inspection, title_of(file, found))
    console.print(_head_table(inspection))
    console.print(_slot_table(inspection))
    _print_notes(console, inspection)
    if picture is not None:
        print_line(console, f"wrote {printable(str(picture))}", "green")


def title_of(file: Path, found: FoundLayer) -> str:
    """What people call a layer: its file, and in a model its name."""
    return printable(f"{file.name}, {found.name}" if found.name else file.name)


def _draw(inspection: Inspection, title: str, suffix: str) -> bytes:
    from memattn.figure_style import picture
    from memattn.inspection.figures import draw_inspection

    return picture(lambda: draw_inspection(inspection, title), suffix)


def _print_layer(console: Console, inspection: Inspection, title: str) -> None:
    config, cost = inspection.config, inspection.cost
    key_dim = inspection.shapes["query.kernel"][2]
    value_dim = inspection.shapes["value.kernel"][2]
    width = f"{key_dim:,}" + (f" and {value_dim:,}" if value_dim != key_dim else "")
    print_line(
        console,
        f"{title}: {config['memory_size']:,} slots of {config['units']:,} units, "
        f"{config['num_heads']} heads of {width}, {config['dtype']}, "
        f"{inspection.parameters:,} parameters",
        "bold",
    )
    options = ("memory_initializer", "seed", "use_bias", "residual", "dropout", "fully_masked")
    print_line(console, "  " + ", ".join(f"{name} {config[name]}" for name in options))
    shapes = ", ".join(
        f"{name.upper() if len(shape) > 1 else name} {_shape(shape)}"
        for name, shape in inspection.folded_shapes.items()
    )
    print_line(console, f"  folded: {shapes}")
    print_line(
        console,
        f"  multiply-adds a token: {cost.folded:,} folded, {cost.projected:,} with the memory "
        f"projected once, {cost.as_written:,.0f} as Keras writes it (sequences of {cost.steps:,})",
    )
    print_line(
        console,
        f"  the {cost.route} route is taken: {cost.speed_up:.1f} times less work than as Keras "
        "does",
    )
    print_line(console, f"\nRead with {inspection.tokens.source}:")


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(f'{size:,}' for size in shape)})"


def _head_table(inspection: Inspection) -> Table:
    reading, similarity = inspection.reading, inspection.similarity
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (
        *("head", "slots a token reads", "logit spread", "one slot alone %"),
        *("cosine of keys", "of values"),
    ):
        table.add_column(name, justify="right")
    for head in range(min(len(reading.entropy), SHOWN_HEADS)):
        table.add_row(
            str(head),
            _number(reading.effective_slots[head]),
            _number(reading.logit_spread[head]),
            _number(100 * reading.saturated[head]),
            _number(similarity.key_cosine[head]),
            _number(similarity.value_cosine[head]),
        )
    return table


def _slot_table(inspection: Inspection) -> Table:
    reading, similarity = inspection.reading, inspection.similarity
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("slot", "norm", "read %", "most by head", "largest score", "nearest", "cosine"):
        table.add_column(name, justify="right")
    dead = set(inspection.dead_slots or [])
    for slot in inspection.by_usage[:SHOWN_SLOTS]:
        nearest = -1 if similarity.nearest is None else int(similarity.nearest[slot])
        cosine = np.nan if nearest < 0 else similarity.cosine[slot, nearest]  # type: ignore[index]
        head = int(np.argmax(np.nan_to_num(reading.usage[:, slot])))
        table.add_row(
            str(slot),
            _number(similarity.norms[slot]),
            _number(100 * reading.share[slot]),
            f"{head} ({_number(100 * reading.usage[head, slot])} %)",
            _number(reading.peak[:, slot].max()),
            str(nearest) if nearest >= 0 else "",
            _number(cosine) if nearest >= 0 else "",
            style="yellow" if slot in dead else "",
        )
    return table


def _number(value: float) -> str:
    return f"{value:.3g}"


def _print_notes(console: Console, inspection: Inspection) -> None:
    slots, heads = inspection.config["memory_size"], inspection.config["num_heads"]
    if heads > SHOWN_HEADS:
        print_line(console, f"the first {SHOWN_HEADS} of {heads} heads; --json has all")
    if slots > SHOWN_SLOTS:
        print_line(console, f"the {SHOWN_SLOTS} most used of {slots:,} slots; --json has all")
    dead = inspection.dead_slots
    if dead is None:
        print_line(console, "too few tokens to say which slots are dead")
    else:
        print_line(console, f"dead slots, read by no token: {len(dead):,}")
    if not inspection.reading.finite:
        print_line(console, "note: the output is not finite; see memattn doctor", "yellow")


def tokens_document(tokens: Tokens) -> dict[str, Any]:
    """What a layer was read with, for JSON."""
    return {"source": tokens.source, "count": len(tokens), "reference": tokens.is_reference}


def to_document(
    inspection: Inspection, file: Path, found: FoundLayer, picture: Path | None
) -> dict[str, Any]:
    """All of it for JSON."""
    cost, reading, similarity = inspection.cost, inspection.reading, inspection.similarity
    dead, nearest, cosine = inspection.dead_slots, similarity.nearest, similarity.cosine
    slots, heads = range(len(similarity.norms)), range(len(reading.entropy))
    return {
        "file": str(file),
        "layer": found.name,
        "config": inspection.config,
        "parameters": {
            "total": inspection.parameters,
            "shapes": {name: list(shape) for name, shape in inspection.shapes.items()},
        },
        "cost": {
            "steps": cost.steps,
            "multiply_adds_a_token": {
                "as_written": cost.as_written,
                "projected": cost.projected,
                "folded": cost.folded,
            },
            "folded_shapes": {name: list(s) for name, s in inspection.folded_shapes.items()},
            "route": cost.route,
            "path": cost.route,  # its name until version 0.3
            "speed_up": cost.speed_up,
        },
        "tokens": tokens_document(inspection.tokens),
        "heads": [
            {
                "head": head,
                "entropy": reading.entropy[head],
                "effective_slots": reading.effective_slots[head],
                "logit_spread": reading.logit_spread[head],
                "saturated": reading.saturated[head],
                "key_cosine": similarity.key_cosine[head],
                "value_cosine": similarity.value_cosine[head],
            }
            for head in heads
        ],
        "slots": [
            {
                "slot": slot,
                "norm": similarity.norms[slot],
                "nearest": None if nearest is None or nearest[slot] < 0 else int(nearest[slot]),
                "nearest_cosine": None
                if nearest is None or cosine is None or nearest[slot] < 0
                else cosine[slot, nearest[slot]],
                "usage": reading.share[slot],
                "usage_by_head": reading.usage[:, slot],
                "largest_score": reading.peak[:, slot].max(),
            }
            for slot in slots
        ],
        "dead_slots": dead,
        "cosine": cosine if len(slots) <= MATRIX_SLOTS else None,
        "output": {
            "finite": reading.finite,
            "norm": reading.output_norm,
            "added_constant": reading.added_constant,
            "added_variation": reading.added_variation,
        },
        "files": {"picture": None if picture is None else str(picture)},
    }
