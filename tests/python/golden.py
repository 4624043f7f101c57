"""The golden files (tests/golden), for the tests of the Python package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

FOLDER = Path(__file__).resolve().parents[1] / "golden"
CASES = sorted(
    path.stem for path in FOLDER.glob("*.safetensors") if not path.stem.startswith("train")
)


def read(case: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a golden file and the config of its layer."""
    with safe_open(FOLDER / f"{case}.safetensors", "np") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        return arrays, json.loads(file.metadata()["config"])


def masks_of(arrays: dict[str, np.ndarray], config: dict[str, Any]) -> dict[str, Any]:
    """Return the masks of a case as keyword arguments of a call."""
    names = ("attention_mask", "query_mask", "value_mask")
    masks: dict[str, Any] = {n: arrays[n].astype(bool) for n in names if n in arrays}
    return {**masks, "use_causal_mask": config.pop("use_causal_mask", False)}
