"""Forecasters in copies, pickles and other processes."""

import copy
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from memattn import FormatError
from memattn.forecast import Forecaster

from .data.test_frames import same_frame
from .forecaster_files import small
from .panels import random_table


@pytest.fixture(scope="module", params=[{"members": 2}, {"loss": "quantile", "intervals": False}])
def fitted(request: pytest.FixtureRequest) -> Forecaster:
    return small(**request.param).fit(random_table(3))


def joblib_copy(forecaster: Forecaster, path: Path) -> Any:
    joblib.dump(forecaster, path)
    return joblib.load(path)


COPIES = {
    "pickle": lambda one, path: pickle.loads(pickle.dumps(one)),
    "oldest pickle": lambda one, path: pickle.loads(pickle.dumps(one, 2)),
    "deepcopy": lambda one, path: copy.deepcopy(one),
    "copy": lambda one, path: copy.copy(one),
    "joblib": joblib_copy,
    "inside": lambda one, path: pickle.loads(pickle.dumps({"models": [one]}))["models"][0],
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_a_fitted_forecaster_are_complete(
    name: str, fitted: Forecaster, tmp_path: Path
) -> None:
    found = COPIES[name](fitted, tmp_path / "joblib")
    assert type(found) is Forecaster
    assert found is not fitted
    assert found.get_params() == fitted.get_params()
    assert (found.settings, found.notes) == (fitted.settings, fitted.notes)
    same_frame(found.predict(level=80), fitted.predict(level=80))
    fitted.save(tmp_path / "a")
    found.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert found.set_params(horizon=2).horizon == 2
    assert fitted.horizon == 3


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_an_unfitted_forecaster_keep_its_options(name: str, tmp_path: Path) -> None:
    one = Forecaster(3, "MS", target_col=["a", "b"])
    found = COPIES[name](one, tmp_path / "joblib")
    assert found.get_params() == one.get_params()
    with pytest.raises(RuntimeError, match="not fitted"):
        found.predict()


def predict(forecaster: Forecaster) -> pd.DataFrame:
    """Forecasts in a spawned process."""
    return forecaster.predict(level=80)


def test_a_spawned_process_predicts(fitted: Forecaster) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (found,) = pool.map(predict, [fitted])
    same_frame(found, fitted.predict(level=80))


def test_a_damaged_pickle_is_refused(fitted: Forecaster) -> None:
    state = fitted.__getstate__()
    damaged = bytearray(state["fitted"])
    damaged[-1] ^= 1
    found = Forecaster.__new__(Forecaster)
    with pytest.raises(FormatError, match="Forecaster: found content with the checksum"):
        found.__setstate__({**state, "fitted": bytes(damaged)})


def test_a_deepcopy_has_its_own_weights(fitted: Forecaster) -> None:
    found = copy.deepcopy(fitted)
    engine, other = found._state("test").model.engine, fitted._state("test").model.engine
    before = other.parameters(0)
    engine.set_parameters(0, np.zeros_like(before))
    np.testing.assert_array_equal(other.parameters(0), before)


@pytest.mark.parametrize("kind", ["int16", "float32", "float64"])
def test_a_copy_keeps_the_type_of_values(kind: str) -> None:
    fitted = small().fit(random_table(3).round({"y": 0}).astype({"y": kind}))
    same_frame(copy.deepcopy(fitted).fitted(), fitted.fitted())
    assert fitted.fitted().y.dtype == kind
