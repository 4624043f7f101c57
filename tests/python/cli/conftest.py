"""Fixtures that run the command, in a process of its own or in this one."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import memattn
from memattn.cli import app

COMMAND = [sys.executable, "-m", "memattn.cli"]
Run = Callable[..., subprocess.CompletedProcess[str]]


def heed_signals() -> None:
    """Restores the default handler of SIGINT, which a shell may have set to ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def plain_environment() -> dict[str, str]:
    """Returns the environment without the variables that colour the output of rich."""
    colours = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "CLICOLOR_FORCE")
    return {name: value for name, value in os.environ.items() if name not in colours}


def parts_of(printed: str, command: str) -> dict[str, Any]:
    """Returns a JSON document without its head, after checking the head."""
    document = json.loads(printed, parse_constant=pytest.fail)
    head = [document.pop(key) for key in ("memattn", "schema", "command")]
    assert head == [memattn.__version__, 1, command]
    return document


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `memattn ARGUMENTS` in an empty folder."""

    def call(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=plain_environment() | environment,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `memattn ARGUMENTS` in an empty folder, in this process: much faster than in its own."""
    for name in os.environ.keys() - plain_environment().keys():
        monkeypatch.delenv(name)

    def run_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        words = [str(word) for word in arguments]
        code = app.run(words)
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run_here


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `memattn ARGUMENTS` in an empty folder and does not wait for it."""

    def call(*arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=plain_environment(),
            preexec_fn=heed_signals,
        )

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy daily cycle, 400 hours long: one series, its times in a zone."""
    hours = np.arange(400)
    values = 20 + 5 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(1).normal(size=400)
    times = np.datetime64("2024-03-01T00:00") + hours.astype("timedelta64[h]")
    path = tmp_path_factory.mktemp("data") / "data.csv"
    rows = [f"{time}Z,{value:.3f}" for time, value in zip(times, values, strict=True)]
    path.write_text("\n".join(["time,value", *rows]) + "\n")
    return path


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long file of 42 shops, 36 months and more each; one lacks a value, rows are shuffled."""
    rng = np.random.default_rng(2)
    rows = []
    for k in range(42):
        count = 36 + k % 3
        months = np.datetime64("2020-01") + np.arange(count)
        values = np.exp(3 + 0.1 * rng.normal(size=count).cumsum())
        rows += [f"shop {k:02d},{m}-01,{v:.4f}" for m, v in zip(months, values, strict=True)]
    rows[7] = ",".join([*rows[7].split(",")[:2], ""])
    path = tmp_path_factory.mktemp("shops") / "shops.csv"
    path.write_text("\n".join(["unique_id,ds,y", *rng.permutation(rows)]) + "\n")
    return path
