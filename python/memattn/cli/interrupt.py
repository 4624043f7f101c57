"""Ctrl-C and SIGTERM: end the command at once, with one line of text and no partial files.

The handler ends the process instead of raising KeyboardInterrupt. An exception raised while NumPy,
pandas or matplotlib are being imported may be swallowed or replaced by another one, and users have
no use for the traceback of a command that they interrupted.

Python runs signal handlers only between two instructions of the main thread. If that thread stays
in compiled code, as in a training step of a very large model, a second thread ends the process.

A training that writes checkpoints is asked to stop instead, and ends after its current step; a
second signal ends the command at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

MESSAGES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
SHOW_CURSOR = "\x1b[?25h"
PATIENCE = 0.1  # seconds that the main thread has before the second thread ends the process

_ending = threading.Lock()


class Stop:
    """The signal that asked the training to stop; 0 if none has."""

    number = 0


_stop: Stop | None = None  # set inside the block of stop_on_signals


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Records the first signal inside the block, for the training to check between steps."""
    global _stop
    _stop = Stop()
    try:
        yield _stop
    finally:
        _stop = None


def end_on_signals() -> None:
    """Installs the handler for SIGINT and SIGTERM, unless they are ignored (as by nohup)."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    for number in MESSAGES:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def ignore_signals() -> None:
    """Ignores signals after all output is written, while the interpreter shuts down."""
    for number in MESSAGES:
        signal.signal(number, signal.SIG_IGN)


def _watch(reader: int) -> None:
    """Waits for signals. Requests a stop at once, or ends a process that does not end itself."""
    while True:
        number = os.read(reader, 1)[0]
        if number not in MESSAGES:
            continue
        stop = _stop
        if stop is not None and not stop.number:
            stop.number = number
            continue
        time.sleep(PATIENCE)
        _end(number)


def _handle(number: int, frame: FrameType | None) -> None:
    # The watching thread gets every signal, and alone handles those inside stop_on_signals.
    if _stop is None:
        _end(number)


def _end(number: int) -> None:
    if not _ending.acquire(blocking=False):
        return  # the other thread is ending the process
    # There can be unfinished files only if the module has been loaded completely.
    files = sys.modules.get("memattn.files")
    remove_unfinished_files = getattr(files, "remove_unfinished_files", None)
    if remove_unfinished_files is not None:
        remove_unfinished_files()
    text = f"memattn: {MESSAGES[signal.Signals(number)]}; no file was left half-written\n"
    with contextlib.suppress(OSError):  # stderr may be closed
        if os.isatty(2):  # a progress bar has hidden the cursor
            text = f"{SHOW_CURSOR}\n{text}"
        os.write(2, text.encode())
    os._exit(128 + number)
