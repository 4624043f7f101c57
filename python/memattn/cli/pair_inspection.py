"""The output of `memattn inspect` for a CrossAttention or a HierarchicalAttention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from memattn.cli import output
from memattn.cli.layer_tables import new_table, number_text, tokens_document

if TYPE_CHECKING:
    from rich.table import Table

    from memattn.inspection import PairInspection
    from memattn.inspection.pair_reading import AttentionReading

SHOWN_HEADS = 16
SHOWN_STEPS = 24
READ_MOST = 4  # keys listed for each query step
OPTIONS = ("seed", "use_bias", "dropout", "fully_masked")
INPUTS = {"CrossAttention": ("source 1", "source 2"), "HierarchicalAttention": ("short", "long")}


def print_pair_inspection(inspection: PairInspection, title: str) -> None:
    """Prints the inspection as text."""
    _print_layer(inspection, title)
    heads = pair_heads(inspection)
    for one in inspection.reading.attentions:
        if one.name:
            output.say(f"\n{one.name.capitalize()} input, self-attention:", "bold")
        shown = [head for head in heads if head["attention"] == one.name][:SHOWN_HEADS]
        output.console().print(_head_table(shown))
        if not inspection.tokens.is_reference and one.scores is not None:
            output.say("")
            output.console().print(_step_table(one))
    output.say("")
    _print_notes(inspection)


def _print_layer(inspection: PairInspection, title: str) -> None:
    config, (key_dim, value_dim) = inspection.config, inspection.head_widths
    width = f"{key_dim:,}" + (f" and {value_dim:,}" if value_dim != key_dim else "")
    output.say(
        f"{title}: {inspection.name} of {config['units']:,} units, "
        f"{config['num_heads']} heads of {width}, {config['dtype']}",
        "bold",
    )
    first, second = INPUTS[inspection.name]
    reads = "attends to" if inspection.name == "CrossAttention" else "and"
    each = "" if inspection.name == "CrossAttention" else ", each attends to itself"
    output.say(
        f"  {first} (width {inspection.widths[0]:,}) {reads} {second} "
        f"(width {inspection.widths[1]:,}){each}; {inspection.parameters:,} parameters"
    )
    output.say_item(", ".join(f"{name} {config[name]}" for name in OPTIONS))
    output.say(f"  logits are scaled by {inspection.logits_scale:.3g}")
    routes = inspection.routes
    said = ", ".join(f"{name} {route}".strip() for name, route in routes.items())
    output.say(f"  route of this call: {said}")
    norm, variation = inspection.reading.output_norm, inspection.reading.output_variation
    output.say(f"\nAttention with {inspection.tokens.source}:")
    output.say(f"  output steps have norm {norm:.3g} and vary by {variation:.3g} within a sequence")


def _head_table(heads: list[dict[str, Any]]) -> Table:
    names = ("head", "steps read", "logit spread", "one step %")
    table = new_table(*names, "logits", "rank", "values", "rank")
    for one in heads:
        logits, values = one["logits_singular_values"], one["values_singular_values"]
        numbers = (one["effective_steps"], one["logit_spread"], 100 * one["saturated"])
        ranks = (logits[0], one["logits_rank"], values[0], one["values_rank"])
        table.add_row(str(one["head"]), *map(number_text, (*numbers, *ranks)))
    return table


def _step_table(reading: AttentionReading) -> Table:
    """Returns the steps that each step attends to most, as means over sequences and heads."""
    from rich import box
    from rich.table import Column
    from rich.table import Table as RichTable

    assert reading.scores is not None
    columns = (Column("step", justify="right"), Column("attends most to, % of its attention"))
    table = RichTable(*columns, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for step, row in enumerate(reading.scores[:SHOWN_STEPS]):
        most = (-row).argsort(kind="stable")[:READ_MOST]
        table.add_row(
            str(step), ", ".join(f"step {key} ({number_text(100 * row[key])} %)" for key in most)
        )
    return table


def _print_notes(inspection: PairInspection) -> None:
    heads, steps = inspection.config["num_heads"], inspection.tokens.steps[0]
    output.say("logits, values: the largest singular value of a head's logit matrix and of its")
    output.say("value matrix; rank: the effective rank of each.")
    if heads > SHOWN_HEADS:
        output.say(f"Only the first {SHOWN_HEADS} of {heads} heads are shown; --json has all.")
    if inspection.tokens.is_reference:
        output.say("To see which step attends to which, pass both inputs: --data and --second.")
    elif steps > SHOWN_STEPS:
        output.say(f"Only the first {SHOWN_STEPS} of {steps:,} steps are shown; --json has all.")
    if not inspection.reading.finite:
        output.say("note: the output is not finite; run memattn doctor", "yellow")


def pair_heads(inspection: PairInspection) -> list[dict[str, Any]]:
    """Returns the statistics of each head, for the table and for JSON."""
    from memattn.inspection.pair_fold import effective_rank

    found = []
    for one in inspection.reading.attentions:
        for h, head in enumerate(inspection.heads[one.name]):
            found.append(
                {
                    "attention": one.name,
                    "head": h,
                    "entropy": one.entropy[h],
                    "effective_steps": one.effective_steps[h],
                    "logit_spread": one.logit_spread[h],
                    "query_spread": None if one.query_spread is None else one.query_spread[h],
                    "saturated": one.saturated[h],
                    "logits_singular_values": head.logits,
                    "logits_rank": effective_rank(head.logits),
                    "values_singular_values": head.values,
                    "values_rank": effective_rank(head.values),
                }
            )
    return found


def pair_document(inspection: PairInspection, picture: Path | None) -> dict[str, Any]:
    """Returns the JSON document without the file and the layer's name."""
    reading = inspection.reading
    first, second = inspection.widths
    return {
        "class": inspection.name,
        "config": inspection.config,
        "parameters": {"total": inspection.parameters, "shapes": inspection.shapes},
        "source_units": [first, second],
        "logits_scale": inspection.logits_scale,
        "tokens": tokens_document(inspection.tokens) | {"steps": list(inspection.tokens.steps)},
        "heads": pair_heads(inspection),
        "attentions": [
            {"attention": one.name, "route": inspection.routes[one.name], "scores": one.scores}
            for one in reading.attentions
        ],
        "output": {
            "finite": reading.finite,
            "norm": reading.output_norm,
            "variation": reading.output_variation,
        },
        "files": {"picture": None if picture is None else str(picture)},
    }
