"""Fits that are killed, for test_checkpoint: `python killed_fits.py FOLDER TURNS SEED`.

One process imports everything and forks a fit for each turn, which goes on with the checkpoint that
the last one left; it kills the fit after a random time and looks at what is there. The bits of what
comes to its end are compared with those of a fit without a checkpoint.
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
LONGEST = 0.7  # of the time of a whole fit, until a kill


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
    """In a process of its own: the parent must not start the threads that it would fork away."""
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
    checkpoint.SECONDS, checkpoint.SHARE = 0.0, 1e9  # a write whenever progress is told
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
        # Each write removes what the fits before have left.
        assert len(list(folder.glob(".memattn-*.tmp"))) <= 1
        if code == 0:
            finished += 1
            assert result.read_bytes() == expected.read_bytes()
            path.unlink()
            continue
        killed += 1
        if path.exists():
            kept += 1
            # Refused unless it is whole, of this panel and of these settings.
            settings = forecaster()._choose("", panel)[0]
            choices = {name: one.value for name, one in settings.items()}
            choices |= {"val_size": 0, "intervals": True}
            checkpoint.Checkpoint(path, panel, choices, resume=True)
    print(killed, kept, finished)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
