"""A saved forecaster predicts the same bits, and damaged or invalid files are refused."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from memattn import FormatError, __version__
from memattn._memattn import PanelForecaster
from memattn.errors import DataError
from memattn.forecast import Forecaster
from memattn.forecast.data.times import Style
from memattn.forecast.forecaster_settings import Setting, engine_options

from ..full_disk import full_disk
from .data.test_frames import same_frame
from .forecaster_files import comes_back, joined, parts, signed, small
from .panels import LIBRARIES, as_library, random_table

OPTIONS_OF_0_1 = (
    *("horizon", "season", "lookback", "members", "loss", "seed", "steps", "freq", "intervals"),
    *("level", "id_col", "time_col", "target_col"),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "forecaster.safetensors"
    small().fit(random_table(3)).save(path)
    return path


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
@pytest.mark.parametrize("freq", ["h", "D", "B", "ME"])
def test_forecasters_of_frames_survive_a_file(
    library: str, zone: str | None, freq: str, tmp_path: Path
) -> None:
    data = as_library(library, random_table(3, freq, zone))
    comes_back(small().fit(data), tmp_path / "f.safetensors", [80, 95])


@pytest.mark.parametrize(
    "options",
    [
        {"members": 3, "seed": 2**64 - 1, "loss": "huber"},
        {"lookback": 5, "season": 4},
        {"intervals": False},
        {"loss": "quantile"},
        {"loss": "quantile", "intervals": False, "members": 2, "level": [50, 80]},
        {"freq": "D", "id_col": "unique_id"},
    ],
)
def test_options_survive_a_file(options: dict[str, Any], tmp_path: Path) -> None:
    without = "loss" not in options and not options.get("intervals", True)
    level = None if without else options.get("level", [80, 95])
    table = random_table(3)
    found = comes_back(small(**options).fit(table), tmp_path / "f.safetensors", level)
    again = small(**options).fit(table)
    same_frame(found.fit(table).predict(), again.predict())
    assert found.settings == again.settings


@pytest.mark.parametrize("members", [1, 2])
def test_networks_of_past_seasons_survive_a_file(members: int, tmp_path: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=305 * 24, freq="h")
    y = np.random.default_rng(0).gamma(2.0, size=len(hours))
    table = pd.DataFrame({"unique_id": "s", "ds": hours, "y": y})
    forecaster = Forecaster(96, steps=2, members=members).fit(table)
    assert forecaster.settings["windows"].value == "past_seasons"
    for layers in (0, 2):
        settings = {**forecaster.settings, "layers": Setting(layers, "")}
        engine = PanelForecaster(**engine_options(settings))
        sizes = [len(engine.parameters(member)) for member in range(members)]
        assert PanelForecaster.count_weights(**engine_options(settings)) == sizes
    comes_back(forecaster, tmp_path / "f.safetensors", [80, 95])


def test_types_of_pandas_survive_a_file(tmp_path: Path) -> None:
    table = random_table(3)
    kinds = [
        table.assign(unique_id=table["unique_id"].str[1:].astype(int)),
        table.assign(unique_id=table["unique_id"].astype("category")),
        table.assign(ds=table["ds"].dt.strftime("%Y/%m/%d")),
        table.assign(ds=table["ds"].dt.date),
        table.assign(ds=table["ds"].dt.tz_localize("+05:30")),
        table.assign(ds=table.groupby("unique_id").cumcount().astype("Int64")),
        table.assign(unique_id="größe \U0001f600\n" + table["unique_id"]),
    ]
    for kind in kinds:
        comes_back(small().fit(kind), tmp_path / "f.safetensors", [80])


def test_types_of_polars_survive_a_file(tmp_path: Path) -> None:
    table = pl.from_pandas(random_table(3))
    kinds = [
        table.with_columns(pl.col("ds").cast(pl.Date)),
        table.with_columns(pl.col("ds").cast(pl.Datetime("ms"))),
        table.with_columns(pl.col("unique_id").str.slice(1).cast(pl.UInt16)),
    ]
    for kind in kinds:
        comes_back(small().fit(kind), tmp_path / "f.safetensors", [80])


def test_a_forecaster_of_a_csv_file_survives_a_file(tmp_path: Path) -> None:
    random_table(3).to_csv(tmp_path / "series.csv", index=False)
    found = comes_back(small().fit(tmp_path / "series.csv"), tmp_path / "f.safetensors", [80])
    assert list(found.predict().columns) == ["unique_id", "ds", "memattn"]


def test_files_of_version_0_1_are_read(saved: Path, tmp_path: Path) -> None:
    header, body = parts(saved)
    config = json.loads(header["__metadata__"]["config"])
    assert set(config["arguments"]) > set(OPTIONS_OF_0_1)
    assert header["__metadata__"].pop("memattn") == __version__
    config["arguments"] = {name: config["arguments"][name] for name in OPTIONS_OF_0_1}
    header["__metadata__"]["config"] = json.dumps(config)
    path = tmp_path / "old"
    path.write_bytes(joined(header, body))
    found, expected = Forecaster.load(path), Forecaster.load(saved)
    assert found.get_params() == expected.get_params()
    same_frame(found.predict(), expected.predict())


def test_a_failed_write_keeps_the_file(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    path.write_bytes(saved.read_bytes())
    with full_disk(4096), pytest.raises(DataError, match="File too large"):
        Forecaster.load(saved).save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


Change = Callable[[dict[str, Any], dict[str, Any]], object]  # takes the header and the config
CHANGES: dict[str, Change] = {
    '__metadata__: format: found "other"': lambda h, c: h["__metadata__"].update(format="other"),
    'format_version: found "2", expected "1", the version of a file with series': (
        lambda h, c: h["__metadata__"].update(format_version="2")
    ),
    f'format_version: found "3" in a file of memattn "{__version__}", expected "1"': (
        lambda h, c: h["__metadata__"].update(format_version="3")
    ),
    "config: found no text": lambda h, c: h["__metadata__"].update(config=3),
    "config: arguments: found other keys": lambda h, c: c["arguments"].pop("horizon"),
    "config: arguments: found other keys, expected the keys horizon, freq": lambda h, c: c[
        "arguments"
    ].update(more=1),
    "arguments: found invalid arguments": lambda h, c: c["arguments"].update(horizon=-1),
    "arguments: .*Forecaster: freq: found": lambda h, c: c["arguments"].update(freq=[1]),
    "settings: horizon": lambda h, c: c["settings"].update(horizon=[True, ""]),
    "settings: loss": lambda h, c: c["settings"].update(loss=[["smape"], ""]),
    "settings: found other keys, expected .*, levels": lambda h, c: c["settings"].update(
        loss=["quantile", ""]
    ),
    "settings: levels": lambda h, c: c["settings"].update(
        loss=["quantile", ""], levels=[[95, 80], ""]
    ),
    "settings: lookbacks": lambda h, c: c["settings"].update(lookbacks=[[0], ""]),
    "lookbacks: found another number": lambda h, c: c["settings"].update(members=[2, ""]),
    "settings: logs": lambda h, c: c["settings"].update(logs=[1, ""]),
    "settings: windows": lambda h, c: c["settings"].update(windows=["all", ""]),
    "settings: long_season: found": lambda h, c: c["settings"].update(long_season=[1, ""]),
    "settings: found invalid settings .*long_season: found 9": lambda h, c: c["settings"].update(
        long_season=[9, ""]
    ),
    "settings: layers": lambda h, c: c["settings"].update(layers=[None, ""]),
    "settings: found other keys": lambda h, c: c["settings"].update(more=[1, ""]),
    "lookbacks: found parts of seasons": lambda h, c: c["settings"].update(
        windows=["past_seasons", ""], season=[5, ""]
    ),
    "lookbacks: found parts of seasons, expected whole": lambda h, c: c["settings"].update(
        windows=["past_seasons", ""], season=[1, ""]
    ),
    r"weights: found shape \(\d+,\), expected \(\d+,\)": lambda h, c: c["settings"].update(
        windows=["past_seasons", ""], season=[2, ""], lookbacks=[[4], ""]
    ),
    "settings: steps: found another form": lambda h, c: c["settings"].update(steps=3),
    r"settings: found invalid settings .*weights in a member": lambda h, c: c["settings"].update(
        horizon=[2**31 - 1, ""], lookbacks=[[2**31 - 1], ""]
    ),
    r"settings: found invalid settings .*batch_size \* \(": lambda h, c: c["settings"].update(
        season=[2**21, ""]
    ),
    "calibration.errors: found shape": lambda h, c: h["calibration.errors"].update(
        shape=[h["calibration.errors"]["shape"][0] * 3, 1, 1]
    ),
    "notes": lambda h, c: c.update(notes=[["a", 2, 3]]),
    "config: frequency": lambda h, c: c.update(frequency=["day", 0]),
    "config: season": lambda h, c: c.update(season=0),
    "config: zone": lambda h, c: c.update(zone="../../etc/passwd"),
    "config: form: library": lambda h, c: c["form"].update(library="os"),
    "config: form: columns": lambda h, c: c["form"].update(columns=["a", "b"]),
    'the type "os.system"': lambda h, c: c["form"].update(time_dtype="os.system"),
    "config: form: style: found .* how dates": lambda h, c: c["form"].update(
        style={"kind": "moment"}
    ),
    'no tensor "values"': lambda h, c: h.update(more=h.pop("values")),
    'a tensor "more"': lambda h, c: h.update(
        more={"dtype": "U8", "shape": [0], "data_offsets": [h["ids"]["data_offsets"][1]] * 2}
    ),
    "last: found float64": lambda h, c: h["last"].update(dtype="F64"),
    r'"values": found \d+ bytes, expected \d{20}': lambda h, c: h["values"].update(shape=[2**62]),
    r"ids: found \d+ bytes, expected \d{19}": lambda h, c: h["ids"].update(shape=[2**62]),
    "types that ids or times cannot have": lambda h, c: c["form"].update(id_dtype="int64"),
    "form: time_dtype: found the type": lambda h, c: c["form"].update(time_dtype="float64"),
    "form: id_dtype: found the type": lambda h, c: c["form"].update(id_dtype=3),
    "config: found no object": lambda h, c: h["__metadata__"].update(config="[]"),
    "arguments: found invalid arguments .*id_col: found 3": lambda h, c: c["arguments"].update(
        id_col=3
    ),
    "settings: levels: found": lambda h, c: c["settings"].update(
        loss=["quantile", ""], levels=[["a"], ""]
    ),
    'config: zone: found "x': lambda h, c: c.update(zone="x" * 1000),
    "config: form: number_type": lambda h, c: c["form"].update(number_type="object"),
    "config: form: found other keys": lambda h, c: c["form"].pop("style"),
    "config: frequency: found": lambda h, c: c.update(frequency="day"),
    "config: zone: found int": lambda h, c: c.update(zone=3),
    "config: found half of a surrogate pair": lambda h, c: c["form"].update(
        columns=["\ud800", "ds", "y"]
    ),
    "config: form: style: found .* a style in which": lambda h, c: c["form"].update(
        style={**vars(Style()), "date_mark": "-" * 1000}
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_invalid_headers_are_refused(message: str, saved: Path, tmp_path: Path) -> None:
    header, body = parts(saved)
    config = json.loads(header["__metadata__"]["config"])
    before = header["__metadata__"]["config"]
    CHANGES[message](header, config)
    if header["__metadata__"]["config"] == before:
        header["__metadata__"]["config"] = json.dumps(config)
    path = tmp_path / "f.safetensors"
    path.write_bytes(joined(header, body))
    with pytest.raises(FormatError, match=message):
        Forecaster.load(path)


VALUES: list[tuple[str, str, Any, str]] = [
    ("weights", "<f4", np.nan, "weights: found a value that is not finite"),
    ("values", "<f8", np.inf, "values: found a value that is too large"),
    ("values", "<f8", 1e101, "values: found a value that is too large"),
    ("offsets", "<i8", 2**62, "offsets: found numbers out of order"),
    ("offsets", "<i8", -1, "offsets: found numbers out of order"),
    ("last", "<i8", 2**62, "last: found a time out of bounds"),
    ("day", "<i8", 32, "day: found a day out of bounds"),
    ("ids", "u1", 255, "ids: found no JSON"),
    ("calibration.errors", "<f8", -1, "calibration: found an error below 0"),
    ("calibration.roughness", "<f8", np.nan, "calibration: found an error below 0"),
    ("calibration.logs", "u1", 2, "calibration.logs: found another number"),
    ("calibration.age", "<i8", 0, "calibration.age: found a number below 1"),
    ("calibration.change", "<f8", 0.0, "calibration.change: found a number not above 0"),
    ("calibration.change", "<f8", np.nan, "calibration.change: found a number not above 0"),
]


@pytest.mark.parametrize(("name", "dtype", "value", "message"), VALUES)
def test_invalid_values_are_refused(
    name: str, dtype: str, value: Any, message: str, saved: Path, tmp_path: Path
) -> None:
    header, body = parts(saved)
    begin, end = header[name]["data_offsets"]
    array = np.frombuffer(body[begin:end], dtype).copy()
    array[0] = value
    path = tmp_path / "f.safetensors"
    path.write_bytes(joined(header, body[:begin] + array.tobytes() + body[end:]))
    with pytest.raises(FormatError, match=message):
        Forecaster.load(path)


def test_calibration_windows_of_older_files_have_equal_weight(saved: Path, tmp_path: Path) -> None:
    header, body = parts(saved)
    for name in ("calibration.age", "calibration.change"):
        begin, end = header.pop(name)["data_offsets"]
        for key, entry in header.items():
            if key != "__metadata__" and entry["data_offsets"][0] >= end:
                entry["data_offsets"] = [at - (end - begin) for at in entry["data_offsets"]]
        body = body[:begin] + body[end:]
    path = tmp_path / "f.safetensors"
    path.write_bytes(joined(header, body))
    calibration = Forecaster.load(path)._state("test").calibration
    new = Forecaster.load(saved)._state("test").calibration
    assert calibration is not None
    assert new is not None
    np.testing.assert_array_equal(calibration.errors, new.errors)
    assert (calibration.age == 1).all()
    assert (calibration.domain.change == 1).all()
    assert Forecaster.load(path).predict(level=[80]) is not None


@pytest.mark.parametrize(
    "ids",
    [
        ["\ud800", "b", "c"],
        ["a"],
        "text",
        {"a": 1},
        [["a"]],
        None,
        "deep",
        ["a"] * 9,
        ["a", 1, *"bcdefgh"],
    ],
)
def test_invalid_ids_are_refused(ids: Any, saved: Path, tmp_path: Path) -> None:
    header, body = parts(saved)
    begin, end = header["ids"]["data_offsets"]
    text = b"[" * 100_000 if ids == "deep" else json.dumps(ids).encode()
    grown = len(text) - (end - begin)
    for name, entry in header.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [at + grown for at in entry["data_offsets"]]
    header["ids"].update(shape=[len(text)], data_offsets=[begin, end + grown])
    path = tmp_path / "f.safetensors"
    path.write_bytes(joined(header, body[:begin] + text + body[end:]))
    with pytest.raises(FormatError, match=r"ids: found (no JSON|another list|half of|1 ids)"):
        Forecaster.load(path)


def test_cut_and_random_files_never_crash(saved: Path, tmp_path: Path) -> None:
    """Each file either loads and forecasts, or raises FormatError."""
    rng = np.random.default_rng(0)
    data = saved.read_bytes()
    path = tmp_path / "f.safetensors"
    (length,) = struct.unpack("<Q", data[:8])
    refused = 0
    for turn in range(300):
        changed = bytearray(data)
        if turn % 3 == 0:
            changed = changed[: rng.integers(len(data))]
        else:
            top = length + 8 if turn % 3 == 1 else len(data)
            for _ in range(rng.integers(1, 4)):
                changed[rng.integers(top)] = rng.integers(256)
        path.write_bytes(signed(bytes(changed)))
        try:
            Forecaster.load(path).predict()
        except (FormatError, DataError):
            refused += 1
    assert refused > 150


def test_a_changed_byte_is_detected(saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    path = tmp_path / "f.safetensors"
    rng = np.random.default_rng(1)
    for place in rng.integers(len(data), size=200):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        with pytest.raises(FormatError):
            Forecaster.load(path)
    changed = bytearray(data)
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(FormatError, match="is damaged or has been edited"):
        Forecaster.load(path)


@pytest.mark.parametrize("checksum", [None, 3, "", "0" * 64, "g" * 64])
def test_wrong_checksums_are_refused(checksum: object, saved: Path, tmp_path: Path) -> None:
    header, body = parts(saved)
    header["__metadata__"]["checksum"] = checksum
    text = json.dumps(header).encode()
    path = tmp_path / "f.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    with pytest.raises(FormatError, match="checksum"):
        Forecaster.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Forecaster.load(tmp_path / "none")
    with pytest.raises(FormatError, match="found a folder"):
        Forecaster.load(tmp_path)
    pd.to_pickle({"a": 1}, tmp_path / "p")
    with pytest.raises(FormatError):
        Forecaster.load(tmp_path / "p")
