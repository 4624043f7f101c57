"""The command `memattn`.

This module is all that is loaded before signals are in hand, so it imports next to nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from memattn.cli.interrupt import end_on_signals, ignore_signals
from memattn.cli.streams import prepare_streams

# What the commands need beyond NumPy, by the extra that brings it.
EXTRAS = {"convert": ("click",), "forecast": ("click", "jinja2", "matplotlib", "rich")}


def main() -> None:
    """Runs the command line and exits."""
    prepare_streams()
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever is set for notebooks
    end_on_signals()
    extra = "convert" if sys.argv[1:2] == ["convert"] else "forecast"
    if any(importlib.util.find_spec(name) is None for name in EXTRAS[extra]):
        sys.stderr.write(f"memattn: the command line needs: pip install 'memattn[{extra}]'\n")
        sys.exit(2)
    from memattn.cli.app import run

    code = run(sys.argv[1:])
    ignore_signals()
    sys.exit(code)
