"""Kills fits at random times, for test_checkpoint: `python killed_fits.py FOLDER TURNS SEED`.

The parent process forks a fit for each turn, which continues from the checkpoint of the last one,
kills it after a random time, and checks the files that are left. The result of a completed fit must
equal that of a fit without a checkpoint, to the bit.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from memattn.forecast import Forecaster, checkpoint
from memattn.forecast.data.panel import Panel, panel_from_frame

STEPS = 60
LONGEST = 0.7  # the latest time of a kill, as a share of the time of a whole fit


def random_walks() -> Panel:
    steps = np.random.default_rng(0).normal(size=(40, 60))
    table = {
        "unique_id": np.repeat(np.arange(40), 60),
        "ds": np.tile(np.arange(60), 40),
        "y": np.exp(3 + 0.1 * steps.cumsum(axis=1)).ravel(),
    }
    return panel_from_frame(pd.DataFrame(table), freq=1)


def forecaster() -> Forecaster:
    return Forecaster(6, members=2, steps=STEPS)


def fit(panel: Panel, path: Path | None, result: Path) -> None:
    """Runs in a child process: the parent must not start threads, which a fork would lose."""
    fitted = forecaster().fit(panel, checkpoint=path, resume=path is not None and path.exists())
    fitted.save(result)


def forked(panel: Panel, path: Path | None, result: Path) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        fit(panel, path, result)
        code = 0
    finally:
        os._exit(code)


def main(folder: Path, turns: int, seed: int) -> None:
    checkpoint.SECONDS, checkpoint.SHARE = 0.0, 1e9  # a write at every call of progress
    rng = np.random.default_rng(seed)
    panel = random_walks()
    expected, result, path = (folder / name for name in ("expected", "result", "checkpoint"))
    begin = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(forked(panel, None, expected), 0)[1]) == 0
    longest = LONGEST * (time.monotonic() - begin)
    killed = finished = kept = 0
    while killed < turns or finished == 0:
        child = forked(panel, path, result)
        if killed < turns:
            time.sleep(rng.uniform(0, longest))
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL), code
        # Each write removes temporary files of earlier fits.
        assert len(list(folder.glob(".memattn-*.tmp"))) <= 1
        if code == 0:
            finished += 1
            assert result.read_bytes() == expected.read_bytes()
            path.unlink()
            continue
        killed += 1
        if path.exists():
            kept += 1
            # Raises unless the checkpoint is whole and belongs to this panel and these settings.
            settings = forecaster()._choose("", panel)[0]
            choices = {name: one.value for name, one in settings.items()}
            choices |= {"val_size": 0, "intervals": True}
            checkpoint.Checkpoint(path, panel, choices, resume=True)
    print(killed, kept, finished)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
