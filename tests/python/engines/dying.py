"""What kills the process that it runs in, once; workers import it by this name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from memattn.forecast import Forecaster

DRIVER = "MEMATTN_TEST_DRIVER"  # the variable with the number of the process that is no worker
SLOW = 400  # seconds
MARK = "MEMATTN_TEST_MARK"  # the variable with the path of a file that is there after a death


def die_once() -> None:
    try:
        Path(os.environ[MARK]).open("x").close()
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Forecaster):
    """Whose first forecast of given series is its process' last deed."""

    def forecasts(self, data: Any = None, **options: Any) -> Any:
        if data is not None:
            die_once()
        return super().forecasts(data, **options)


class DyingInBacktests(Forecaster):
    """Whose first reading of series to measure, in a worker, is its process' last deed."""

    def _panel(self, *arguments: Any, **options: Any) -> Any:
        is_worker = str(os.getpid()) != os.environ[DRIVER]
        if is_worker and options.get("least") is not None:
            die_once()
        return super()._panel(*arguments, **options)


class Slow(Forecaster):
    """Whose first forecast of given series takes long; each leaves a file beside the mark."""

    def forecasts(self, data: Any = None, **options: Any) -> Any:
        if data is not None:
            first = str(min(data["unique_id"].to_pylist()))
            mark = Path(os.environ[MARK])
            mark.with_name(f"{first} {os.getpid()} {time.time_ns()}").touch()
            try:
                mark.open("x").close()
                time.sleep(SLOW)
            except FileExistsError:
                pass
        return super().forecasts(data, **options)


def rows_from_the_dead(table: Any) -> Any:
    """The same rows, of a source that fails once."""
    die_once()
    return table
