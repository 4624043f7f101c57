"""The config in a Keras file gives names and options; no object is ever built from it."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from memattn import FormatError, MemoryAugmentedAttention, convert
from memattn.errors import DataError

from .support import GOLDEN, zip_bytes

Write = Callable[[str, bytes], Path]


def members_of(name: str) -> dict[str, bytes]:
    with zipfile.ZipFile(GOLDEN / name) as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def with_layer_config(change: dict[str, Any], class_name: str | None = None) -> bytes:
    """Returns keras2.keras with changes in the config of its memory layer."""
    members = members_of("keras2.keras")
    config = json.loads(members["config.json"])
    layer = config["config"]["layers"][2]
    layer["config"] |= change
    layer["class_name"] = class_name or layer["class_name"]
    return zip_bytes(members | {"config.json": json.dumps(config).encode()})


def test_options_come_from_the_config(write: Write) -> None:
    options = {"residual": False, "dropout": 0.5, "fully_masked": "zero"}
    config = convert.read(write("a.keras", with_layer_config(options))).get_config()
    assert {name: config[name] for name in options} == options


def test_the_name_comes_from_the_config(write: Write) -> None:
    path = write("a.keras", with_layer_config({"name": "my memory"}))
    assert convert.find(path)[0].name == "my memory"
    assert convert.read(path, "my memory").count_params() > 0


def test_options_of_another_class_are_ignored(write: Write) -> None:
    data = with_layer_config({"dropout": "much", "units": 3}, class_name="Mine>AnotherAttention")
    path = write("a.keras", data)
    assert convert.find(path)[0].class_name == "AnotherAttention"
    assert convert.read(path).get_config()["dropout"] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"units": 13}, 'units "13", expected 12 as in the weights'),
        ({"num_heads": "3"}, "num_heads"),
        ({"memory_size": [6]}, "memory_size"),
        ({"dropout": True}, "dropout"),
        ({"dropout": 1.5}, "dropout"),
        ({"residual": 1}, "residual"),
        ({"fully_masked": "never"}, "fully_masked"),
        ({"fully_masked": {"class_name": "Evil"}}, "fully_masked"),
    ],
)
def test_a_config_that_contradicts_the_weights_is_refused(
    write: Write, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(FormatError, match=said):
        convert.read(write("a.keras", with_layer_config(change)))


def test_nothing_is_built_from_a_config(write: Write) -> None:
    evil = {"class_name": "Lambda", "config": {"function": ["4wAAAA==", None, None]}}
    members = members_of("keras2.keras")
    config = json.loads(members["config.json"])
    config["config"]["layers"].append({**evil, "module": "os", "registered_name": "system"})
    path = write("a.keras", zip_bytes(members | {"config.json": json.dumps(config).encode()}))
    assert convert.read(path).count_params() > 0


@pytest.mark.parametrize("config", [b"[]", b"3", b'{"config": {"layers": 3}}', b'{"config": []}'])
def test_a_config_without_layers_is_ignored(write: Write, config: bytes) -> None:
    path = write("a.keras", zip_bytes(members_of("keras3.keras") | {"config.json": config}))
    # Keras 3 stores the names beside the weights too.
    assert [found.name for found in convert.find(path)] == ["first", "second"]


@pytest.mark.parametrize("config", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": 1, "a": 2}'])
def test_a_config_that_is_not_json_is_refused(write: Write, config: bytes) -> None:
    path = write("a.keras", zip_bytes(members_of("keras2.keras") | {"config.json": config}))
    with pytest.raises(FormatError, match=r"config\.json: found"):
        convert.find(path)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("model.weights.json", "found weights in shards, expected one piece"),
        ("model.weights.npz", "found weights as pickled arrays, expected model.weights.h5"),
    ],
)
def test_weights_in_shards_or_npz_are_refused(write: Write, member: str, said: str) -> None:
    path = write("a.keras", zip_bytes(members_of("keras2.keras") | {member: b""}))
    with pytest.raises(FormatError, match=said):
        convert.find(path)


def test_missing_or_damaged_weights_are_refused(write: Write) -> None:
    members = members_of("keras2.keras")
    bad = members | {"model.weights.h5": members["model.weights.h5"][:9000]}
    with pytest.raises(FormatError, match=r"a\.keras: model\.weights\.h5: found damaged HDF5"):
        convert.find(write("a.keras", zip_bytes(bad)))
    del members["model.weights.h5"]
    with pytest.raises(FormatError, match=r"found an archive without model\.weights\.h5"):
        convert.find(write("a.keras", zip_bytes(members)))


def test_a_legacy_config_that_is_not_text_is_refused(write: Write) -> None:
    path = write("a.h5", (GOLDEN / "keras2_legacy.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = [1, 2, 3]
    with pytest.raises(FormatError, match="an attribute that is not text"):
        convert.find(path)


def test_a_legacy_config_that_is_not_utf8_is_refused(write: Write) -> None:
    data = (GOLDEN / "keras2_legacy.h5").read_bytes()
    path = write("a.h5", data.replace(b'"Functional"', b'"\xff\xfenctional"'))
    with pytest.raises(FormatError, match="model_config: found invalid JSON"):
        convert.find(path)


def test_a_layer_name_that_is_not_utf8_is_found_and_escaped(write: Write) -> None:
    data = (GOLDEN / "keras3.weights.h5").read_bytes().replace(b"second", b"\xffecond")
    found = convert.find(write("a.h5", data))[1]
    assert found.name == "\udcffecond"
    with pytest.raises(DataError, match=r'one of "first" .*"\\xffecond"'):
        convert.read(write("a.h5", data))
    assert convert.read(write("a.h5", data), found.name).count_params() > 0


def test_optimizer_weights_are_not_layers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes((GOLDEN / "keras2_legacy.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file.copy(file["model_weights"], "optimizer_weights")
    assert len(convert.find(path)) == 1


def test_names_come_from_nested_models_too() -> None:
    from memattn.convert.keras_file import _names_in_config

    def layer(class_name: str, name: str, **more: object) -> dict[str, object]:
        return {"class_name": class_name, "config": {"name": name, **more}}

    inner = [layer("Dense", "d"), layer("MemoryAugmentedAttention", "inside")]
    model = layer(
        *("Functional", "outer"),
        layers=[
            layer("Dense", "a"),
            layer("Dense", "b"),
            layer("Functional", "middle", layers=inner),
            layer("pkg>MemoryAugmentedAttention", "outside"),
        ],
    )
    assert _names_in_config(model) == {
        ("layers", "dense"): "a",
        ("layers", "dense_1"): "b",
        ("layers", "functional"): "middle",
        ("layers", "functional", "layers", "dense"): "d",
        ("layers", "functional", "layers", "memory_augmented_attention"): "inside",
        ("layers", "memory_augmented_attention"): "outside",
    }


def test_a_written_file_has_the_groups_that_keras_loads(layer: MemoryAugmentedAttention) -> None:
    from memattn.convert.writing import _hdf5_bytes

    with h5py.File(io.BytesIO(_hdf5_bytes(layer.weights, {})), "r") as file:
        group = file["layers/memory_augmented_attention"]
        assert "vars" in file  # Keras 2.15 expects this group
        assert group["vars/0"].shape == (5, 6)
        for prefix in ("", "_"):
            assert group[f"attention/{prefix}output_dense/vars/1"].shape == (6,)
