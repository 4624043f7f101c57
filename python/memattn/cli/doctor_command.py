"""`memattn doctor`: whether a layer is ill, what to do, and the repair of slots that are alike."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from memattn.cli.inspect_command import title_of, tokens_document
from memattn.cli.output import (
    check_output,
    note_written,
    plain_console,
    print_json,
    print_line,
)
from memattn.convert import FoundLayer
from memattn.errors import DataError, printable
from memattn.inspection import Diagnosis, Repair, diagnose, read_tokens, repair
from memattn.inspection.source import check_layer_target, read_layer, write_layer
from memattn.layer import MemoryAugmentedAttention

HEALTHY, ILL = 0, 1
STYLES = {"error": "bold red", "warning": "yellow", "note": ""}


def doctor_command(
    *,
    file: Path,
    name: str | None,
    data: Path | None,
    output: Path | None,
    seed: int,
    as_json: bool,
) -> int:
    """Runs the command; see `memattn doctor --help`. Returns the exit code; raises DataError."""
    found, layer = read_layer(file, name)
    if output is not None:
        check_output("--repair", output, file, data)
        check_layer_target(output)
    tokens = None if data is None else read_tokens(data, layer)
    diagnosis = last = diagnose(layer, tokens)
    done = None
    if output is not None:
        done = _repair(layer, seed, diagnosis, file)
        last = diagnose(done.layer, diagnosis.tokens)
        write_layer(done.layer, output)
        note_written(output)
    if as_json:
        print_json(to_document(diagnosis, file, found, done, last, output))
    else:
        console = plain_console()
        _print_diagnosis(console, diagnosis, title_of(file, found))
        if done is not None and output is not None:
            _print_repair(console, done, last, output)
    return HEALTHY if last.healthy else ILL


def _repair(layer: MemoryAugmentedAttention, seed: int, diagnosis: Diagnosis, file: Path) -> Repair:
    try:
        return repair(layer, seed, diagnosis.tokens)
    except DataError as error:  # which knows no file
        raise DataError(error.kind, error.problem, file=file) from None


def _print_diagnosis(console: Console, diagnosis: Diagnosis, title: str) -> None:
    state = "healthy" if diagnosis.healthy else "ill"
    source = diagnosis.tokens.source
    print_line(console, f"{title}: {state}, read with {source}", "bold")
    for finding in diagnosis.findings:
        heading = f"\n{finding.severity}: {finding.name}: {finding.found}"
        print_line(console, heading, STYLES[finding.severity])
        print_line(console, f"  {finding.meaning}")
        print_line(console, f"  What to do: {finding.advice}")
    for name, reason in diagnosis.not_judged.items():
        print_line(console, f"\nnot judged: {name}: {reason}")


def _print_repair(console: Console, done: Repair, last: Diagnosis, output: Path) -> None:
    print_line(
        console,
        f"\nRepaired {len(done.slots):,} slots with a jitter of {done.jitter:.2g} "
        f"(seed {done.seed}). It changes the output of a token by at most {done.bound:.2g} of the "
        f"output's size, for tokens of norm up to {done.token_norm:.3g}, and changed it by "
        f"{done.measured:.2g} on these. Now train on: what the slots will hold is still to be "
        "learned.",
    )
    print_line(console, f"wrote {printable(str(output))}", "green")
    for finding in last.findings:
        style = STYLES[finding.severity]
        print_line(console, f"still {finding.severity}: {finding.name}: {finding.found}", style)


def to_document(
    diagnosis: Diagnosis,
    file: Path,
    found: FoundLayer,
    done: Repair | None,
    last: Diagnosis,
    output: Path | None,
) -> dict[str, Any]:
    """All of it for JSON."""
    return {
        "file": str(file),
        "layer": found.name,
        "healthy": diagnosis.healthy,
        "tokens": tokens_document(diagnosis.tokens),
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "not_judged": diagnosis.not_judged,
        "repair": None
        if done is None
        else {
            "file": str(output),
            "slots": done.slots,
            "seed": done.seed,
            "jitter": done.jitter,
            "allowed_change": done.allowed,
            "bound": done.bound,
            "measured_change": done.measured,
            "token_norm": done.token_norm,
            "output_norm": done.output_norm,
            "healthy": last.healthy,
            "findings": [asdict(finding) for finding in last.findings],
        },
    }
