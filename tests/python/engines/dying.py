"""Code that kills the process it runs in, once; workers import it by this name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from memattn.forecast import Forecaster

DRIVER = "MEMATTN_TEST_DRIVER"  # the variable with the process id of the driver
SLOW = 400  # seconds
MARK = "MEMATTN_TEST_MARK"  # the variable with the path of a file that exists after a kill


def die_once() -> None:
    try:
        Path(os.environ[MARK]).open("x").close()
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Forecaster):
    """Kills its process at its first forecast of given series."""

    def forecasts(self, data: Any = None, **options: Any) -> Any:
        if data is not None:
            die_once()
        return super().forecasts(data, **options)


class DyingInBacktests(Forecaster):
    """Kills its process when it first reads series to measure in a worker."""

    def _panel(self, *arguments: Any, **options: Any) -> Any:
        is_worker = str(os.getpid()) != os.environ[DRIVER]
        if is_worker and options.get("least") is not None:
            die_once()
        return super()._panel(*arguments, **options)


class Slow(Forecaster):
    """Takes long for its first forecast of given series; each forecast leaves a file."""

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
    """Returns the same rows, as a source whose process is killed once."""
    die_once()
    return table
