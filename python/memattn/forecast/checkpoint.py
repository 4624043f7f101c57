"""Checkpoints: trainings that can be stopped or killed at any step, and continued.

A checkpoint holds the state of each training of a fit, all settings, and a fingerprint of every
series. A continued fit equals an uninterrupted one to the bit, on the same instruction set.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from memattn import FormatError
from memattn._memattn import PanelForecaster
from memattn.convert.source import SourceFile, open_source
from memattn.errors import DataError, printable, quoted, refused
from memattn.files import check_writable, write_atomically
from memattn.forecast.data.long_rows import plural
from memattn.forecast.data.panel import Panel
from memattn.forecast.forecaster_settings import Setting
from memattn.forecast.model import Model
from memattn.forecast.progress import Progress
from memattn.forecast.state_file import Arrays, read_state, state_bytes

FORMAT = "memattn.ForecasterCheckpoint"
SECONDS = 10.0  # between two writes
SHARE = 0.05  # the largest share of the time spent on writing; if it takes more, writes are rarer
MAX_MEMBERS = 10_000

Hashes: TypeAlias = npt.NDArray[np.int64]


# Trains a model and returns whether training was completed. The name identifies the training
# among those of one fit.
Trainer: TypeAlias = Callable[[str, Model, Panel, Progress | None], bool]


def train_model(name: str, model: Model, panel: Panel, progress: Progress | None) -> bool:
    """Trains without a checkpoint."""
    return model.fit(panel, progress)


@dataclass(frozen=True)
class Standing:
    """The state of one training.

    `members` has a flat array for each member: its training state, or its weights if `done`.
    """

    steps_done: int
    done: bool
    members: list[npt.NDArray[np.float32]]


class Checkpoint:
    """A `Trainer` that keeps the states of the trainings of one fit in a file.

    The file is written every 10 s, when a training ends, and when it is stopped. `choices` is
    everything but the data that determines the trainings, as a JSON object. With `resume`, the file
    must belong to this panel and these choices; without, it must not exist.

    Raises
    ------
    DataError
        If the file cannot be written, exists although `resume` is false, is missing although it is
        true, or belongs to other data or choices. The message names them.
    FormatError
        If the file is no checkpoint.
    """

    def __init__(
        self, path: Path, panel: Panel, choices: Mapping[str, Any], *, resume: bool
    ) -> None:
        self._path = path
        # In the form that reading the file returns.
        self._choices = json.loads(json.dumps({**choices, "frequency": panel.frequency.words}))
        self._series = series_hashes(panel)
        self._trainings: dict[str, Standing] = {}
        if resume:
            self._read(panel)
        elif path.exists():
            msg = "exists; pass {resume}True to continue it, or choose another name"
            raise DataError("checkpoint-exists", msg, file=path, argument="resume")
        check_writable(path)

    def __call__(self, name: str, model: Model, panel: Panel, progress: Progress | None) -> bool:
        """Trains a model, continues its training, or restores the weights of a completed one.

        Raises DataError if the file cannot be written; an existing file is then intact. An
        exception that `progress` raises is passed on after the file is written.
        """
        seconds = SECONDS
        while True:
            watch = _Watch(progress, seconds)
            begin = time.monotonic()
            try:
                done = self._train_on(name, model, panel, watch)
            except BaseException as error:
                if watch.raised or isinstance(error, KeyboardInterrupt):
                    self._keep(name, model.engine, False)
                raise
            trained = time.monotonic() - begin
            begin = time.monotonic()
            self._keep(name, model.engine, done)
            if done or not watch.paused:
                return done
            # To continue, the engine reads the series anew, which also takes time.
            cost = time.monotonic() - begin + max(trained - seconds, 0)
            seconds = max(SECONDS, cost / SHARE)

    def _train_on(self, name: str, model: Model, panel: Panel, watch: _Watch) -> bool:
        before, engine = self._trainings.get(name), model.engine
        if before is None:
            return model.fit(panel, watch)
        try:
            if before.done:
                if len(before.members) != engine.members:
                    found = plural(len(before.members), "member", "members")
                    raise ValueError(f"found {found}, expected {engine.members}")
                for k, weights in enumerate(before.members):
                    engine.set_parameters(k, weights)
                return True
            standing = before.steps_done, before.members
            return model.resume(panel, *standing, watch)
        except ValueError as error:
            if watch.called:
                raise
            msg = f"{self._path}: training {name}: {error}"
            raise FormatError(printable(msg)) from None

    def _keep(self, name: str, engine: PanelForecaster, done: bool) -> None:
        """Writes the states of all trainings if this one has advanced since the last write."""
        before = self._trainings.get(name)
        if before is not None and before.done:
            return
        steps_done, members = engine.training_state()
        # Fewer steps: the engine was interrupted before it had loaded the state to continue from.
        if steps_done <= (before.steps_done if before else 0):
            return
        if done:
            members = [engine.parameters(k) for k in range(engine.members)]
        self._trainings[name] = Standing(steps_done, done, members)
        arrays: dict[str, npt.NDArray[Any]] = {"series": self._series}
        trainings = {}
        for training, one in self._trainings.items():
            arrays |= {f"{training}.{k}": member for k, member in enumerate(one.members)}
            trainings[training] = [one.steps_done, len(one.members), one.done]
        config = {"choices": self._choices, "trainings": trainings}
        write_atomically(self._path, state_bytes(FORMAT, arrays, config))

    def _read(self, panel: Panel) -> None:
        if not self._path.exists():
            msg = "no such file: there is no checkpoint to resume from"
            raise DataError("no-checkpoint", msg, file=self._path)
        with open_source(self._path) as source:
            tensors, config, _ = read_state(source, FORMAT, "a checkpoint")
            steps = _trainings(source, config.get("trainings"), len(tensors))
            names = {
                name: [f"{name}.{k}" for k in range(members)]
                for name, (_, members, _) in steps.items()
            }
            kinds = {one: ("float32", 1) for some in names.values() for one in some}
            found = Arrays(source, tensors, {"series": ("int64", 1), **kinds})
            choices = config.get("choices")
            if not isinstance(choices, dict):
                source.fail("config: choices", "no object", "an object")
            self._compare_choices(choices)
            self._compare_series(found.read("series"), panel)
            for name, (steps_done, _, done) in steps.items():
                self._trainings[name] = Standing(
                    steps_done, done, list(map(found.read, names[name]))
                )

    def _compare_choices(self, kept: Mapping[str, Any]) -> None:
        ours = self._choices
        for name in {**ours, **kept}:
            if kept.get(name) != ours.get(name):
                now, then = quoted(str(ours.get(name))), quoted(str(kept.get(name)))
                msg = f"found {now}, expected {then} as in the checkpoint"
                kind = "checkpoint-settings"
                raise DataError(kind, msg, file=self._path, argument=printable(name))

    def _compare_series(self, kept: Hashes, panel: Panel) -> None:
        if len(kept) != len(panel):
            expected = plural(len(kept), "series", "series")
            what = f"found {plural(len(panel), 'series', 'series')}, expected {expected}"
        elif (other := kept != self._series).any():
            first, more = quoted(str(panel.ids[int(np.argmax(other))])), int(other.sum()) - 1
            what = f"values or times differ in {first}" + (f" and {more:,} more" if more else "")
        else:
            return
        msg = f"{what}; the checkpoint began with others"
        raise DataError("checkpoint-data", msg, file=self._path, argument="data")


class _Watch:
    """Passes progress on to the caller's callable, and pauses training when a write is due."""

    def __init__(self, progress: Progress | None, seconds: float) -> None:
        self._progress = progress
        self._due = time.monotonic() + seconds
        self.called = self.paused = self.raised = False

    def __call__(self, step: int, steps: int, loss: float) -> bool:
        self.called = True
        try:
            told = self._progress(step, steps, loss) if self._progress else None
        except BaseException:
            self.raised = True
            raise
        if told is False:
            return False
        self.paused = step < steps and time.monotonic() >= self._due
        return not self.paused


def series_hashes(panel: Panel) -> Hashes:
    """Returns a hash of each series (N,): of its id, its values, its end and its covariates."""
    values = np.ascontiguousarray(panel.values, "<f8").tobytes()
    times = np.stack([panel.last, panel.day], axis=1).astype("<i8").tobytes()
    offsets = (8 * panel.offsets).tolist()
    extra = panel.covariates
    rows = [] if extra is None else (extra.starts(panel.offsets)).tolist()
    what = b"" if extra is None else hashlib.blake2b(repr(extra.columns).encode()).digest()
    digests = []
    for k, one in enumerate(panel.ids.tolist()):
        digest = hashlib.blake2b(f"{type(one).__name__} {one}".encode(), digest_size=8)
        digest.update(times[16 * k : 16 * k + 16])
        digest.update(values[offsets[k] : offsets[k + 1]])
        if extra is not None:
            digest.update(what)
            digest.update(extra.values[rows[k] : rows[k + 1]].astype("<f8").tobytes())
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), "<i8").astype(np.int64)


def _trainings(source: SourceFile, found: object, tensors: int) -> dict[str, tuple[int, int, bool]]:
    """Reads the steps done and the number of members of each training, and whether it is done."""
    trainings: dict[str, tuple[int, int, bool]] = {}
    for name, one in found.items() if isinstance(found, dict) else [("", None)]:
        match one:
            case [int(steps), int(members), bool(done)] if (
                0 < steps < 2**31 and 0 < members <= MAX_MEMBERS
            ):
                trainings[name] = (steps, members, done)
            case _:
                expected = "steps done, members and whether it is done, for each training"
                source.fail("config: trainings", "another form", expected)
    # Checked before names are made for all members: a short text can claim very many.
    members_in_all = sum(members for _, members, _ in trainings.values())
    if members_in_all > tensors:
        source.fail("config: trainings", f"{members_in_all} members", f"at most {tensors} tensors")
    return trainings


def trainer_of(
    where: str,
    panel: Panel,
    settings: Mapping[str, Setting],
    checkpoint: str | os.PathLike[str] | None,
    resume: bool,
    **choices: Any,
) -> Trainer:
    """Returns a trainer that keeps its state in `checkpoint`, or `train_model` if it is None."""
    if checkpoint is None:
        if resume:
            raise refused(where, "resume", "needs a checkpoint to continue from")
        return train_model
    chosen = {name: setting.value for name, setting in settings.items()}
    return Checkpoint(Path(checkpoint), panel, chosen | choices, resume=resume)
