"""Input and output of the commands: - for standard streams, default files, and --quiet."""

import json
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from memattn import MemoryAugmentedAttention

from .conftest import COMMAND, Run, plain_environment

QUICK = ("--horizon", "3", "--steps", "2")


def piped(folder: Path, content: bytes, *words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*COMMAND, *words],
        input=content,
        capture_output=True,
        cwd=folder,
        env=plain_environment(),
        check=False,
    )


def test_dash_reads_stdin_and_writes_stdout(run: Run, data: Path, tmp_path: Path) -> None:
    assert run("forecast", data, *QUICK).returncode == 0
    expected = (tmp_path / "forecast.csv").read_bytes()
    (tmp_path / "forecast.csv").unlink()
    done = piped(tmp_path, data.read_bytes(), "forecast", "-", *QUICK, "-o", "-")
    assert done.returncode == 0
    assert done.stdout == expected
    assert done.stderr.startswith(b"<stdin>: 1 series, 400 values\n")
    assert list(tmp_path.iterdir()) == []
    train = ("train", "-", *QUICK, "-q", "-o", "m")
    assert piped(tmp_path, data.read_bytes(), *train).returncode == 0
    done = piped(tmp_path, data.read_bytes(), "predict", "m", "-", "-q", "-o", "-")
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, b"")


def test_an_error_in_stdin_has_its_line_and_column(tmp_path: Path) -> None:
    rows = b"ds,y\n2024-01-01,1\n2024-01-02,oops\n"
    done = piped(tmp_path, rows, "forecast", "-", *QUICK)
    said = b'memattn: <stdin>, line 3, column "y": found "oops", expected a number\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", said)
    done = piped(tmp_path, rows, "forecast", "-", *QUICK, "--json")
    error = json.loads(done.stderr)["error"]
    assert (error["file"], error["line"], error["column"]) == ("-", 3, "y")
    assert piped(tmp_path, b"", "forecast", "-", *QUICK).stderr.startswith(b"memattn: <stdin>: ")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ("<&-", "memattn: <stdin>: the file is empty, expected a header line and rows\n"),
        ("< /dev/null", "memattn: <stdin>: the file is empty, expected a header line and rows\n"),
    ],
)
def test_empty_stdin_is_an_error(tmp_path: Path, stream: str, said: str) -> None:
    words = [*COMMAND, "forecast", "-", *QUICK]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {stream}', "bash", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_json_and_a_table_do_not_share_stdout(call: Run, data: Path) -> None:
    done = call("forecast", data, *QUICK, "--json", "-o", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--output: cannot be -" in json.loads(done.stderr)["error"]["message"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_a_path_of_stdout_is_refused_as_output(tmp_path: Path, data: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "log").write_text("before\n")
    words = [*COMMAND, "forecast", str(data), *QUICK, "--output", name]
    with (tmp_path / "log").open("a") as log:
        done = subprocess.run(
            words, stdout=log, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False
        )
    assert done.returncode == 2
    expected = "expected a file, or - for standard output"
    assert done.stderr == f"memattn: --output: found {name}, {expected}\n"
    assert (tmp_path / "log").read_text() == "before\n"


def test_a_default_output_replaces_only_files_of_memattn(
    call: Run, data: Path, tmp_path: Path
) -> None:
    words = ("forecast", data, *QUICK)
    assert call(*words).stdout.endswith("\nwrote forecast.csv\n")
    assert call(*words).stdout.endswith("\nwrote forecast.csv (replaced)\n")
    (tmp_path / "forecast.csv").write_text("day,rain\n1,2\n")
    done = call(*words)
    said = "exists and was not written by memattn; to replace it, name it with --output"
    assert (done.returncode, done.stderr) == (2, f"memattn: forecast.csv: {said}\n")
    assert (tmp_path / "forecast.csv").read_text() == "day,rain\n1,2\n"
    assert call(*words, "-o", "forecast.csv").returncode == 0
    for command, name in (("train", "model.safetensors"), ("backtest", "backtest.csv")):
        more = ("--windows", "1") if command == "backtest" else ()
        for _ in range(2):
            assert call(command, data, *QUICK, *more).returncode == 0
        (tmp_path / name).write_text("mine")
        assert call(command, data, *QUICK, *more).returncode == 2


@pytest.mark.parametrize(
    "command", ["forecast", "train", "predict", "backtest", "convert", "inspect"]
)
def test_quiet_prints_nothing_but_json(call: Run, data: Path, tmp_path: Path, command: str) -> None:
    MemoryAugmentedAttention(4, 3, 2, seed=0).save(tmp_path / "a.safetensors")
    more: dict[str, tuple[Any, ...]] = {
        "backtest": (data, *QUICK, "--windows", "1"),
        "convert": ("a.safetensors", "a.npz"),
        "inspect": ("a.safetensors",),
    }
    words = more.get(command, (data, *QUICK))
    if command == "predict":
        assert call("train", data, *QUICK, "-q").stdout == ""
        words = ("model.safetensors",)
    done = call(command, *words, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(call(command, *words, "--quiet", "--json").stdout)["command"] == command


def test_environment_variables_set_options(run: Run, data: Path, tmp_path: Path) -> None:
    variables = {"MEMATTN_FORECAST_HORIZON": "2", "MEMATTN_FORECAST_STEPS": "2"}
    assert run("forecast", data, "-o", "a.csv", **variables).returncode == 0
    assert (tmp_path / "a.csv").read_text().count("\n") == 3
    done = run("forecast", data, "-o", "-", **variables, MEMATTN_FORECAST_LEVEL="60 70")
    assert done.stdout.startswith(
        "unique_id,time,memattn,memattn-lo-60,memattn-hi-60,memattn-lo-70"
    )
    done = run("forecast", data, **variables, MEMATTN_FORECAST_ID="shop")
    assert '--id: found no column "shop"' in done.stderr
    done = run("forecast", data, **variables | {"MEMATTN_FORECAST_HORIZON": "x"})
    assert (done.returncode, "found x, expected a whole number" in done.stderr) == (2, True)
    done = run("forecast", "none.csv", **variables, MEMATTN_FORECAST_JSON="1")
    assert json.loads(done.stderr)["error"]["kind"] == "not-found"


def test_the_number_of_threads_does_not_change_the_result(
    run: Run, data: Path, tmp_path: Path
) -> None:
    for count in ("1", "2"):
        words = ("forecast", data, *QUICK, "--threads", count, "-o", f"{count}.csv")
        assert run(*words).returncode == 0
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_no_intervals_leaves_out_the_interval_columns(
    call: Run, data: Path, tmp_path: Path
) -> None:
    done = call("forecast", data, *QUICK, "--no-intervals")
    assert (done.returncode, "Coverage" in done.stdout) == (0, False)
    assert (tmp_path / "forecast.csv").read_text().startswith("unique_id,time,memattn\n")
    assert call("backtest", data, *QUICK, "--windows", "1", "--no-intervals").returncode == 0
    header = (tmp_path / "backtest.csv").read_text().splitlines()[0]
    assert header == "unique_id,time,cutoff,y,memattn"
    words = ("--loss", "quantile", "--no-intervals")
    assert call("forecast", data, *QUICK, *words).returncode == 0
    assert "memattn-lo-80" in (tmp_path / "forecast.csv").read_text()


def test_val_size_calibrates_the_intervals(call: Run, data: Path, tmp_path: Path) -> None:
    done = call("forecast", data, *QUICK, "--val-size", "60")
    assert done.returncode == 0
    assert "Coverage" in done.stdout
    assert "memattn-lo-80" in (tmp_path / "forecast.csv").read_text()


def test_the_command_without_arguments_prints_help(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout == run("-h").stdout
    assert "MEMATTN_NUM_THREADS" in done.stdout
    assert run("-V").stdout == run("--version").stdout


def test_stdin_may_hold_parquet(tmp_path: Path, data: Path) -> None:
    pl.read_csv(data).write_parquet(tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    done = piped(tmp_path, content, "forecast", "-", *QUICK, "-o", "-")
    assert done.stderr.startswith(b"<stdin>: 1 series, 400 values\n")
    plain = piped(tmp_path, data.read_bytes(), "forecast", "-", *QUICK, "-o", "-")
    assert done.stdout.count(b"\n") == plain.stdout.count(b"\n") == 4
