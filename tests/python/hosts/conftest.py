"""Asks for Triton's interpreter, before anything imports Triton: no test needs a GPU."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
