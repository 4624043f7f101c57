"""Makes the pictures of the Start pages: screenshots of reports and a plot of `memattn inspect`.

    python docs/site/pictures.py      rewrites report.png, report-memory.png, inspect.svg

report.png shows the report that the code of docs/start/csv.md makes. The script needs Debian's
chromium and the packages that scripts/test installs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright

from memattn import Adam, MemoryAugmentedAttention

DOCS = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 900, 640


def memattn(*words: str | Path, cwd: Path) -> None:
    """Runs `memattn` with the arguments `words` in the folder `cwd`."""
    subprocess.run([sys.executable, "-m", "memattn.cli", *words, "--quiet"], cwd=cwd, check=True)


def report(folder: Path) -> Path:
    """Makes the report of docs/start/csv.md, and returns its path."""
    page = (DOCS / "start/csv.md").read_text(encoding="utf-8")
    program = re.search(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True)
    memattn("forecast", "sales.csv", "--horizon", "14", "--report", "report.html", cwd=folder)
    return folder / "report.html"


def report_of_demo(folder: Path) -> Path:
    """Makes the report of scripts/demo, and returns its path."""
    data = DOCS.parent / "data/new_york_temperature.csv"
    words = ["forecast", data, "--horizon", "48", "--report", "demo.html"]
    memattn(*words, cwd=folder)
    return folder / "demo.html"


def take_pictures(pictures: dict[str, tuple[Path, str]]) -> None:
    """Takes a screenshot of each report, from the heading that begins with the given text."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, (report, heading) in pictures.items():
            page.goto(report.as_uri())
            page.evaluate(
                "name => [...document.querySelectorAll('h1, h2, h3, h4')]"
                ".find(one => one.textContent.startsWith(name)).scrollIntoView()",
                heading,
            )
            page.screenshot(path=DOCS / "images" / name)
        browser.close()


def inspect(folder: Path) -> None:
    """Makes the picture of `memattn inspect` for a layer trained to add the sine of its input."""
    layer = MemoryAugmentedAttention(units=16, memory_size=12, num_heads=4, seed=0)
    x = np.random.default_rng(0).standard_normal((64, 10, 16), dtype=np.float32)
    optimizer = Adam(learning_rate=3e-3)
    for _ in range(500):
        error = layer(x) - x - np.sin(2 * x)
        optimizer.step(layer, layer.backward(x, 2 * error / error.size))
    layer.save(folder / "layer.safetensors")
    np.save(folder / "tokens.npy", x)
    picture = DOCS / "images/inspect.svg"
    memattn(
        "inspect", "layer.safetensors", "--data", "tokens.npy", "--picture", picture, cwd=folder
    )


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        temporary = Path(name)
        take_pictures(
            {
                "report.png": (report(temporary), "14 days ahead"),
                "report-memory.png": (report_of_demo(temporary), "When each slot is used"),
            }
        )
        inspect(temporary)
