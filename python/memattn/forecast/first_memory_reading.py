"""What the memory attends to: which slots are read, when, and by what kind of patch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memattn.forecast.result import ForecastResult

Array = npt.NDArray[np.float64]

MAX_WINDOWS = 1500  # over all targets; enough for stable means
CHUNK = 128  # windows a call; short enough for a prompt Ctrl-C between two
PROTOTYPES = 4
READER_SHARE = 0.05  # of the patches: those that read a slot most


@dataclass(frozen=True)
class Prototype:
    """The patches that read one slot most, in units of their window: mean 0, deviation 1.

    Attributes
    ----------
    slot : int
        The slot.
    share : float
        The part of all reading that goes to it, 0 to 1.
    mean, low, high : array (patch_size,)
        Mean and the 10 % and 90 % quantiles over those patches.
    """

    slot: int
    share: float
    mean: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class MemoryReading:
    """Scores of the memory layer, averaged over heads.

    Attributes
    ----------
    last : list of array (tokens, slots)
        For each target, what the window that gave the forecast reads, oldest token first.
    by_phase : array (season, slots)
        Over the held-out windows, what patches read that begin at a phase of the season; NaN where
        no patch begins.
    usage : array (slots,)
        The mean over all those patches.
    prototypes : list of Prototype
        The most used slots.
    """

    last: list[Array]
    by_phase: Array
    usage: Array
    prototypes: list[Prototype]


def read_memory(result: ForecastResult) -> MemoryReading:
    """Asks the model of `result` what its memory answers to."""
    windows, origins = _held_out_windows(result)
    scores = _scores(result, windows)  # (N, tokens, slots)
    return MemoryReading(
        last=[
            _scores(result, target.values[None, -result.settings.lookback :])[0]
            for target in result.targets
        ],
        by_phase=_by_phase(result, origins, scores),
        usage=scores.mean(axis=(0, 1)),
        prototypes=_prototypes(result, windows, scores),
    )


def _held_out_windows(result: ForecastResult) -> tuple[Array, npt.NDArray[np.int64]]:
    """Windows (N, lookback) before held-out origins (N,), evenly thinned out."""
    lookback = result.settings.lookback
    windows, origins = [], []
    for target in result.targets:
        all_origins = target.validation.origins
        stride = -(-len(all_origins) * len(result.targets) // MAX_WINDOWS)
        # A stride with a common factor with the season would miss phases.
        while stride > 1 and np.gcd(stride, result.settings.season) > 1:
            stride += 1
        chosen = all_origins[::stride]
        past = np.lib.stride_tricks.sliding_window_view(target.values, lookback)
        windows.append(past[chosen - lookback])
        origins.append(chosen)
    return np.concatenate(windows), np.concatenate(origins)


def _scores(result: ForecastResult, windows: Array) -> Array:
    """Scores (N, tokens, slots), averaged over heads."""
    parts = [
        result.model.attention_scores(np.ascontiguousarray(windows[k : k + CHUNK])).mean(axis=1)
        for k in range(0, len(windows), CHUNK)
    ]
    return np.concatenate(parts)


def _by_phase(result: ForecastResult, origins: npt.NDArray[np.int64], scores: Array) -> Array:
    settings = result.settings
    tokens, slots = scores.shape[1:]
    # A window ends before its origin, and its patches end with it.
    first = origins - tokens * settings.patch_size
    starts = first[:, None] + settings.patch_size * np.arange(tokens)
    shift = result.axis.phase(0, settings.season)
    phases = (starts + shift) % settings.season
    total = np.zeros((settings.season, slots))
    np.add.at(total, phases.ravel(), scores.reshape(-1, slots))
    count = np.bincount(phases.ravel(), minlength=settings.season)[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _prototypes(result: ForecastResult, windows: Array, scores: Array) -> list[Prototype]:
    patch = result.settings.patch_size
    tokens, slots = scores.shape[1:]
    deviation = windows.std(axis=1, keepdims=True)
    scaled = (windows - windows.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    patches = scaled[:, -tokens * patch :].reshape(-1, patch)
    flat = scores.reshape(-1, slots)
    usage = flat.mean(axis=0)
    readers = max(round(READER_SHARE * len(flat)), min(10, len(flat)))
    found = []
    for slot in np.argsort(-usage, kind="stable")[:PROTOTYPES]:
        most = patches[np.argsort(-flat[:, slot], kind="stable")[:readers]]
        low, high = np.quantile(most, [0.1, 0.9], axis=0)
        found.append(Prototype(int(slot), float(usage[slot]), most.mean(axis=0), low, high))
    return found
