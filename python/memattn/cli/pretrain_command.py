"""`memattn pretrain`: trains networks that forecast other series without training."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from memattn.cli import output
from memattn.cli.options import PretrainingCommand, option, output_option


@click.command(
    "pretrain",
    cls=PretrainingCommand,
    examples=(
        "memattn pretrain shops.csv others.parquet --horizon 24 -o prior.safetensors",
        "memattn forecast one.csv --horizon 12 --prior prior.safetensors",
    ),
)
@option(
    "--half", is_flag=True, group="Output",
    help="Write the weights as bfloat16: half the size, two to three significant digits.",
)  # fmt: skip
@output_option("prior.safetensors", "File for the trained networks, without the series")
def pretrain(
    data: tuple[Path, ...], options: dict[str, Any], half: bool, path: Path | None
) -> None:
    """Train networks that forecast other series without training.

    The other commands read the file that it writes by their option --prior. Each DATA is a file as
    in memattn forecast; all must have the same frequency and season.
    """
    from memattn.cli.documents import training_document
    from memattn.cli.render import print_found, print_settings
    from memattn.forecast.forecaster import Forecaster
    from memattn.forecast.progress import training_progress

    path = output.choose_output(path, "prior.safetensors")
    output.check_outputs({"output": path}, *data)
    forecaster, panels = Forecaster(**options), []
    for one in data:
        with output.reading(one) as file:
            panels.append(forecaster.panel(file))
        print_found(one, panels[-1])
    begin = time.perf_counter()
    with training_progress(show=not (output.mode.quiet or output.mode.json)) as progress:
        forecaster.pretrain(panels, progress=progress)
    seconds = time.perf_counter() - begin
    print_settings(forecaster.settings)
    output.say(f"\nTrained in {seconds:.1f} s.")
    with output.noted(path):
        forecaster.save(path, series=False, dtype="bfloat16" if half else "float32")
    document = {
        "input": {"files": [str(one) for one in data], "series": sum(map(len, panels))},
        **training_document(forecaster, seconds),
        "files": {"prior": str(path)},
    }
    output.print_json("pretrain", document)
    output.say("")
    output.say_written()
