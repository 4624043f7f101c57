"""`memattn pretrain` writes the file that `--prior` reads."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from memattn.forecast import Forecaster

from .conftest import Run


def table(path: Path, series: int, rows: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(
            {
                "unique_id": f"s{k}",
                "ds": pd.date_range("2010-01-01", periods=rows, freq="MS"),
                "y": np.exp(3 + rng.normal(0, 0.05, rows).cumsum()).round(4),
            }
        )
        for k in range(series)
    ]
    pd.concat(parts).to_csv(path, index=False)
    return path.name


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    return (
        table(tmp_path / "a.csv", 9, 60, 0),
        table(tmp_path / "b.csv", 4, 40, 1),
        table(tmp_path / "one.csv", 1, 50, 2),
    )


def test_forecast_uses_the_pretrained_networks(
    call: Run, tmp_path: Path, files: tuple[str, str, str]
) -> None:
    first, second, one = files
    done = call("pretrain", first, second, "--horizon", "6", "--steps", "20", "--half")
    assert "a.csv: 9 series, 540 values" in done.stdout
    assert "b.csv: 4 series, 160 values" in done.stdout
    assert done.stdout.endswith("wrote prior.safetensors\n")
    done = call("forecast", one, "--horizon", "4", "--prior", "prior.safetensors")
    assert "forecast by pretrained networks" in done.stdout
    found = pd.read_csv(tmp_path / "forecast.csv")
    expected = Forecaster(4, prior=str(tmp_path / "prior.safetensors"))
    expected.fit(str(tmp_path / one))
    np.testing.assert_allclose(found["memattn"], expected.predict()["memattn"], rtol=1e-12)
    call("forecast", one, "--horizon", "4", "--prior", "none", "-o", "none.csv")
    plain = pd.read_csv(tmp_path / "none.csv")
    assert (plain["memattn"] != found["memattn"]).all()


def test_json_has_inputs_settings_and_files(call: Run, files: tuple[str, str, str]) -> None:
    first, second, _ = files
    done = call("pretrain", first, second, "--horizon", "6", "--steps", "2", "--json", "-o", "p")
    document = json.loads(done.stdout)
    assert document["input"] == {"files": [first, second], "series": 13}
    assert document["settings"]["steps"] == {"value": 2, "reason": "as given"}
    assert document["files"] == {"prior": "p"}


def test_bad_priors_and_missing_data_are_errors(call: Run, files: tuple[str, str, str]) -> None:
    first, _, one = files
    done = call("forecast", one, "--horizon", "4", "--prior", "nowhere")
    expected = 'memattn: --prior: no such file: "nowhere"; memattn pretrain writes such files\n'
    assert (done.returncode, done.stderr) == (2, expected)
    done = call("forecast", one, "--horizon", "4", "--prior", first)
    assert done.returncode == 2
    assert "a.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert "issing argument" in call("pretrain", "--horizon", "4").stderr
