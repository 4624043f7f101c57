"""Ctrl-C and SIGTERM end the command at once, with a line of text and nothing half-written.

The handler ends the process itself instead of raising KeyboardInterrupt: an exception that is
raised while NumPy, pandas or matplotlib are being imported may be swallowed or turned into another
one on its way up, and the traceback of an interrupted command helps nobody.

Python runs a handler only between two instructions of the main thread. Where that thread is in
compiled code for longer, such as a training step of a very large model, a second thread does it.

A training that writes checkpoints is asked to stop instead, and ends by itself; a second signal
ends the command at once.
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
PATIENCE = 0.1  # seconds that the main thread has before the second one acts

_ending = threading.Lock()


class Stop:
    """Whether a signal has asked for an end, and which: 0 for none."""

    number = 0


_stop: Stop | None = None  # while one is asked to stop


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """In the block the first signal is only noted; who works looks at it."""
    global _stop
    _stop = Stop()
    try:
        yield _stop
    finally:
        _stop = None


def end_on_signals() -> None:
    """Installs the handler for SIGINT and SIGTERM, where they are not ignored (as by nohup)."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    for number in MESSAGES:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


def ignore_signals() -> None:
    """Lets the interpreter end in peace once all is written; it would reset the handlers."""
    for number in MESSAGES:
        signal.signal(number, signal.SIG_IGN)


def _watch(reader: int) -> None:
    """Waits for a signal, and for the main thread to handle it; asks for a stop without waiting."""
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
    # The other thread hears of every signal, and alone decides while there is a stop to ask for.
    if _stop is None:
        _end(number)


def _end(number: int) -> None:
    if not _ending.acquire(blocking=False):
        return  # the other thread is at it
    # Only if the module is loaded, and to its end, can there be files of its making.
    files = sys.modules.get("memattn.files")
    remove_unfinished_files = getattr(files, "remove_unfinished_files", None)
    if remove_unfinished_files is not None:
        remove_unfinished_files()
    text = f"memattn: {MESSAGES[signal.Signals(number)]}, nothing was written halfway\n"
    with contextlib.suppress(OSError):  # perhaps nobody is listening any more
        if os.isatty(2):  # a progress bar has hidden the cursor
            text = f"{SHOW_CURSOR}\n{text}"
        os.write(2, text.encode())
    os._exit(128 + number)
