"""The command `memattn`.

This module is all that is loaded before signals are in hand, so it imports next to nothing.
"""

from __future__ import annotations

import importlib.util
import sys

from memattn.cli.interrupt import end_on_signals, ignore_signals

EXTRAS = ("click", "jinja2", "matplotlib", "rich")


def main() -> None:
    """Runs the command line and exits."""
    end_on_signals()
    if any(importlib.util.find_spec(name) is None for name in EXTRAS):
        sys.stderr.write("memattn: the command line needs: pip install 'memattn[forecast]'\n")
        sys.exit(2)
    from memattn.cli.app import run

    code = run(sys.argv[1:])
    ignore_signals()
    sys.exit(code)
