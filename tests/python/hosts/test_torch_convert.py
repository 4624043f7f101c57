"""PyTorch reads the files that memattn.convert writes, and memattn.convert reads PyTorch's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import memattn.torch
from memattn import FormatError, MemoryAugmentedAttention, convert


@pytest.fixture(params=["float32", "float64"])
def layer(request: pytest.FixtureRequest) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, key_dim=3, value_dim=4, dtype=request.param, seed=1)


def assert_same_weights(read: MemoryAugmentedAttention, layer: MemoryAugmentedAttention) -> None:
    assert read.dtype == layer.dtype
    for name, weight in layer.weights.items():
        np.testing.assert_array_equal(read.weights[name], weight)


@pytest.mark.parametrize("options", [{}, {"mmap": True}])
def test_torch_loads_a_written_file(
    tmp_path: Path, layer: MemoryAugmentedAttention, options: dict[str, Any]
) -> None:
    convert.write(layer, tmp_path / "layer.pt")
    state = torch.load(tmp_path / "layer.pt", weights_only=True, **options)
    assert list(state) == list(layer.weights)
    for name, weight in layer.weights.items():
        assert state[name].numpy().dtype == weight.dtype
        np.testing.assert_array_equal(state[name].numpy(), weight)
    module = memattn.torch.MemoryAugmentedAttention(
        6, 5, 2, key_dim=3, value_dim=4, dtype=getattr(torch, layer.dtype)
    )
    module.load_state_dict(state)
    assert_same_weights(module.to_numpy(), layer)
    # A file that torch saves from this state still has the config in its metadata.
    torch.save(state, tmp_path / "again.pt")
    assert convert.read(tmp_path / "again.pt").get_config() == layer.get_config()


def test_modules_are_written_and_their_files_read(
    tmp_path: Path, layer: MemoryAugmentedAttention
) -> None:
    module = memattn.torch.MemoryAugmentedAttention.from_numpy(layer)
    torch.save(module.state_dict(), tmp_path / "module.pth")
    assert_same_weights(convert.read(tmp_path / "module.pth"), layer)
    convert.write(module, tmp_path / "layer.safetensors")
    assert_same_weights(convert.read(tmp_path / "layer.safetensors"), layer)


def test_layers_in_a_checkpoint_are_found(tmp_path: Path, layer: MemoryAugmentedAttention) -> None:
    def module() -> memattn.torch.MemoryAugmentedAttention:
        return memattn.torch.MemoryAugmentedAttention.from_numpy(layer)

    model = torch.nn.ModuleDict({"encoder": module(), "head": torch.nn.Linear(6, 2)})
    model["decoder"] = module()
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    state = model.state_dict()
    saved = {name: tensor.clone() for name, tensor in state.items()}
    optimizer.step()
    checkpoint = {"model": saved, "optimizer": optimizer.state_dict(), "epoch": 3, "loss": 0.5}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    found = convert.find(tmp_path / "checkpoint.pt")
    assert [entry.name for entry in found] == ["model.encoder", "model.decoder"]
    assert_same_weights(convert.read(tmp_path / "checkpoint.pt", "decoder"), layer)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_read_exactly(
    tmp_path: Path, layer: MemoryAugmentedAttention, dtype: torch.dtype
) -> None:
    state = memattn.torch.MemoryAugmentedAttention.from_numpy(layer).to(dtype).state_dict()
    torch.save(state, tmp_path / "half.pt")
    assert convert.find(tmp_path / "half.pt")[0].dtype == str(dtype).removeprefix("torch.")
    for name, weight in convert.read(tmp_path / "half.pt").weights.items():
        np.testing.assert_array_equal(weight, state[name].float().numpy())


def test_views_of_a_shared_storage_are_read(
    tmp_path: Path, layer: MemoryAugmentedAttention
) -> None:
    # The parameters are views of one flat buffer, and one of them is transposed.
    weights = layer.weights
    flat = torch.tensor(np.concatenate([weight.ravel() for weight in weights.values()]))
    state, at = {}, 0
    for name, weight in weights.items():
        state[name] = flat[at : at + weight.size].view(weight.shape)
        at += weight.size
    state["memory"] = torch.tensor(weights["memory"].T.copy()).t()
    assert not state["memory"].is_contiguous()
    torch.save(state, tmp_path / "views.pt")
    assert_same_weights(convert.read(tmp_path / "views.pt"), layer)


def test_a_dict_of_parameters_is_read(tmp_path: Path, layer: MemoryAugmentedAttention) -> None:
    module = memattn.torch.MemoryAugmentedAttention.from_numpy(layer)
    torch.save(dict(module.named_parameters()), tmp_path / "parameters.pt")
    assert_same_weights(convert.read(tmp_path / "parameters.pt"), layer)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")  # deprecated, but still in use
def test_modules_old_files_and_quantised_tensors_are_refused(
    tmp_path: Path, layer: MemoryAugmentedAttention
) -> None:
    module = memattn.torch.MemoryAugmentedAttention.from_numpy(layer)
    path = tmp_path / "file.pt"
    torch.save(module, path)
    with pytest.raises(FormatError, match=r"which is never run, expected tensors and plain"):
        convert.read(path)
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(FormatError, match=r"found a pickle, which is never run, expected a file"):
        convert.read(path)
    torch.save({"weight": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}, path)
    with pytest.raises(FormatError, match="save the layer before it is quantised"):
        convert.read(path)
