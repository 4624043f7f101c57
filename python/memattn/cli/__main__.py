"""`python -m memattn.cli` is `memattn`."""

from __future__ import annotations

from memattn.cli import main

if __name__ == "__main__":
    main()
