"""The plain call, which skips the checks of the general call and must mean the same."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from memattn import MemoryAugmentedAttention

Build = Callable[[np.ndarray], object]

# Equal to the default but not the default itself: a call with these takes the general path.
GENERAL = {"use_causal_mask": 0}


def small(**options: object) -> MemoryAugmentedAttention:
    return MemoryAugmentedAttention(6, 5, 2, **{"seed": 1, **options})


def tokens(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def plain(layer: MemoryAugmentedAttention, x: object, out: object = None) -> object:
    return layer._core.forward_plain(x, out)


class Sub(np.ndarray):
    pass


class Exporter:  # like an array of PyTorch, JAX and others
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def with_gaps(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array: np.ndarray) -> np.ndarray:
    return array[::-1].copy()[::-1]


def byte_swapped(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder())


def unaligned(array: np.ndarray) -> np.ndarray:
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def other_type(array: np.ndarray) -> np.ndarray:
    return array.astype({"float32": "float64", "float64": "float32"}[array.dtype.name])


# Arrays of values that may be valid as x or as `out`, or not; none takes the plain path.
UNUSUAL: dict[str, Build] = {
    "subclass": lambda array: array.view(Sub),
    "masked": lambda array: np.ma.masked_array(array, mask=array > 0),
    "Fortran order": np.asfortranarray,
    "gaps": with_gaps,
    "negative stride": backwards,
    "other byte order": byte_swapped,
    "unaligned": unaligned,
    "other type": other_type,
    "integers": lambda array: array.astype("int32"),
    "complex": lambda array: array.astype("complex64"),
    "dates": lambda array: array.astype("int64").astype("datetime64[D]"),
    "objects": lambda array: array.astype(object),
    "fields": lambda array: np.zeros(array.shape, [("a", "f4")]),
    "two axes": lambda array: array[0],
    "four axes": lambda array: array[None],
    "no axis": lambda array: array[0, 0, 0],
    "other width": lambda array: np.ascontiguousarray(array[..., :5]),
    "exporter": Exporter,
    "memoryview": memoryview,
    "list": lambda array: array.tolist(),
    "string": lambda array: "array",
}
UNUSUAL_X = {**UNUSUAL, "None": lambda array: None}
UNUSUAL_OUT = {
    **UNUSUAL,
    "read-only": read_only,
    "other batch": lambda array: array[:1].copy(),
    "other steps": lambda array: array[:, :2].copy(),
}


def outcome(call: Callable[[], np.ndarray]) -> object:
    """Return the result of a call or its error, for comparison."""
    try:
        y = call()
    except Exception as error:
        return type(error), str(error)
    return type(y), y.dtype, y.shape, y.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_only_the_usual_call_takes_the_plain_path(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class GeneralError(Exception):
        pass

    def general(*arguments: object) -> None:
        raise GeneralError

    layer = small(dtype=dtype, dropout=0.5)
    x = tokens(2, 3, 6, dtype=dtype)
    out = np.empty_like(x)
    expected = layer(x, **GENERAL)
    monkeypatch.setattr(MemoryAugmentedAttention, "_tokens", general)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    y = layer(x)
    assert type(y) is np.ndarray
    assert y.flags.owndata
    assert y.flags.writeable
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(layer(read_only(x)), expected)
    np.testing.assert_array_equal(layer(x, attention_mask=None, training=False), expected)
    assert layer(x, out=x) is x
    np.testing.assert_array_equal(x, expected)

    for options in (
        GENERAL,
        {"attention_mask": np.ones((3, 5), bool)},
        {"query_mask": np.ones((2, 3), bool)},
        {"value_mask": np.ones((2, 5), bool)},
        {"use_causal_mask": True},
        {"return_attention_scores": True},
        {"return_attention_scores": "mean"},
        {"return_attention_scores": None},
        {"training": True},
    ):
        with pytest.raises(GeneralError):
            layer(x, out=out, **options)


# One token, a few tokens, partial tiles, enough tokens for threads, and none.
SHAPES = [(1, 1), (1, 2), (2, 3), (5, 11), (40, 100), (0, 3), (2, 0), (0, 0)]


@pytest.mark.parametrize("route", ["folded", "projected"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_paths_give_the_same_bits(shape: tuple[int, int], dtype: str, route: str) -> None:
    layer = MemoryAugmentedAttention(24, 20, 4, dtype=dtype, seed=1)
    layer.route = route
    x = tokens(*shape, 24, dtype=dtype)
    expected = layer(x, **GENERAL)
    assert expected.any() or expected.size == 0
    out = np.full_like(x, np.nan)
    assert plain(layer, x, out) is out
    made = plain(layer, x)
    in_place = x.copy()
    assert plain(layer, in_place, in_place) is in_place
    for y in (out, made, in_place):
        assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNUSUAL_X)
def test_an_unusual_x_takes_the_general_path(name: str, dtype: str) -> None:
    layer = small(dtype=dtype)
    x = UNUSUAL_X[name](tokens(2, 3, 6, dtype=dtype))
    out = np.full((2, 3, 6), 7, dtype)
    assert plain(layer, x) is None
    assert plain(layer, x, out) is None
    np.testing.assert_array_equal(out, 7)
    assert outcome(lambda: layer(x)) == outcome(lambda: layer(x, **GENERAL))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNUSUAL_OUT)
def test_an_unusual_out_takes_the_general_path(name: str, dtype: str) -> None:
    layer = small(dtype=dtype)
    x = tokens(2, 3, 6, dtype=dtype)

    def make() -> object:
        return UNUSUAL_OUT[name](np.full((2, 3, 6), 7, dtype))

    out = make()
    assert plain(layer, x, out) is None
    assert repr(out) == repr(make()) or isinstance(out, (memoryview, Exporter))
    found = outcome(lambda: layer(x, out=make()))
    assert found == outcome(lambda: layer(x, out=make(), **GENERAL))
    if name in ("subclass", "masked", "unaligned"):
        y = layer(x, out=out)
        assert y is out
        np.testing.assert_array_equal(np.asarray(y), layer(x))


def test_an_out_whose_write_warns_takes_the_general_path() -> None:
    def make() -> np.ndarray:
        out = np.broadcast_arrays(np.zeros((3, 6), np.float32), np.zeros((1, 1, 1)))[0]
        assert out.flags.c_contiguous
        assert out.shape == (1, 3, 6)
        return out

    layer = small()
    x = tokens(1, 3, 6)
    assert plain(layer, x, make()) is None
    found = outcome(lambda: layer(x, out=make()))
    assert found == outcome(lambda: layer(x, out=make(), **GENERAL))


def test_out_may_be_x_itself_but_not_overlap_it() -> None:
    layer = small()
    x = tokens(2, 3, 6)
    expected = layer(x)
    pool = np.zeros((3, 3, 6), np.float32)
    pool[:2] = x
    before = pool.copy()
    for options in ({}, GENERAL):
        with pytest.raises(ValueError, match="forward: y: found memory that it shares with x"):
            layer(pool[:2], out=pool[1:], **options)
        np.testing.assert_array_equal(pool, before)
    # Two views of the same memory count as one array.
    y = layer(pool[:2], out=pool[:2])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(pool[:2], expected)


def test_memory_mapped_arrays_are_accepted(tmp_path: Path) -> None:
    layer = small()
    x = tokens(2, 3, 6)
    x.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    np.testing.assert_array_equal(layer(mapped), layer(x))
    np.testing.assert_array_equal(layer(np.asarray(mapped)), layer(x))


def test_a_call_keeps_no_reference_to_its_arrays() -> None:
    layer = small()
    x, out, narrow = tokens(2, 3, 6), np.empty((2, 3, 6), np.float32), tokens(2, 3, 5)
    shifted = np.zeros((3, 3, 6), np.float32)
    first, second = shifted[:2], shifted[1:]
    held = (x, out, narrow, first, second)
    before = [sys.getrefcount(array) for array in held]
    for _ in range(10):
        layer(x)
        layer(x, out=out)
        layer(x, out=x)
        assert plain(layer, narrow, out) is None
        assert plain(layer, x, narrow) is None
        with pytest.raises(ValueError, match="shares with x"):
            plain(layer, first, second)
    assert [sys.getrefcount(array) for array in held] == before
    made = layer(x)
    made.resize((1, 3, 6))  # NumPy refuses if another reference exists
    x.resize((1, 3, 6), refcheck=False)
    np.testing.assert_array_equal(layer(x), layer(x, **GENERAL))


@pytest.mark.parametrize("options", [{}, GENERAL], ids=["plain", "general"])
def test_a_brief_call_keeps_the_gil_and_a_long_call_releases_it(options: dict) -> None:
    layer = MemoryAugmentedAttention(64, 20, 4, seed=1)
    brief, long = tokens(1, 1, 64), tokens(64, 100, 64)
    out_brief, out_long = np.empty_like(brief), np.empty_like(long)
    turns, stop = 0, False

    def count() -> None:
        nonlocal turns
        while not stop:
            turns += 1
            time.sleep(0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # from here on a thread gets the GIL only if another releases it
    thread = threading.Thread(target=count)
    thread.start()
    try:
        time.sleep(0.01)
        before = turns
        for _ in range(1000):
            layer(brief, out=out_brief, **options)
        assert turns == before
        for _ in range(1000):
            layer(long, out=out_long, **options)
            if turns > before:
                break
        assert turns > before
    finally:
        stop = True
        sys.setswitchinterval(interval)
        thread.join()


def test_brief_calls_are_consistent_while_weights_change() -> None:
    layer = small()
    x = tokens(1, 2, 6)
    states = [layer.get_weights(), small(seed=2).get_weights()]
    results = []
    for state in states:
        layer.set_weights(state)
        results.append(layer(x))
    wrong, stop = [], threading.Event()

    def compute() -> None:
        out = np.empty_like(x)
        while not stop.is_set():
            layer(x, out=out)
            if not any(np.array_equal(out, result) for result in results):
                wrong.append(out.copy())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(500):
        layer.set_weights(states[i % 2])
    stop.set()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not wrong
    np.testing.assert_array_equal(layer(x), results[1])
