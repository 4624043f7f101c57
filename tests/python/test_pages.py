"""Each host's page in docs: its ```python blocks run, as one program from top to bottom.

As in test_examples.py, MEMATTN_TEST_HOST says which page; without it, that of NumPy.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"keras2": "keras", "keras3": "keras", "torch": "pytorch", "jax": "jax", None: "numpy"}


def test_blocks_run(tmp_path: Path) -> None:
    page = DOCS / f"{PAGES[os.environ.get('MEMATTN_TEST_HOST')]}.md"
    blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
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
