"""Each host's page in docs: its ```python blocks run, as one program from top to bottom.

As in test_examples.py, MEMATTN_TEST_HOST says which page; without it, those that need no framework.
A block that needs what only one host has says so, ```python keras2.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOST = os.environ.get("MEMATTN_TEST_HOST")
PAGES = {
    "keras2": ["keras"],
    "keras3": ["keras"],
    "torch": ["pytorch"],
    "jax": ["jax"],
    None: ["numpy", "forecasting"],
}


@pytest.mark.parametrize("page", PAGES[HOST])
def test_blocks_run(page: str, tmp_path: Path) -> None:
    text = (DOCS / f"{page}.md").read_text()
    found = re.findall(r"^```python(?: (\w+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {only for only, _ in found} <= {"", *filter(None, PAGES)}
    blocks = [block for only, block in found if only in ("", HOST)]
    assert blocks
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks))
    result = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
