"""Closed and full streams, bad environments and odd paths give one line, never a traceback."""

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memattn import MemoryAugmentedAttention, convert
from memattn.cli import app
from memattn.cli.output import real_path

from .conftest import COMMAND, plain_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

QUICK = ("--horizon", "3", "--steps", "2")
LOST = "memattn: cannot write to standard output: "


@pytest.fixture
def shell(tmp_path: Path) -> Run:
    """Runs `memattn ARGUMENTS` in an empty folder, with redirections of bash."""

    def call(redirections: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            ["bash", "-c", f'"$@" {redirections}', "bash", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=plain_environment(),
            timeout=600,
            check=False,
        )

    return call


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer.safetensors"
    convert.write(MemoryAugmentedAttention(4, 3, 2), path)
    return path


@pytest.mark.parametrize(
    ("stream", "reason"),
    [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_unwritable_stdout_is_an_error_after_all_files_are_written(
    shell: Run, data: Path, tmp_path: Path, stream: str, reason: str, as_json: bool
) -> None:
    options = ["--json"] if as_json else []
    done = shell(stream, "forecast", data, *QUICK, "--model", "m", *options)
    assert done.returncode == 1
    said = f"{LOST.removeprefix('memattn: ')}{reason}; wrote forecast.csv, m"
    if as_json:
        error = json.loads(done.stderr)["error"]
        assert (error["kind"], error["message"]) == ("output-failed", said)
    else:
        assert done.stderr == f"memattn: {said}\n"
    assert (tmp_path / "forecast.csv").read_text().count("\n") == 4


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_unwritable_stderr_does_not_stop_the_command(
    shell: Run, data: Path, tmp_path: Path, stream: str
) -> None:
    done = shell(stream, "forecast", data, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nwrote forecast.csv" in done.stdout
    assert (tmp_path / "forecast.csv").read_text().startswith("unique_id,time,memattn")
    assert shell(stream, "forecast", "none.csv", *QUICK).returncode == 2


def test_text_for_closed_streams_reaches_no_file(shell: Run, data: Path, tmp_path: Path) -> None:
    """Opened files must not get the numbers of closed streams."""
    done = shell(
        "<&- >&- 2>&-", "forecast", data, *QUICK, "--output", "f.csv", "--report", "r.html"
    )
    assert done.returncode == 1
    assert (tmp_path / "f.csv").read_text().count("\n") == 4
    assert "wrote" not in (tmp_path / "r.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.csv", "r.html"]


def test_every_command_reports_a_full_stdout(
    shell: Run, data: Path, layer: Path, tmp_path: Path
) -> None:
    commands = {
        "m": ("train", data, *QUICK, "--output", "m"),
        "p.csv": ("predict", "m", "--output", "p.csv"),
        "b.csv": ("backtest", data, *QUICK, "--windows", "1", "--output", "b.csv"),
        "i.svg": ("inspect", layer, "--picture", "i.svg"),
        "c.npz": ("convert", layer, "c.npz"),
    }
    for name, words in commands.items():
        done = shell(">/dev/full", *words)
        assert (done.returncode, done.stderr) == (
            1,
            f"{LOST}No space left on device; wrote {name}\n",
        )
        assert (tmp_path / name).stat().st_size > 0
    done = shell(">/dev/full", "doctor", layer)
    assert (done.returncode, done.stderr) == (1, f"{LOST}No space left on device\n")


def test_a_closed_pipe_exits_with_1_and_prints_nothing(shell: Run, data: Path) -> None:
    done = shell("| true; exit ${PIPESTATUS[0]}", "forecast", data, *QUICK)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("MEMATTN_NUM_THREADS", 'found "x", expected a whole number from 1 to 1024'),
        ("MEMATTN_FORCE_ISA", 'found "x", expected one that this machine and this build have'),
    ],
)
def test_bad_environment_variables_are_errors(
    run: Run, data: Path, variable: str, said: str
) -> None:
    done = run("forecast", data, *QUICK, **{variable: "x"})
    assert done.returncode == 2
    assert done.stderr.startswith(f"memattn: {variable}: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_inspect_reports_a_bad_environment_variable(run: Run, layer: Path) -> None:
    done = run("inspect", layer, MEMATTN_FORCE_ISA="x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("memattn: MEMATTN_FORCE_ISA: ")


def test_circular_links_are_errors(call: Run, data: Path, layer: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for words in (
        ("forecast", loop, *QUICK),
        ("forecast", loop / "x.parquet", *QUICK),
        *(("forecast", data, *QUICK, option, loop) for option in ("--output", "--report")),
        *(("forecast", data, *QUICK, option, loop) for option in ("--model", "--checkpoint")),
        ("train", data, *QUICK, "--output", loop),
        ("predict", loop),
        ("inspect", loop),
        ("inspect", layer, "--data", loop),
        ("doctor", layer, "--repair", loop),
        ("convert", loop, "c.npz"),
    ):
        done = call(*words)
        assert done.returncode in (1, 2), words
        assert "Too many levels of symbolic links" in done.stderr
        assert "Traceback" not in done.stderr
    assert loop.is_symlink()
    assert real_path(loop) == loop


@pytest.mark.parametrize(
    "options", [("--lookback", "1000000000"), ("--season", "2147483647"), ("--horizon", "1000000")]
)
def test_models_that_are_too_large_are_errors(
    call: Run, data: Path, options: tuple[str, ...]
) -> None:
    quick = ("--horizon", "3", "--lookback", "2147483647") if "--horizon" in options else QUICK
    done = call("forecast", data, *quick, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("memattn: --lookback: found ")
    assert done.stderr.endswith("choose a smaller horizon, season or lookback\n")


@pytest.mark.parametrize("loss", ["smape", "mae", "huber", "quantile"])
def test_values_that_jump_are_forecast(call: Run, tmp_path: Path, loss: str) -> None:
    rows = "".join(f"{k},{-1e60 if k > 76 else k % 5}\n" for k in range(80))
    (tmp_path / "jump.csv").write_text(f"ds,y\n{rows}")
    done = call("forecast", "jump.csv", *QUICK, "--loss", loss, "--season", "4")
    assert done.returncode == 0, done.stderr
    forecasts = (tmp_path / "forecast.csv").read_text().splitlines()[1:]
    assert all(math.isfinite(float(row.split(",")[-1])) for row in forecasts)


def test_a_training_that_diverges_is_an_error(
    call: Run, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("fit: the training diverged: the loss became inf in step 3")

    monkeypatch.setattr("memattn.forecast.checkpoint.train_model", fail)
    done = call("forecast", data, *QUICK)
    assert done.returncode == 2
    assert "rescale them, or choose another loss" in done.stderr
    monkeypatch.setattr("memattn.forecast.checkpoint.train_model", lambda *_: 1 / 0)
    assert call("forecast", data, *QUICK).returncode == 70


class PanicException(BaseException):
    """Stands for the exception of Polars, which is a BaseException."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(28, "No space left on device", "a\x1b"), 1, r"a\x1b: No space left on device"),
        (OSError("odd"), 1, "odd"),
        (MemoryError(), 1, "not enough memory for this much data"),
        (ModuleNotFoundError("rich needs: pip install"), 2, "rich needs: pip install"),
        (KeyError("x"), 70, "internal error: KeyError: 'x'\nto report this bug, run the "),
        (PanicException("y"), 70, "internal error: PanicException: y\n"),
        (ImportError("b needs NumPy 2"), 2, "a package cannot be imported: b needs NumPy 2\n"),
        (ImportError("no x", name="memattn.x"), 70, "internal error: ImportError: no x\n"),
        (RuntimeError("load: MEMATTN_X: found 1"), 2, "MEMATTN_X: found 1"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_unexpected_errors_print_one_line(
    call: Run,
    layer: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(*options: object) -> None:
        raise error

    monkeypatch.setattr("memattn.inspection.source.check_layer_target", fail)
    done = call("convert", layer, "c.npz")
    assert done.returncode == code
    assert done.stderr.startswith(f"memattn: {said}")
    assert json.loads(call("convert", layer, "c.npz", "--json").stderr)["error"]["message"]


def test_a_format_error_is_printed_unchanged(
    call: Run, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from memattn import FormatError

    def fail(*options: object) -> None:
        raise FormatError("layer: found a, expected b")

    monkeypatch.setattr("memattn.inspection.source.check_layer_target", fail)
    done = call("convert", layer, "c.npz")
    assert (done.returncode, done.stderr) == (2, "memattn: layer: found a, expected b\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_development_mode_prints_the_traceback(layer: Path, tmp_path: Path, as_json: bool) -> None:
    words = ["convert", "a", "b", *(["--json"] if as_json else [])]
    script = (
        "import sys; from memattn.cli import app; from memattn.inspection import source\n"
        "def fail(*options): raise KeyError('x')\n"
        "source.check_layer_target = fail\n"
        f"sys.exit(app.run({words}))\n"
    )
    command = [COMMAND[0], "-X", "dev", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 70
    assert "internal error: KeyError: 'x'" in done.stderr
    if as_json:
        assert json.loads(done.stderr)["error"]["kind"] == "internal"
    else:
        assert done.stderr.startswith("Traceback")


def test_a_removed_working_folder_prints_no_traceback(data: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    words = ["bash", "-c", 'mkdir "$0" && cd "$0" && rmdir "$0" && "$@"', str(gone), *COMMAND]
    done = subprocess.run(
        [*words, "forecast", str(data), *QUICK],
        capture_output=True,
        text=True,
        env=plain_environment() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr


def test_run_needs_no_prepared_streams(call: Run, layer: Path) -> None:
    assert app.output_error() is None
    assert call("inspect", layer).returncode == 0
