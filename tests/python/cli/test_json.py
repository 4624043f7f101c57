"""docs/json.md names the keys of every document, and no others."""

import json
import re
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn
from memattn import CrossAttention, MemoryAugmentedAttention

from .conftest import Run
from .site import make_site

PAGE = Path(__file__).resolve().parents[3] / "docs" / "json.md"
QUICK = ("--horizon", "3", "--steps", "2")
COMMANDS: dict[str, tuple[str, ...]] = {
    "forecast": ("DATA", *QUICK),
    "train": ("DATA", *QUICK),
    "predict": ("model.safetensors", "DATA"),
    "pretrain": ("DATA", *QUICK),
    "backtest": ("DATA", *QUICK, "--windows", "20"),
    "convert": ("layer.safetensors", "b.npz"),
    "inspect": ("layer.safetensors",),
    "pairs": ("cross.safetensors",),
    "models": ("model.npz",),
    "doctor": ("ill.safetensors", "--repair", "r.safetensors"),
    "docs": (),
    "error": ("DATA",),
}


# The commands of documents that have other names.
NAMES = {"error": "forecast", "pairs": "inspect", "models": "doctor"}


def documented(command: str) -> list[str]:
    """Returns the keys that the page lists for a command."""
    rows = re.findall(r"^\| `(.*?)` \| ([a-z ]+) \|", PAGE.read_text(), re.MULTILINE)
    everywhere = "all" if command != "error" else command
    return [key for key, commands in rows if {command, everywhere} & set(commands.split())]


def leaves(value: Any, place: str = "") -> Iterator[str]:
    """Yields the keys of values that are neither objects nor lists of objects."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{place}.{key}" if place else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for part in value:
            yield from leaves(part, f"{place}[]")
    else:
        yield place


def pattern_of(key: str) -> str:
    """Returns a key as a regular expression; a final * matches all below it, another one name."""
    text = re.escape(key)
    text = re.sub(r"\\\*$", ".+", text)
    return text.replace(r"\*", "[^.]+")


@pytest.fixture
def documents(call: Run, data: Path, tmp_path: Path) -> dict[str, Any]:
    MemoryAugmentedAttention(4, 3, 2, seed=0).save(tmp_path / "layer.safetensors")
    cross = CrossAttention(4, 2, seed=0)
    cross.save(tmp_path / "cross.safetensors")
    two = {f"{place}.{name}": w for place in "ab" for name, w in cross.weights.items()}
    np.savez(tmp_path / "model.npz", **two)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning that zeros cannot learn
        ill = MemoryAugmentedAttention(4, 3, 2, memory_initializer="zeros")
    ill.save(tmp_path / "ill.safetensors")
    make_site(tmp_path / "build/docs/html", memattn.__version__)
    found = {}
    for command, words in COMMANDS.items():
        name = NAMES.get(command, command)
        done: subprocess.CompletedProcess[str] = call(
            name, *(str(data) if word == "DATA" else word for word in words), "--json"
        )
        found[command] = json.loads(done.stderr if command == "error" else done.stdout)
    return found


def test_the_page_lists_exactly_the_keys_of_each_document(documents: dict[str, Any]) -> None:
    for command, document in documents.items():
        keys = set(leaves(document))
        patterns = documented(command)
        unknown = [
            key for key in keys if not any(re.fullmatch(pattern_of(p), key) for p in patterns)
        ]
        assert not unknown, command
        idle = [p for p in patterns if not any(re.fullmatch(pattern_of(p), key) for key in keys)]
        assert not idle, command


def test_every_document_has_its_versions(documents: dict[str, Any]) -> None:
    for command, document in documents.items():
        assert (document["memattn"], document["schema"]) == (memattn.__version__, 1)
        assert document.get("command", "error") == (
            "error" if command == "error" else NAMES.get(command, command)
        )
