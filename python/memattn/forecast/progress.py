"""Progress of trainings and forecasts: the caller's callable, or a bar with the time left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

# Takes step, number of steps and loss; if it returns False, training ends.
Progress: TypeAlias = Callable[[int, int, float], object]
SeriesProgress: TypeAlias = Callable[[int, int], object]  # takes series done and all series


@contextmanager
def progress_of(where: str, progress: Progress | bool | None) -> Iterator[Progress | None]:
    """Yields the callable for a caller's `progress`: a bar for True, None for False."""
    if callable(progress):
        yield progress
    elif progress is None or progress is False:
        yield None
    elif progress is True:
        with training_progress(True) as bar:
            yield bar
    else:
        expected = "expected True, False or a callable of (step, steps, loss)"
        raise TypeError(f"{where}: progress: found {progress!r}, {expected}")


@contextmanager
def training_progress(show: bool) -> Iterator[Progress]:
    """Yields a callable that shows a bar of rich, or rewrites one line on stderr without rich."""
    text = "step {task.completed:,.0f} of {task.total:,.0f}, loss {task.fields[loss]:.4g}"
    with _bar("training", text, show, loss=float("nan")) as update:
        if update is None:
            yield _print_step if show else lambda step, steps, loss: None
            return

        def told(step: int, steps: int, loss: float) -> None:
            update(completed=step, total=steps, loss=loss)

        yield told


def _print_step(step: int, steps: int, loss: float) -> None:
    sys.stderr.write(f"\rtraining: step {step:,} of {steps:,}, loss {loss:.4g}   ")
    sys.stderr.flush()


@contextmanager
def series_progress(where: str, progress: SeriesProgress | bool | None) -> Iterator[SeriesProgress]:
    """As `progress_of`, for forecasts of many series; always yields a callable."""
    if callable(progress):
        yield progress
        return
    if progress not in (None, False, True):
        expected = "expected True, False or a callable of (series done, all series)"
        raise TypeError(f"{where}: progress: found {progress!r}, {expected}")
    show = progress is True
    with _bar("forecasting", "{task.completed:,.0f} of {task.total:,.0f} series", show) as update:
        if update is None:
            yield _print_series if show else lambda done, series: None
            return

        def told(done: int, series: int) -> None:
            update(completed=done, total=series)

        yield told


def _print_series(done: int, series: int) -> None:
    sys.stderr.write(f"\rforecasting: {done:,} of {series:,} series   ")
    sys.stderr.flush()


@contextmanager
def _bar(name: str, text: str, show: bool, **fields: Any) -> Iterator[Callable[..., None] | None]:
    """Yields a function that updates a bar of rich; without rich yields None, then ends the line.

    The bar is shown on a terminal or in a notebook only.
    """
    try:
        from rich import console, progress
    except ModuleNotFoundError:
        yield None
        if show:
            sys.stderr.write("\n")
        return
    stderr = console.Console(stderr=True)
    bar = progress.Progress(
        progress.TextColumn(name),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(),
        progress.TextColumn(text),
        progress.TimeRemainingColumn(compact=True),
        progress.TextColumn("left"),
        console=stderr,
        disable=not (show and (stderr.is_terminal or stderr.is_jupyter)),
        transient=True,
        expand=True,
    )
    with bar:
        task = bar.add_task(name, total=1, visible=False, **fields)
        yield partial(bar.update, task, visible=True)


def share_of(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Returns the callable for training number `place`, from 0, of `parts` equally long ones."""
    if progress is None or parts == 1:
        return progress
    told = progress

    def share(step: int, steps: int, loss: float) -> object:
        return told(place * steps + step, parts * steps, loss)

    return share
