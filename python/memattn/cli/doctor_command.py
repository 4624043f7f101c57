"""`memattn doctor`: checks layers for faults and repairs identical slots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memattn.cli import output
from memattn.cli.errors import DONE, ILL
from memattn.cli.inspect_command import title_of
from memattn.cli.layer_tables import tokens_document
from memattn.cli.options import (
    FILE,
    Command,
    Number,
    layer_option,
    option,
    second_option,
    tokens_option,
)

if TYPE_CHECKING:
    from memattn.convert import FoundLayer
    from memattn.inspection import Diagnosis, Repair
    from memattn.layer_file import Layer

STYLES = {"error": "bold red", "warning": "yellow", "note": ""}


@click.command(
    "doctor",
    cls=Command,
    needs="convert",
    examples=(
        "memattn doctor model.keras",
        "memattn doctor model.keras --data tokens.npy",
        "memattn doctor model.keras --repair repaired.weights.h5",
    ),
)
@click.argument("file", metavar="FILE", type=FILE)
@layer_option
@tokens_option
@second_option
@option(
    "--repair", "repaired", type=FILE, metavar="FILE", group="Output",
    help="File for a repaired layer, whose identical slots differ; its suffix selects the "
    "format, as for memattn convert.",
)  # fmt: skip
@option(
    "--seed", type=Number(0, 2**64 - 1), default=0, metavar="N", group="Output",
    help="Random seed of the repair; the same seed gives the same file.  [default: 0]",
)  # fmt: skip
def doctor(
    file: Path,
    name: str | None,
    data: Path | None,
    second: Path | None,
    repaired: Path | None,
    seed: int,
) -> int:
    """Check layers for faults, and repair identical slots.

    FILE is a layer or a model in any format that memattn convert reads. If a model has several
    layers, all are checked, unless --layer names one; --data and --repair require a single layer.

    Checks for NaN, identical slots, uniform attention, slots that no token reads, heads without
    effect, exploding logits, and layers that were never trained. In a CrossAttention or
    HierarchicalAttention it also checks for an output that does not depend on its query, a source
    that is not read, and heads that are equal or have collapsed to one direction. The exit code is
    0 if all layers are healthy, 3 if a fault was found, and 2 if a layer could not be checked.

    --repair adds a random jitter to identical slots, so that training can separate them again. It
    changes the output by at most a thousandth. The exit code is then that of the repaired layer, or
    2 if there was nothing to repair.
    """
    from memattn.inspection import diagnose
    from memattn.inspection.source import (
        check_layer_target,
        read_inputs,
        read_layer,
        read_layers,
        write_layer,
    )

    if all(given is None for given in (name, data, second, repaired)):
        layers = list(read_layers(file))
        if len(layers) > 1:
            return _tell_all(file, [(found, diagnose(layer)) for found, layer in layers])
        ((found, layer),) = layers
    else:
        found, layer = read_layer(file, name)
    if repaired is not None:
        output.check_outputs({"repair": repaired}, file, data, second)
        check_layer_target(repaired)
    diagnosis = last = diagnose(layer, read_inputs(layer, data, second))
    done = None
    if repaired is not None:
        done = _repair(layer, seed, diagnosis, file)
        last = diagnose(done.layer, diagnosis.tokens)
        with output.noted(repaired):
            write_layer(done.layer, repaired)
    document = {
        "file": str(file),
        "layer": found.name,
        **_document(diagnosis),
        "repair": None if done is None else _repair_document(done, last, repaired),
    }
    output.print_json("doctor", document)
    _print_diagnosis(diagnosis, title_of(file, found))
    if done is not None:
        _print_repair(done)
        output.say_written()
        for one in last.findings:
            text = f"still {one.severity}: {one.name}: {one.found}"
            output.say(text, STYLES[one.severity])
    return DONE if last.healthy else ILL


def _tell_all(file: Path, examined: list[tuple[FoundLayer, Diagnosis]]) -> int:
    """Prints the diagnosis of every layer of a model and returns the exit code."""
    healthy = all(diagnosis.healthy for _, diagnosis in examined)
    layers = [
        {"layer": found.name, "class": found.layer, **_document(diagnosis)}
        for found, diagnosis in examined
    ]
    output.print_json("doctor", {"file": str(file), "healthy": healthy, "layers": layers})
    for place, (found, diagnosis) in enumerate(examined):
        if place:
            output.say("")
        _print_diagnosis(diagnosis, f"{title_of(file, found)} ({found.layer})")
    return DONE if healthy else ILL


def _document(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "healthy": diagnosis.healthy,
        "tokens": tokens_document(diagnosis.tokens),
        "findings": list(map(vars, diagnosis.findings)),
        "not_judged": diagnosis.not_judged,
    }


def _repair(layer: Layer, seed: int, diagnosis: Diagnosis, file: Path) -> Repair:
    from memattn.errors import DataError
    from memattn.inspection import repair
    from memattn.layer import MemoryAugmentedAttention

    if not isinstance(layer, MemoryAugmentedAttention):
        kind = type(layer).__name__
        problem = f"{{repair}} works on a MemoryAugmentedAttention only; this is a {kind}"
        raise DataError("option", problem, file=file, argument="repair")
    try:
        return repair(layer, seed, diagnosis.tokens)
    except DataError as error:
        error.file = file
        raise


def _print_diagnosis(diagnosis: Diagnosis, title: str) -> None:
    state = "healthy" if diagnosis.healthy else "faulty"
    output.say(f"{title}: {state}, checked with {diagnosis.tokens.source}", "bold")
    for one in diagnosis.findings:
        output.say(f"\n{one.severity}: {one.name}: {one.found}", STYLES[one.severity])
        output.say_item(one.meaning)
        output.say_item(f"What to do: {one.advice}")
    for name, reason in diagnosis.not_judged.items():
        output.say(f"\nnot checked: {name}: {reason}")


def _print_repair(done: Repair) -> None:
    slots, seed = len(done.slots), done.seed
    output.say(f"\nRepaired {slots:,} slots with a jitter of {done.jitter:.2g} (seed {seed}).")
    output.say_item(
        f"The output for these tokens changed by {done.measured:.2g} of its norm. For any token "
        f"of norm up to {done.token_norm:.3g}, the bound is {done.bound:.2g}."
    )
    output.say_item("Train the layer further: the repaired slots have learned nothing yet.")


def _repair_document(done: Repair, last: Diagnosis, file: Path | None) -> dict[str, Any]:
    return {
        "file": str(file),
        "slots": done.slots,
        "seed": done.seed,
        "jitter": done.jitter,
        "allowed_change": done.allowed,
        "bound": done.bound,
        "measured_change": done.measured,
        "token_norm": done.token_norm,
        "output_norm": done.output_norm,
        "healthy": last.healthy,
        "findings": list(map(vars, last.findings)),
    }
