"""The command `memattn`.

This module is loaded before the signal handlers are installed, so it imports next to nothing.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from memattn.cli.interrupt import end_on_signals, ignore_signals
from memattn.cli.streams import prepare_streams


def main() -> None:
    """Runs the command line and exits."""
    prepare_streams()
    os.environ["MPLBACKEND"] = "agg"  # pictures go to files, whatever backend a notebook has set
    end_on_signals()
    if importlib.util.find_spec("click") is None:
        from memattn.cli.errors import WRONG, told

        needs = "the command line needs: pip install 'memattn[forecast]' or 'memattn[convert]'"
        sys.exit(told("missing-extra", needs, "--json" in sys.argv, WRONG))
    from memattn.cli.app import run

    code = run(sys.argv[1:])
    ignore_signals()
    sys.exit(code)
