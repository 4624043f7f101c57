"""Runs `memattn` as `python -m memattn.cli`."""

from __future__ import annotations

from memattn.cli import main

if __name__ == "__main__":
    main()
