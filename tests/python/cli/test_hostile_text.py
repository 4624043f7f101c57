"""Text from files is escaped on the terminal: names and metadata may hold control sequences."""

import json
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention

Run = Callable[..., subprocess.CompletedProcess[str]]

# Clears the screen and sets the title by ESC and by C1, reverses text, hides text, begins lines.
HOSTILE = (
    "x\x1b[2J\x9b31m\x9d0;title\x07\u202eevil\u2066\u200b\ufeff\u2028\x85\r\nmemattn: done\x7f"
)
COMMANDS = [
    ("inspect",),
    ("inspect", "--json"),
    ("doctor",),
    ("doctor", "--json"),
    ("convert", "target.npz"),
    ("convert", "target.npz", "--json"),
]


def check_printed(text: str) -> None:
    """Checks that every invisible character except newlines was escaped."""
    raw = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") and c != "\n"]
    assert raw == []
    assert not any(line.startswith("memattn: done") for line in text.splitlines())


def header_and_data(path: Path) -> tuple[dict[str, Any], bytes]:
    """Returns the header and the data of the safetensors file `path`."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def write_file(path: Path, header: dict[str, Any], data: bytes) -> None:
    """Writes a safetensors file with that header, its characters not escaped."""
    text = json.dumps(header, ensure_ascii=False).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def set_metadata(header: dict[str, Any], key: str, value: str = HOSTILE) -> None:
    header["__metadata__"][key] = value


def set_config(header: dict[str, Any], **changes: Any) -> None:
    config = json.loads(header["__metadata__"]["config"]) | changes
    header["__metadata__"]["config"] = json.dumps(config, ensure_ascii=False)


def rename(header: dict[str, Any], name: str) -> None:
    header[HOSTILE] = header.pop(name)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "format": lambda header: set_metadata(header, "format"),
    "version": lambda header: set_metadata(header, "format_version"),
    "config": lambda header: set_metadata(header, "config"),
    "key of the metadata": lambda header: set_metadata(header, HOSTILE),
    "value of the metadata": lambda header: header["__metadata__"].update({HOSTILE: [HOSTILE]}),
    "key of the config": lambda header: set_config(header, **{HOSTILE: HOSTILE}),
    "kind of the config": lambda header: set_config(header, memory_initializer=HOSTILE),
    "units": lambda header: set_config(header, units=HOSTILE),
    "name": lambda header: rename(header, "memory"),
    "dtype": lambda header: header["memory"].update(dtype=HOSTILE),
    "shape": lambda header: header["memory"].update(shape=[HOSTILE]),
    "key of a tensor": lambda header: header["memory"].update({HOSTILE: 1}),
    "offsets": lambda header: header["memory"].update(data_offsets=[HOSTILE, HOSTILE]),
}

TAKEN = ("format", "key of the metadata")  # valid: the file of another writer, unknown metadata


@pytest.mark.parametrize("change", CHANGES)
def test_hostile_text_in_a_layer_file_is_escaped(call: Run, tmp_path: Path, change: str) -> None:
    source = tmp_path / "layer.safetensors"
    MemoryAugmentedAttention(4, 3, 2, seed=0).save(source)
    header, data = header_and_data(source)
    CHANGES[change](header)
    write_file(source, header, data)
    refused = 0
    for command, *rest in COMMANDS:
        done = call(command, source.name, *rest)
        check_printed(done.stdout)
        check_printed(done.stderr)
        refused += done.returncode == 2
    assert refused == (0 if change in TAKEN else len(COMMANDS))


def test_hostile_layer_names_are_escaped(call: Run, tmp_path: Path) -> None:
    layers = [MemoryAugmentedAttention(4, 3, 2, seed=seed) for seed in range(2)]
    weights = {
        f"{name}/{key}": value
        for name, layer in zip((HOSTILE, "second"), layers, strict=True)
        for key, value in layer.weights.items()
    }
    np.savez(tmp_path / "two.npz", **weights)
    for command, *rest in COMMANDS:
        done = call(command, "two.npz", *[word.replace(".npz", ".safetensors") for word in rest])
        check_printed(done.stdout)
        check_printed(done.stderr)
        assert done.stdout + done.stderr


def test_hostile_file_names_are_escaped(call: Run, tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    MemoryAugmentedAttention(4, 3, 2, seed=0).save(tmp_path / name)
    for command, *rest in COMMANDS:
        for file in (name, f"missing {name}"):
            done = call(command, file, *rest)
            check_printed(done.stdout)
            check_printed(done.stderr)
