"""The network of bench/prices.py with an MLP instead of each memory layer, in PyTorch.

Only for the ablation: the same inputs, targets, dropout and training as in the forecaster if
forecasts begin at midnight. Without layers it is the linear network, which checks the rest of it
(`python -m bench.prices --validate --candidates` shows both).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from bench.forecast_mlp import HIDDEN, UNITS
from memattn.forecast.forecaster_settings import (
    ALIGNED_BATCH,
    ALIGNED_RATE,
    ALIGNED_SEASONS,
    ALIGNED_STEPS,
    AVERAGE_DECAY,
    DROPOUT,
)

Array = npt.NDArray[np.float64]
DAY = 24
BACK = (0, 1, 7)  # days before the forecast whose covariates are inputs
CLIP, CLIP_NORM, DECAY, WARM_UP = 10.0, 1.0, 1e-2, 100


class _Block(torch.nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    """Return z + MLP(z)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(UNITS, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, UNITS)
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        added = torch.nn.functional.dropout(self.layers(z), DROPOUT, self.training)
        return z + added


class _Network(torch.nn.Module):  # type: ignore[misc]  # mypy has no types of torch here
    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.start = torch.nn.Linear(features, UNITS)
        self.blocks = torch.nn.ModuleList(_Block() for _ in range(layers))
        self.head = torch.nn.Linear(UNITS, DAY, bias=False)
        self.skip = torch.nn.Linear(features, DAY, bias=False)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.skip.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.start(torch.nn.functional.dropout(x, DROPOUT, self.training))
        for block in self.blocks:
            z = block(z)
        return self.head(z) + self.skip(x)


def _units(values: Array) -> tuple[Array, Array]:
    """Return the median, and the typical distance from it, of each column."""
    center = np.median(values, axis=0)
    return center, np.median(np.abs(values - center), axis=0) / 0.6745


class _Windows:
    """The inputs at midnight of a day, in units computed from the first `known` days."""

    def __init__(self, frame: pd.DataFrame, known: int) -> None:
        table = frame[["y", "exog1", "exog2"]].to_numpy(np.float64)
        self.center, self.scale = _units(table[: known * DAY])
        self.values = np.arcsinh((table - self.center) / self.scale)

    def level(self, days: npt.NDArray[np.int64]) -> Array:
        """Return the mean of the day before (D, 1)."""
        return np.asarray(self._rows(days, -1, 1)[..., 0].mean(axis=1, keepdims=True))

    def _rows(self, days: npt.NDArray[np.int64], first: int, count: int) -> Array:
        rows = (days[:, None] + first) * DAY + np.arange(count * DAY)
        return np.asarray(self.values[rows])

    def features(self, days: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return features (D, F)."""
        past = self._rows(days, -ALIGNED_SEASONS, ALIGNED_SEASONS)[..., 0] - self.level(days)
        known = [self._rows(days, -back, 1)[..., 1:].reshape(len(days), -1) for back in BACK]
        found = np.hstack([past, *known, np.eye(7)[days % 7]])
        return torch.tensor(np.clip(found, -CLIP, CLIP), dtype=torch.float32)

    def targets(self, days: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return targets (D, 24)."""
        found = self._rows(days, 0, 1)[..., 0] - self.level(days)
        return torch.tensor(found, dtype=torch.float32)

    def prices(self, output: torch.Tensor, days: npt.NDArray[np.int64]) -> Array:
        """Return the prices (D, 24) for the output of the network."""
        compressed = output.double().numpy() + self.level(days)
        return np.asarray(np.sinh(compressed) * self.scale[0] + self.center[0])


def forecast(frame: pd.DataFrame, days: int, refit: int, layers: int, seed: int) -> Array:
    """Return forecasts (days, 24) of the last days of a table, trained again every `refit` days."""
    count = len(frame) // DAY
    found = np.empty((days, DAY))
    for done in range(0, days, refit):
        ahead = np.arange(count - days + done, min(count - days + done + refit, count))
        windows = _Windows(frame, int(ahead[0]))
        network = _trained(windows, int(ahead[0]), layers, seed)
        with torch.no_grad():
            output = network(windows.features(ahead))
        found[done : done + len(ahead)] = windows.prices(output, ahead)
    return found


def _trained(windows: _Windows, known: int, layers: int, seed: int) -> _Network:
    days = np.arange(ALIGNED_SEASONS, known)
    features, targets = windows.features(days), windows.targets(days)
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network = _Network(features.shape[1], layers)
    weights = list(network.parameters())
    optimizer = torch.optim.AdamW(weights, ALIGNED_RATE, weight_decay=DECAY)
    average = [one.detach().clone() for one in weights]
    for step in range(ALIGNED_STEPS):
        rate = min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / ALIGNED_STEPS))
        optimizer.param_groups[0]["lr"] = ALIGNED_RATE * float(rate)
        chosen = torch.randint(len(days), (ALIGNED_BATCH,), generator=draws)
        optimizer.zero_grad()
        (network(features[chosen]) - targets[chosen]).abs().mean().backward()
        torch.nn.utils.clip_grad_norm_(weights, CLIP_NORM)
        optimizer.step()
        decay = AVERAGE_DECAY["past_seasons"]
        for mean, weight in zip(average, weights, strict=True):
            mean.lerp_(weight.detach(), 1 - decay)
    with torch.no_grad():
        for mean, weight in zip(average, weights, strict=True):
            weight.copy_(mean)
    network.eval()
    return network
