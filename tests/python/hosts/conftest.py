"""Selects Triton's interpreter before Triton is imported, so that no test needs a GPU."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
