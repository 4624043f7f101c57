"""`memattn forecast` when all is well: what it writes and what it says."""

import csv
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import memattn

Run = Callable[..., subprocess.CompletedProcess[str]]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_writes_a_forecast_and_tells_how_good_it_is(run: Run, data: Path, tmp_path: Path) -> None:
    done = run("forecast", data, "--horizon", "24", "--epochs", "5")
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("season: 24", "seasonal-naive", "skill %", "80 % interval", "wrote forecast.csv"):
        assert said in done.stdout
    assert not CONTROL.search(done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["forecast.csv"]
    rows = read_rows(tmp_path / "forecast.csv")
    assert len(rows) == 24
    assert rows[0]["unique_id"] == "value"
    assert rows[0]["ds"] == "2024-03-17T16:00Z"
    for row in rows:
        names = ("lo-95", "lo-80", "", "hi-80", "hi-95")
        values = [float(row["memattn" + (f"-{name}" if name else "")]) for name in names]
        assert values == sorted(values)


def test_json_is_one_document(run: Run, data: Path, tmp_path: Path) -> None:
    options = ("--horizon", "6", "--epochs", "2", "--output", "o.csv", "--report", "r.html")
    done = run("forecast", data, *options, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert document["input"]["targets"] == ["value"]
    assert document["settings"]["horizon"] == 6
    assert document["files"] == {"forecast": "o.csv", "report": "r.html"}
    assert set(document["validation"]["overall"]["accuracy"]) == {
        *("memattn", "seasonal-naive", "naive")
    }
    rows = read_rows(tmp_path / "o.csv")
    for row, entry in zip(rows, document["forecast"], strict=True):
        assert row["ds"] == entry["ds"]
        assert float(row["memattn"]) == pytest.approx(entry["memattn"], rel=1e-6)
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


def test_json_has_no_nan(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n" + "5\n" * 30 + "6\n" * 8)
    done = run("forecast", "a.csv", "--horizon", "2", "--epochs", "1", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["validation"]["overall"]["accuracy"]["memattn"]["mase"] is None


def test_same_seed_same_bytes(run: Run, data: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        run("forecast", data, "--horizon", "6", "--epochs", "2", "--output", name, "--seed", "9")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_hostile_names_steer_no_terminal(run: Run, tmp_path: Path) -> None:
    name = "[red]\x1b]0;title\x07é"
    (tmp_path / "a.csv").write_text("\n".join([f'"{name}"', *(str(k % 5) for k in range(60))]))
    done = run("forecast", "a.csv", "--horizon", "2", "--epochs", "1", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert not CONTROL.search(done.stdout)
    assert r"[red]\x1b]0;title\x07\xe9" in done.stdout.replace("\n", "")


def test_a_terminal_gets_a_progress_bar(data: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "memattn.cli", "forecast", str(data), "--horizon", "6"]
    with subprocess.Popen(
        [*command, "--epochs", "40"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:  # how a terminal ends
            pass
        assert process.wait() == 0
    os.close(ours)
    assert b"training" in shown
    assert shown.rstrip().endswith(b"\x1b[2K") or b"\x1b[?25h" in shown  # the cursor is back


@pytest.mark.parametrize("arguments", [(), ("forecast",)])
def test_help(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, "--help")
    assert done.returncode == 0
    assert "Usage: memattn" in done.stdout
    assert "memattn forecast sales.csv --horizon 14" in done.stdout


def test_help_names_every_option(run: Run) -> None:
    shown = run("forecast", "--help").stdout
    for option in (
        *("horizon", "time", "target", "lookback", "season", "epochs", "seed", "output", "report"),
        *("json", "help"),
    ):
        assert f"--{option}" in shown


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from memattn.cli.app import run; run(['forecast', '--help']);"
        "assert not {'pandas', 'matplotlib', 'rich', 'jinja2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"memattn {memattn.__version__}\n"


def test_without_the_extras(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec;"
        "u.find_spec = lambda name: None if name == 'rich' else find(name);"
        "sys.argv = ['memattn', '--help'];"
        "from memattn.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "memattn: the command line needs: pip install 'memattn[forecast]'\n"


def test_a_reader_that_leaves_is_no_traceback(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memattn.cli", "forecast", str(data), "--horizon", "2"]
    with subprocess.Popen(
        [*command, "--epochs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait() == 1
