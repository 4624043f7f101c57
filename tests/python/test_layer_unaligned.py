"""Arrays that are not aligned to the size of their items never reach the kernels."""

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention, _memattn
from memattn.arrays import as_numbers


def small(**options: object) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def tokens(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


X = tokens(2, 3, 6)
HOSTED = {"float32": _memattn.HostedFloat32, "float64": _memattn.HostedFloat64}


def unaligned(array: np.ndarray) -> np.ndarray:
    moved = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def test_unaligned_arrays_are_copied() -> None:
    layer = small(dropout=0.5)
    weights = {name: unaligned(weight) for name, weight in layer.weights.items()}
    x = unaligned(X)
    assert as_numbers("x", x, np.dtype("float32")).flags.aligned
    assert as_numbers("x", X, np.dtype("float32")) is X
    expected, gradients = layer(X), layer.backward(X, X)
    layer.set_weights(weights)
    np.testing.assert_array_equal(layer(x), expected)
    for name, gradient in layer.backward(x, x).items():
        np.testing.assert_array_equal(gradient, gradients[name])
    out = unaligned(np.zeros_like(X))
    assert layer(X, out=out) is out
    np.testing.assert_array_equal(out, expected)
    state = layer.__getstate__()
    twin = small()
    twin.__setstate__({**state, "parameters": unaligned(state["parameters"])})
    np.testing.assert_array_equal(twin(X), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_compiled_part_refuses_unaligned_arrays(dtype: str) -> None:
    x, count = tokens(2, 3, 6, dtype=dtype), small().count_params()
    core = small(dtype=dtype)._core
    flat = np.zeros(count, dtype)
    message = f"found an array at an address that is no multiple of {x.itemsize}, expected"

    def forward(**arrays: np.ndarray) -> None:
        given = {"x": x, "y": np.empty_like(x), "scores": None, **arrays}
        core.forward(*given.values(), False, None, None, None, False, False, 0, 0, 0)

    def backward(**arrays: np.ndarray) -> None:
        given = {"x": x, "grad_y": x, "grad_x": x.copy(), "grad_parameters": flat, **arrays}
        core.backward(*given.values(), None, None, None, False, False, 0, 0, 0)

    def hosted(**addresses: int) -> None:
        layer = HOSTED[dtype](core.config_json())
        weights = [np.zeros(size, dtype) for *_, size in core.weight_infos()]
        places = [weight.ctypes.data for weight in weights]
        places[0] += addresses.pop("weights", 0)
        folded = layer.fold(places, 1)
        options = _memattn.hosted_options(0, 0, 0, 0, 0, 0, 0, 0, False, False, 0, 0, 0, 1)
        given = {"x": x.ctypes.data, "y": np.empty_like(x).ctypes.data, "scores": 0}
        layer.forward(folded, options, 2, 3, *{**given, **addresses}.values(), False, False)

    for function, names in (
        (forward, {"x": x, "y": x, "scores": np.zeros((2, 2, 3, 5), dtype)}),
        (backward, {"x": x, "grad_y": x, "grad_x": x, "grad_parameters": flat}),
    ):
        for name, given in names.items():
            with pytest.raises(ValueError, match=f"^{name}: {message}"):
                function(**{name: unaligned(given)})
    for name in ("x", "y", "scores"):
        with pytest.raises(ValueError, match=f"^{name}: {message}"):
            hosted(**{name: x.ctypes.data + 1})
    with pytest.raises(ValueError, match=f"^weights: {message}"):
        hosted(weights=1)
    with pytest.raises(ValueError, match=message):
        core.set_parameters(unaligned(flat))
    with pytest.raises(ValueError, match=message):
        core.read_parameters(unaligned(flat))
