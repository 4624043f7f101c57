"""Each host's page in docs: its ```python blocks run as one program, from top to bottom.

As in test_examples.py, MEMATTN_TEST_HOST selects the pages; without it, pages that need no
framework run. A block for a single host is marked with its name, ```python keras2.
"""

import os
import sys
from pathlib import Path

import pytest

from .pages import ROOT, blocks, run, short_form

ENGINES = ("dask", "ray", "spark")
ADAPTERS = ("sktime", "darts", "fev", "nixtla")
ALONE = ENGINES + ADAPTERS  # only the blocks marked with their name
HOST = os.environ.get("MEMATTN_TEST_HOST")
PAGES = {
    "keras2": ["keras", "xtft"],
    "keras3": ["keras"],
    "torch": ["pytorch"],
    "jax": ["jax"],
    **{engine: ["scale"] for engine in ENGINES},
    **{adapter: ["adapters"] for adapter in ADAPTERS},
    None: [
        *("numpy", "cross-attention", "hierarchical-attention"),
        *("forecasting", "covariates", "migrating", "scale", "intervals", "prior"),
        *("collapse", "convert", "format"),
    ],
}
# Code that makes the files that the blocks of a page open, and that its readers have.
FILES = {
    "collapse": """
import memattn
memattn.MemoryAugmentedAttention(16, 8, 4, seed=0).save("layer.safetensors")
""",
    "convert": """
import io, zipfile, h5py
LAYER = "memory_augmented_attention"
with zipfile.ZipFile(f"{ROOT}/tests/golden/keras/keras3.keras") as model:
    parts = {name: model.read(name) for name in model.namelist()}
parts["config.json"] = parts["config.json"].replace(b'"first"', f'"{LAYER}"'.encode())
weights = io.BytesIO(parts["model.weights.h5"])
with h5py.File(weights, "r+") as file:
    file[f"layers/{LAYER}/vars"].attrs["name"] = LAYER
parts["model.weights.h5"] = weights.getvalue()
with zipfile.ZipFile("model.keras", "w") as renamed:
    for name, content in parts.items():
        renamed.writestr(name, content)
""",
}
STEPS = {"covariates": 150}  # of the short form, and 20 on other pages
START = "start"  # test_start_pages.py


@pytest.mark.parametrize("page", PAGES[HOST])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    found = blocks(ROOT / "docs" / f"{page}.md", "python")
    assert {block.only for block in found} <= {"", *filter(None, PAGES)}
    wanted = (HOST,) if HOST in ALONE else ("", HOST)
    code = [block.code for block in found if block.only in wanted]
    assert code
    program = tmp_path / "page.py"
    before = ""
    if HOST is None and "memattn.forecast" in "".join(code):
        before = short_form("write_report(" in "".join(code), STEPS.get(page, 20))
    files = f"ROOT = {str(ROOT)!r}\n{FILES.get(page, '')}"
    program.write_text("\n".join([before, files, *code]), encoding="utf-8")
    run(sys.executable, program, cwd=tmp_path)


def test_every_page_with_blocks_is_tested() -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if blocks(page, "python")]
    named = {name for names in PAGES.values() for name in names}
    assert {page.stem for page in pages if page.parent.name != START} == named
