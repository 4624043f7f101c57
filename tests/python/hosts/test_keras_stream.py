"""Calls in Keras 2 and 3, on TensorFlow, that process a sequence in parts, with `first_step`."""

from typing import Any

import numpy as np
import pytest

from memattn.keras import MemoryAugmentedAttention

from .keras_support import WARNINGS_OF_KERAS, agree, numpy_layer, run, tensor, tokens, twin

pytestmark = WARNINGS_OF_KERAS
PARTS = (slice(0, 1), slice(1, 6), slice(6, 13))
X = tokens(2, 13, 6, dtype="float64")
G = tokens(2, 13, 6, dtype="float64", seed=1)


def layer_of(route: str = "folded") -> MemoryAugmentedAttention:
    layer = twin(numpy_layer(memory_size=9))
    layer.route = route
    return layer


def run_part(layer: Any, steps: slice, **call: Any) -> tuple[Any, Any, dict[str, Any]]:
    x, g = X[:, steps].astype(layer.dtype), G[:, steps].astype(layer.dtype)
    return run(layer, x, g, use_causal_mask=True, **call)


@pytest.mark.parametrize("route", ["folded", "projected"])
def test_calls_on_parts_give_the_results_of_one_call(route: str) -> None:
    layer = layer_of(route)
    y, scores, gradients = run_part(layer, slice(0, 13))
    parts = [run_part(layer, steps, first_step=steps.start) for steps in PARTS]
    assert agree(np.concatenate([part[0] for part in parts], 1), y, 1e-5)
    assert agree(np.concatenate([part[1] for part in parts], 2), scores, 1e-5)
    for name, expected in gradients.items():
        of_parts = [part[2][name] for part in parts]
        found = np.concatenate(of_parts, 1) if name == "x" else sum(of_parts)
        assert agree(found, expected, 1e-5), name
    # Without first_step, the result of a part differs.
    assert not agree(run_part(layer, PARTS[2])[0], y[:, 6:], 1e-2)


def test_first_step_may_be_a_tensor() -> None:
    layer = layer_of()
    expected = run_part(layer, PARTS[1], first_step=1)[0]
    for place in (np.int64(1), np.array(1), tensor(np.int32(1)), tensor(np.int64(1))):
        assert agree(run_part(layer, PARTS[1], first_step=place)[0], expected, 1e-6)


def test_a_step_beyond_the_last_slot_reads_all_slots() -> None:
    layer = layer_of()
    x = tensor(X.astype(layer.dtype))
    free = np.asarray(layer(x))
    for place in (8, 2**31, 2**62):
        found = np.asarray(layer(x, use_causal_mask=True, first_step=place))
        assert agree(found, free, 1e-6)


@pytest.mark.parametrize("use_causal_mask", [True, False])
@pytest.mark.parametrize(
    ("value", "error", "found"),
    [
        (-1, ValueError, "-1, expected at least 0 and below"),
        (np.int32(-1), ValueError, "-1, expected at least 0 and below"),
        (2**63, ValueError, "9223372036854775808, expected at least 0 and below"),
        (True, TypeError, "bool, expected an integer, at least 0"),
        (1.0, TypeError, "float, expected an integer, at least 0"),
        (np.array(1.0), TypeError, ".*, expected an integer, at least 0"),
        (tensor(1.0), TypeError, "dtype .*, expected an integer, at least 0"),
        (tensor(np.zeros(2, int)), TypeError, "dtype .*, expected an integer, at least 0"),
    ],
)
def test_an_invalid_first_step_is_refused(
    value: Any, error: type[Exception], found: str, use_causal_mask: bool
) -> None:
    layer = layer_of()
    with pytest.raises(error, match=f"first_step: found {found}"):
        layer(tensor(X.astype(layer.dtype)), use_causal_mask=use_causal_mask, first_step=value)
