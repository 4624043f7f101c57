"""A progress bar on stderr, with the time left; without a terminal there, none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def training_progress(show: bool) -> Iterator[Callable[[int, int, float], object]]:
    """What a training tells its steps to."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("training"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("step {task.completed:,.0f} of {task.total:,.0f}, loss {task.fields[loss]:.4g}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        console=console,
        disable=not (show and console.is_terminal),
        transient=True,
        expand=True,
    )
    with bar:
        task = bar.add_task("training", total=1, loss=float("nan"), visible=False)

        def update(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, total=steps, loss=loss, visible=True)

        yield update
