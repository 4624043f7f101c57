"""The forecaster's network with an MLP instead of each memory layer, in PyTorch.

Only for the ablation: the same windows, targets, loss and training as in the engine, and MLPs as
large as the folded layers. Without layers it is the engine's network without memory, which checks
the rest of it (`python -m bench.forecast_ablations` shows both).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from bench.m3 import Array, Series

UNITS, LAYERS = 64, 2
HIDDEN = 4 * 32  # heads times slots: a folded memory layer also has two (64, 128) matrices
BATCH, RATE, DECAY, WARM_UP = 512, 1e-3, 1e-2, 100
CLIP = 10.0  # of features
ROUGH, SMOOTHEST = 0.05, 0.005  # the engine's kRough and kSmoothest
NOISE_90 = 1.645  # of the standard normal


@dataclass(frozen=True)
class Windows:
    """The inputs of a network at n origins, and its targets."""

    features: Array  # (n, F)
    baseline: Array  # (n, horizon), in logs
    scale: Array  # (n,)
    unit: Array  # (n,), of errors; 0: errors do not count
    target: Array  # (n, horizon), log truth less baseline; NaN past the end of the series
    series: Array  # (n,)


def _seasonal(x: Array, season: int) -> bool:
    """Return whether the autocorrelation at one season is significant at 90 %, as in Naive2."""
    if season < 2 or len(x) < 3 * season:
        return False
    centred = x - x.mean()
    variance = float((centred**2).sum())
    if not variance > 0:
        return False
    lags = [float((centred[k:] * centred[:-k]).sum()) / variance for k in range(1, season + 1)]
    limit = NOISE_90 * np.sqrt((1 + 2 * sum(lag**2 for lag in lags[:-1])) / len(x))
    return abs(lags[-1]) > float(limit)


def _index(remainder: Array, n: int, season: int) -> Array:
    """Return the seasonal index by phase from the first n values of x less its trend."""
    half = season // 2
    index = np.zeros(season)
    for phase in range(season):
        first = half + (phase - half) % season
        index[phase] = remainder[first : n - half : season].mean()
    index -= index.mean()
    return index


def windows_of(
    series: Series, season: int, lookback: int, min_history: int, train: bool
) -> Windows:
    """Return the windows at every origin from min_history on, or at the end of each series."""
    horizon = series.truth.shape[1]
    parts: list[tuple[Array, ...]] = []
    for k in range(len(series)):
        x = np.log(series.values[series.offsets[k] : series.offsets[k + 1]])
        size, half = len(x), season // 2
        remainder = np.zeros(size)
        if season > 1 and size >= 3 * season:
            kernel = np.r_[0.5, np.ones(season - 1), 0.5] / season
            remainder[half : size - half] = x[half : size - half] - np.convolve(x, kernel, "valid")
        for n in range(min_history, size) if train else (size,):
            is_seasonal = _seasonal(x[:n], season)
            index = _index(remainder, n, season) if is_seasonal else np.zeros(season)
            first = max(n - lookback, 0)
            w = x[first:n] - index[np.arange(first, n) % season]
            change = np.abs(np.diff(w)).mean() if len(w) > 1 else 0.0
            spread = np.abs(np.diff(x[:n])).mean() if n > 1 else 0.0
            scale, unit = change + 0.1 * spread, min(spread / ROUGH, 1.0)
            padded = np.r_[np.full(lookback - len(w), w[0]), w]
            ahead = index[np.arange(n, n + horizon) % season]
            factor = 1 / scale if scale > 0 else 0.0
            features = [(padded[:-1] - w[-1]) * factor]
            if season > 1:
                index_ahead = index[np.arange(n, n + season) % season] * factor
                features += [index_ahead, [float(is_seasonal)]]
            features += [[np.log(max(scale, SMOOTHEST)) + 2.5 if scale > 0 else 0.0]]
            seen = np.r_[np.clip(np.concatenate(features), -CLIP, CLIP), np.log(n / 50)]
            truth = np.full(horizon, np.nan)
            coming = x[n : n + horizon] if train else np.log(series.truth[k])
            truth[: len(coming)] = coming
            baseline = w[-1] + ahead
            sizes = np.array(scale), np.array(unit)
            parts.append((seen, baseline, *sizes, truth - baseline, np.array(k)))
    columns = [np.stack(column) for column in zip(*parts, strict=True)]
    return Windows(*columns)


class Network(torch.nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    """One token per window, residual MLPs, and a head and a linear path that start at zero."""

    def __init__(self, features: int, horizon: int, layers: int) -> None:
        super().__init__()
        self.enter = torch.nn.Linear(features, UNITS)
        torch.nn.init.uniform_(self.enter.weight, -((3 / features) ** 0.5), (3 / features) ** 0.5)
        torch.nn.init.zeros_(self.enter.bias)
        self.layers = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(UNITS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, UNITS)
            )
            for _ in range(layers)
        )
        self.head = torch.nn.Linear(UNITS, horizon, bias=False)
        self.skip = torch.nn.Linear(features, horizon, bias=False)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.skip.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the output (n, horizon) for features (n, F)."""
        z = self.enter(features)
        for layer in self.layers:
            z = z + layer(z)
        found: torch.Tensor = self.head(z) + self.skip(features)
        return found


def _batches(windows: Windows, steps: int, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of origins, uniform over series and then over the origins of a series."""
    rng = np.random.default_rng(seed)
    _, first, count = np.unique(windows.series, return_index=True, return_counts=True)
    for _ in range(steps):
        chosen = rng.integers(len(first), size=BATCH)
        yield torch.from_numpy(first[chosen] + rng.integers(count[chosen]))


def _rate(step: int, steps: int) -> float:
    warm_up = min(WARM_UP, steps // 2)
    if step < warm_up:
        return (step + 1) / warm_up
    return float(0.5 * (1 + np.cos(np.pi * (step - warm_up) / (steps - warm_up))))


def fit_predict(train: Windows, test: Windows, steps: int, seed: int, layers: int) -> Array:
    """Return log forecasts (N, horizon) of the test's windows from one trained network."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # products are small, so more threads only wait
    unit = np.where(train.unit > 0, train.unit, np.nan)
    features, target, slope = (
        torch.from_numpy(array.astype(np.float32))
        for array in (train.features, train.target / unit[:, None], train.scale / unit)
    )
    network = Network(features.shape[1], target.shape[1], layers)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY, eps=1e-7)
    for step, batch in enumerate(_batches(train, steps, seed)):
        optimizer.param_groups[0]["lr"] = RATE * _rate(step, steps)
        error = network(features[batch]) * slope[batch, None] - target[batch]
        known = ~torch.isnan(error)
        loss = (2 * torch.tanh(error[known].abs() / 2)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        output = network(torch.from_numpy(test.features.astype(np.float32))).numpy()
    found: Array = test.baseline + test.scale[:, None] * output
    return found
