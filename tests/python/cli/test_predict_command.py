"""`memattn train` saves a model, with which `memattn predict` forecasts without training."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from memattn import MemoryAugmentedAttention
from memattn.forecast import Forecaster

from ..forecast.panels import assert_holds

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--horizon", "3", "--steps", "5")


@pytest.fixture(scope="module")
def model(shops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "shops.safetensors"
    Forecaster(3, steps=5).fit(shops).save(path)
    return path


def test_train_saves_a_model(call: Run, shops: Path, tmp_path: Path, model: Path) -> None:
    done = call("train", shops, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("42 series", "Accuracy on", "Coverage on", "wrote model.safetensors"):
        assert said in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    kept = Forecaster.load(tmp_path / "model.safetensors")
    assert kept.predict(level=[80]).equals(Forecaster.load(model).predict(level=[80]))
    document = json.loads(call("train", shops, *QUICK, "--output", "m", "--json").stdout)
    assert document["files"] == {"model": "m"}
    assert document["accuracy"]["windows"] > 0
    assert document["settings"]["horizon"]["value"] == 3


def test_predict_forecasts_the_series_of_the_model(call: Run, tmp_path: Path, model: Path) -> None:
    done = call("predict", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{model}: 42 series, 3 steps ahead\nwrote forecast.csv\n"
    expected = Forecaster.load(model).predict(level=[80, 95])
    assert_holds(tmp_path / "forecast.csv", expected)


def test_predict_has_only_the_quantiles_that_were_trained(
    call: Run, shops: Path, tmp_path: Path
) -> None:
    done = call("train", shops, *QUICK, "--loss", "quantile", "--level", "70", "--output", "m")
    assert (done.returncode, done.stderr) == (0, "")
    assert "levels" in done.stdout
    assert call("predict", "m").returncode == 0
    first = (tmp_path / "forecast.csv").read_text().splitlines()[0]
    assert first == "unique_id,ds,memattn,memattn-lo-70,memattn-hi-70"
    refused = call("predict", "m", "--level", "80")
    assert refused.returncode == 2
    assert (
        "--level: found 80, expected a level that the quantile loss was trained" in refused.stderr
    )


def test_predict_forecasts_other_series(call: Run, tmp_path: Path, model: Path) -> None:
    rows = [f"new,2021-{k + 1:02d}-01,{5 + k}" for k in range(12)]
    (tmp_path / "new.csv").write_text("\n".join(["unique_id,ds,y", *rows]) + "\n")
    done = call("predict", model, "new.csv", "--level", "70", "--output", "out.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    assert "one row every month" in done.stdout
    table = pl.read_parquet(tmp_path / "out.parquet")
    assert table.columns == ["unique_id", "ds", "memattn", "memattn-lo-70", "memattn-hi-70"]
    assert table["ds"].dt.month().to_list() == [1, 2, 3]


def test_predict_takes_a_shorter_horizon_but_no_longer_one(
    call: Run, tmp_path: Path, model: Path
) -> None:
    assert call("predict", model, "--horizon", "2").returncode == 0
    assert (tmp_path / "forecast.csv").read_text().count("\n") == 1 + 42 * 2
    done = call("predict", model, "--horizon", "4")
    said = "--horizon: found 4, expected a whole number from 1 to 3"
    assert (done.returncode, done.stderr) == (2, f"memattn: {said}\n")


def test_predict_prints_json(call: Run, tmp_path: Path, model: Path) -> None:
    document = json.loads(call("predict", model, "--json").stdout)
    assert document["model"] == document["input"]["file"] == str(model)
    assert document["files"] == {"forecast": "forecast.csv"}
    assert len(document["forecast"]) == 42 * 3
    assert {"unique_id", "ds", "memattn", "memattn-hi-95"} <= set(document["forecast"][0])


def test_a_model_without_intervals_predicts_none(call: Run, shops: Path, tmp_path: Path) -> None:
    Forecaster(3, steps=5, intervals=False).fit(shops).save(tmp_path / "m")
    assert call("predict", "m").returncode == 0
    header = (tmp_path / "forecast.csv").read_text().splitlines()[0]
    assert header == "unique_id,ds,memattn"
    done = call("predict", "m", "--level", "80")
    assert done.returncode == 2
    assert "--level: this fit has no intervals" in done.stderr


def test_predict_imports_no_heavy_package(tmp_path: Path, model: Path, shops: Path) -> None:
    code = (
        "import sys; from memattn.cli.app import run; assert run(sys.argv[1:]) == 0;"
        "heavy = {'pandas', 'polars', 'pyarrow', 'matplotlib', 'rich', 'jinja2'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, "predict", str(model), str(shops)]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=60)


def damaged(model: Path) -> bytes:
    return model.read_bytes()[:-40]


def test_the_file_of_a_layer_is_no_model(call: Run, tmp_path: Path) -> None:
    MemoryAugmentedAttention(2, 3, 1, seed=0).save(tmp_path / "layer.safetensors")
    done = call("predict", "layer.safetensors")
    said = "found a file of a MemoryAugmentedAttention, expected a saved Forecaster"
    assert (done.returncode, done.stderr) == (2, f"memattn: layer.safetensors: {said}\n")


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (None, "not-found", "no such file"),
        (b"", "format", "found"),
        (b"unique_id,ds,y\n", "format", "found text, expected a saved Forecaster"),
        ("damaged", "format", "found"),
    ],
)
def test_files_that_are_not_models_are_errors(
    call: Run, tmp_path: Path, model: Path, content: bytes | str | None, kind: str, said: str
) -> None:
    if content is not None:
        (tmp_path / "m").write_bytes(damaged(model) if isinstance(content, str) else content)
    before = sorted(tmp_path.iterdir())
    done = call("predict", "m")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("memattn: m: ")
    assert said in done.stderr
    assert json.loads(call("predict", "m", "--json").stderr)["error"]["kind"] == kind
    assert sorted(tmp_path.iterdir()) == before


def test_data_that_do_not_fit_the_model_are_errors(call: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "days.csv").write_text("ds,y\n2024-01-01,1\n2024-01-02,2\n")
    done = call("predict", model, "days.csv")
    assert done.returncode == 2
    assert "found line 2 (2024-01-01), expected one row every month as in training" in done.stderr
    assert call("predict", model, "--output", model).returncode == 2
    assert call("predict", model, "none.csv").stderr.startswith("memattn: none.csv: no such file")


@pytest.mark.parametrize("command", ["inspect", "doctor"])
def test_inspect_and_doctor_refuse_a_forecaster(call: Run, model: Path, command: str) -> None:
    done = call(command, model)
    said = "found a saved forecaster, expected a layer; memattn predict reads forecasters"
    assert (done.returncode, done.stderr) == (2, f"memattn: {model}: {said}\n")


def test_train_starts_from_a_model(call: Run, shops: Path, tmp_path: Path, model: Path) -> None:
    again = ("train", shops, *QUICK, "--start-from", model)
    done = call(*again, "-o", "new.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    assert "earlier trainings: 1" in done.stdout
    expected = Forecaster(3, steps=5).fit(shops, start_from=model)
    assert expected.predict().equals(Forecaster.load(tmp_path / "new.safetensors").predict())
    document = json.loads(call(*again, "-o", "m", "--json").stdout)
    assert document["settings"]["start_from"]["value"] == 1
    for words, says in (
        (("--members", "2"), "--start-from: found a forecaster with members=1, expected members=2"),
        (("--start-from", "none"), "memattn: none: no such file; expected a file that"),
        (("-o", model), "is also the input"),
    ):
        refused = call(*again, *words)
        assert refused.returncode == 2
        assert says in refused.stderr
