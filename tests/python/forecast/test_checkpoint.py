"""Checkpoints: fits that are stopped or killed, or cannot write, continue to the same bits."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memattn import FormatError
from memattn.errors import DataError
from memattn.forecast import Forecaster, checkpoint
from memattn.forecast.data.panel import panel_from_frame
from memattn.forecast.state_file import state_bytes

from ..full_disk import full_disk
from ..sampling import LONG
from .panels import note, random_table

Table = pd.DataFrame
STEPS = 300 if LONG else 100  # of each of the two trainings of a fit


@pytest.fixture(scope="module")
def table() -> Table:
    steps = np.random.default_rng(0).normal(size=(30, 60))
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{k:02d}" for k in range(30)], 60),
            "ds": np.tile(pd.date_range("2019-01-01", periods=60, freq="MS"), 30),
            "y": np.exp(3 + 0.1 * steps.cumsum(axis=1)).ravel(),
        }
    )


def forecaster(**options: Any) -> Forecaster:
    return Forecaster(**{"horizon": 6, "members": 2, "steps": STEPS} | options)


def stop(step: int, steps: int, loss: float) -> bool:
    return False


@pytest.fixture(scope="module")
def stopped(table: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stopped") / "checkpoint"
    forecaster().fit(table, checkpoint=path, progress=stop)
    return path


def saved(fitted: Forecaster, path: Path) -> bytes:
    fitted.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def expected(table: Table, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(forecaster().fit(table), tmp_path_factory.mktemp("expected") / "f")


def test_a_fit_stopped_at_every_call_of_progress_continues(
    table: Table, expected: bytes, tmp_path: Path
) -> None:
    """Stops the fit at every call of progress, in training and in calibration."""
    path, steps = tmp_path / "checkpoint", []

    def stop_and_tell(step: int, steps_in_all: int, loss: float) -> bool:
        assert steps_in_all == 2 * STEPS
        steps.append(step)
        return False

    for _ in range(2 * STEPS):
        fitted = forecaster().fit(
            table, checkpoint=path, resume=path.exists(), progress=stop_and_tell
        )
        if not any(one.kind == "stopped" for one in fitted.notes):
            break
    assert steps == sorted(set(steps))
    assert min(steps) < STEPS < max(steps)
    assert saved(fitted, tmp_path / "f") == expected


def test_writing_checkpoints_does_not_change_the_fit(
    table: Table, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)
    written = []
    write = checkpoint.write_atomically

    def write_and_count(path: Path, data: bytes) -> None:
        written.append(len(data))
        write(path, data)

    monkeypatch.setattr(checkpoint, "write_atomically", write_and_count)
    path, told = tmp_path / "checkpoint", []
    fitted = forecaster().fit(
        table, checkpoint=path, progress=lambda step, steps, loss: told.append(step)
    )
    assert saved(fitted, tmp_path / "f") == expected
    assert len(written) >= 3
    assert told[-1] == 2 * STEPS
    before = path.read_bytes()
    again = forecaster().fit(table, checkpoint=path, resume=True, progress=pytest.fail)
    assert saved(again, tmp_path / "f") == expected
    assert path.read_bytes() == before


def test_a_stopped_fit_with_val_size_continues(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    part = forecaster().fit(table, 8, checkpoint=path, progress=stop)
    assert note(part, "stopped")
    whole = forecaster().fit(table, 8, checkpoint=path, resume=True)
    assert saved(whole, tmp_path / "f") == saved(forecaster().fit(table, 8), tmp_path / "g")


def test_an_interrupted_backtest_continues(table: Table, tmp_path: Path) -> None:
    """Interrupts every second call of progress, in any of six trainings."""
    path, calls, of_each = tmp_path / "checkpoint", [], 60 if LONG else 10
    options: dict[str, Any] = {"n_windows": 3, "step_size": 6, "refit": True, "level": [80]}
    expected = forecaster(steps=of_each).cross_validation(table, **options)

    def interrupt(step: int, steps: int, loss: float) -> None:
        assert steps == 6 * of_each
        calls.append(step)
        if len(calls) % 2 == 0:
            raise LookupError("mine")

    for turn in range(1000):  # each turn advances by at least one step
        try:
            found = forecaster(steps=of_each).cross_validation(
                table, **options, checkpoint=path, resume=turn > 0, progress=interrupt
            )
            break
        except LookupError:
            assert path.exists()
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert turn > 2
    with pytest.raises(DataError, match='n_windows: found "2", expected "3"'):
        forecaster(steps=of_each).cross_validation(
            table, **options | {"n_windows": 2}, checkpoint=path, resume=True
        )
    with pytest.raises(DataError, match='refit: found "False", expected "True"'):
        forecaster(steps=of_each).cross_validation(
            table, **options | {"refit": False}, checkpoint=path, resume=True
        )
    with pytest.raises(DataError, match='intervals: found "False", expected "True"'):
        forecaster(steps=of_each).cross_validation(
            table, **options | {"level": None}, checkpoint=path, resume=True
        )


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_checkpoint(table: Table, expected: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    one, begun = forecaster(), threading.Event()

    def interrupt() -> None:
        begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        one.fit(table, checkpoint=path, progress=lambda step, steps, loss: begun.set())
    with pytest.raises(RuntimeError, match="not fitted"):
        one.predict()
    assert saved(one.fit(table, checkpoint=path, resume=True), tmp_path / "f") == expected


def test_ctrl_c_before_the_first_step_keeps_the_checkpoint(
    table: Table, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has then done no step, and its state must not replace that of the file."""
    path = tmp_path / "checkpoint"
    path.write_bytes(stopped.read_bytes())

    def interrupted(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoint, "_train_on", interrupted)
    with pytest.raises(KeyboardInterrupt):
        forecaster().fit(table, checkpoint=path, resume=True)
    assert path.read_bytes() == stopped.read_bytes()


def test_an_exception_in_progress_leaves_a_checkpoint(
    table: Table, expected: bytes, tmp_path: Path
) -> None:
    def fail(step: int, steps: int, loss: float) -> None:
        raise LookupError("mine")

    path = tmp_path / "checkpoint"
    with pytest.raises(LookupError, match="mine"):
        forecaster().fit(table, checkpoint=path, progress=fail)
    assert saved(forecaster().fit(table, checkpoint=path, resume=True), tmp_path / "f") == expected


def test_a_fit_killed_at_random_times_continues(tmp_path: Path) -> None:
    """Kills 12 fits, or 200 if MEMATTN_LONG_TESTS is set."""
    times = 200 if LONG else 12
    script = Path(__file__).with_name("killed_fits.py")
    command = [sys.executable, str(script), str(tmp_path), str(times), "3"]
    output = subprocess.run(command, check=True, timeout=1800, capture_output=True, text=True)
    killed, kept, finished = map(int, output.stdout.split())
    assert killed == times
    assert kept > times // 2
    assert finished > 0  # at least the last fit, which is not killed


def refused(table: Table, path: Path, **options: Any) -> str:
    before = path.read_bytes()
    val_size = options.pop("val_size", 0)
    with pytest.raises(DataError) as caught:
        forecaster(**options).fit(table, val_size, checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert caught.value.file == path
    return caught.value.problem


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "horizon": ({"horizon": 7}, 'horizon: found "7", expected "6"'),
    "members": ({"members": 3}, 'members: found "3", expected "2"'),
    "seed": ({"seed": 1}, 'seed: found "1", expected "0"'),
    "steps": ({"steps": 301}, f'steps: found "301", expected "{STEPS}"'),
    "loss": ({"loss": "mae"}, 'loss: found "mae", expected "smape"'),
    "lookback": ({"lookback": 9}, 'lookbacks: found "[9, 9]", expected "[24, 36]"'),
    "season": ({"season": 6}, 'season: found "6", expected "12"'),
    "val_size": ({"val_size": 6}, 'val_size: found "6", expected "0"'),
    "intervals": ({"intervals": False}, 'intervals: found "False", expected "True"'),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_settings_are_refused(name: str, table: Table, stopped: Path) -> None:
    options, message = CHANGES[name]
    assert message in refused(table, stopped, **options)


Edit = Callable[[Table], Table]
EDITS: dict[str, tuple[Edit, str]] = {
    "value": (
        lambda t: t.assign(y=t["y"].where(t.index != 61, 1.0)),
        'values or times differ in "s01"',
    ),
    "values": (lambda t: t.assign(y=t["y"] + 1), 'in "s00" and 29 more'),
    "name": (lambda t: t.assign(unique_id=t["unique_id"].replace("s29", "t")), 'in "t"'),
    "row": (lambda t: t.iloc[:-1], 'in "s29"'),
    "later": (lambda t: t.assign(ds=t["ds"] + pd.DateOffset(years=1)), 'in "s00" and 29 more'),
    "series": (lambda t: t[t["unique_id"] != "s07"], "found 29 series, expected 30 series"),
    "frequency": (
        lambda t: t.assign(ds=np.tile(pd.date_range("2019-01-01", periods=60, freq="D"), 30)),
        "found",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_other_data_are_refused(name: str, table: Table, stopped: Path) -> None:
    edit, message = EDITS[name]
    assert message in refused(edit(table), stopped)


def test_missing_and_foreign_files_are_refused(table: Table, stopped: Path, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    with pytest.raises(DataError, match="no such file: there is no checkpoint to resume from"):
        forecaster().fit(table, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="resume: needs a checkpoint to continue from"):
        forecaster().fit(table, resume=True)
    with pytest.raises(DataError, match="there is no folder"):
        forecaster().fit(table, checkpoint=tmp_path / "none" / "checkpoint")
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="exists; pass resume=True to continue it"):
        forecaster().fit(table, checkpoint=path)
    with pytest.raises(FormatError):
        forecaster().fit(table, checkpoint=path, resume=True)
    assert path.read_bytes() == b"mine"
    forecaster(horizon=3).fit(random_table(3)).save(path)
    with pytest.raises(FormatError, match="expected a saved checkpoint"):
        forecaster().fit(table, checkpoint=path, resume=True)


def test_cut_and_damaged_files_are_refused(table: Table, stopped: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, data = tmp_path / "checkpoint", stopped.read_bytes()
    panel = panel_from_frame(table)
    for turn in range(200):
        changed = bytearray(data)
        if turn % 2:
            changed = changed[: rng.integers(len(data))]
        else:
            changed[rng.integers(len(data) if turn % 4 else 2000)] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(FormatError):
            checkpoint.Checkpoint(path, panel, {}, resume=True)


@pytest.mark.parametrize(
    "trainings",
    [
        None,
        [],
        {"model": 3},
        {"model": [1, 1]},
        {"model": [0, 1, False]},
        {"model": [1, 0, False]},
        {"model": [2**40, 1, False]},
        {"model": [1, 1, 1]},
        {f"model{k}": [1, 10_000, True] for k in range(100_000)},  # names of all: 100 GB
    ],
    ids=lambda trainings: str(trainings)[:20],
)
def test_invalid_trainings_in_a_checkpoint_are_refused(
    trainings: Any, table: Table, tmp_path: Path
) -> None:
    """The file is whole and its checksum is right, but its trainings are invalid."""
    path = tmp_path / "checkpoint"
    series = np.zeros(30, np.int64)
    content = {"choices": {}, "trainings": trainings}
    path.write_bytes(state_bytes(checkpoint.FORMAT, {"series": series}, content))
    with pytest.raises(FormatError, match="config: trainings"):
        checkpoint.Checkpoint(path, panel_from_frame(table), {}, resume=True)


def test_invalid_weights_in_a_checkpoint_are_refused(
    table: Table, stopped: Path, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(stopped.read_bytes())
    panel = panel_from_frame(table)
    settings = forecaster()._choose("", panel)[0]
    choices: dict[str, Any] = {name: one.value for name, one in settings.items()}
    kept = checkpoint.Checkpoint(
        path, panel, choices | {"val_size": 0, "intervals": True}, resume=True
    )
    standing = kept._trainings["model"]
    arrays = {"series": checkpoint.series_hashes(panel)}
    members = [member.copy() for member in standing.members]
    members[1][7] = np.nan
    weights = [member[: len(member) // 3] for member in members]
    for changed, done, message in (
        (members, False, "finite"),
        (members[:1], False, "1 members"),
        (weights, True, "finite"),
        (members, True, "the weights of member 0"),
        (weights[:1], True, "1 member,"),
        ([weights[0]] * 3, True, "3 members"),
    ):
        content = {
            "choices": kept._choices,
            "trainings": {"model": [standing.steps_done, len(changed), done]},
        }
        floats = {f"model.{k}": member for k, member in enumerate(changed)}
        path.write_bytes(state_bytes(checkpoint.FORMAT, arrays | floats, content))
        with pytest.raises(FormatError, match=rf"checkpoint: training model: .*{message}"):
            forecaster().fit(table, checkpoint=path, resume=True)


def test_a_failed_write_raises_and_keeps_the_checkpoint(
    table: Table, expected: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint"
    forecaster().fit(table, checkpoint=path, progress=stop)
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(DataError, match="File too large"):
        forecaster().fit(table, checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]
    assert saved(forecaster().fit(table, checkpoint=path, resume=True), tmp_path / "f") == expected


FULL_DISK = """
import sys
from pathlib import Path
import pandas as pd
from memattn.errors import DataError
from memattn.forecast import Forecaster
table, path, limit = pd.read_pickle(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if limit:  # without permission to mount a file system, limit the file size of this process
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    Forecaster(6, members=2, steps=int(sys.argv[4])).fit(table, checkpoint=path, resume=True)
except DataError as error:
    print(error)
"""


def test_a_full_disk_raises_and_keeps_the_checkpoint(
    table: Table, stopped: Path, expected: bytes, tmp_path: Path
) -> None:
    """Uses a file system that has space for one checkpoint but not for two."""
    folder, data = tmp_path / "disk", stopped.read_bytes()
    folder.mkdir()
    table.to_pickle(tmp_path / "table")
    size = len(data) + len(data) // 10
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    try:
        path = folder / "checkpoint"
        path.write_bytes(data)
        limit = "0" if mounted else str(len(data) // 10)
        words = [str(tmp_path / "table"), str(path), limit, str(STEPS)]
        output = subprocess.run(
            [sys.executable, "-c", FULL_DISK, *words],
            check=True,
            timeout=120,
            capture_output=True,
            text=True,
        )
        reason = "No space left on device" if mounted else "File too large"
        assert reason in output.stdout, output
        assert path.read_bytes() == data
        assert list(folder.iterdir()) == [path]
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
    path = tmp_path / "checkpoint"
    path.write_bytes(data)
    assert saved(forecaster().fit(table, checkpoint=path, resume=True), tmp_path / "f") == expected
