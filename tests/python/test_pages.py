"""Each host's page in docs: its ```python blocks run, as one program from top to bottom.

As in test_examples.py, MEMATTN_TEST_HOST says which page; without it, those that need no framework.
A block that needs what only one host has says so, ```python keras2.
"""

import os
import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks, run

ENGINES = ("dask", "ray", "spark")  # only the blocks that say so
HOST = os.environ.get("MEMATTN_TEST_HOST")
PAGES = {
    "keras2": ["keras", "xtft"],
    "keras3": ["keras"],
    "torch": ["pytorch"],
    "jax": ["jax"],
    **{engine: ["scale"] for engine in ENGINES},
    None: [
        *("numpy", "cross-attention", "hierarchical-attention"),
        *("forecasting", "covariates", "migrating", "scale"),
    ],
}


@pytest.mark.parametrize("page", PAGES[HOST])
def test_blocks_run(page: str, tmp_path: Path) -> None:
    found = blocks(ROOT / "docs" / f"{page}.md", "python")
    assert {block.only for block in found} <= {"", *filter(None, PAGES)}
    wanted = (HOST,) if HOST in ENGINES else ("", HOST)
    code = [block.code for block in found if block.only in wanted]
    assert code
    program = tmp_path / "page.py"
    program.write_text("\n".join(code), encoding="utf-8")
    run(sys.executable, program, cwd=tmp_path)
