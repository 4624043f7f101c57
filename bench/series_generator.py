"""Random series of the kinds that people forecast, on which the prior is first trained.

Three sources, all repeatable from a seed:

- structure: a level that drifts, cycles, a trend that bends, breaks or is damped, seasons that are
  fixed or change, calendar effects, errors that are autocorrelated, have heavy tails or grow with
  the level, outliers, counts and intermittent demand; for hours also patterns that repeat closely,
  days that differ in size, and clocks that lose or repeat rows;
- kernels: draws of Gaussian processes whose kernels are sums and products of a few, as in
  KernelSynth of Chronos (Ansari et al. 2024);
- mixtures: convex combinations of up to three scaled series, as in its TSMixup.

The strength of each part is drawn for each series, mostly over orders of magnitude: what a network
can learn from a window is how much of its movement lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Generator = np.random.Generator

SUBPERIODS = {
    24: (24, 168),
    7: (7, 365.25),
    5: (5, 260),
    52: (52.18,),
}  # the periods of a season, if not (s,)
YEAR_ROWS = {1: 1, 4: 4, 5: 260, 7: 365.25, 12: 12, 24: 8766, 52: 52.18}  # rows in a year
HOURS = 24  # in a day: the season of hourly series
STRAIGHT = 0.08  # the share of series that grow almost without noise
ROUGHEST = 0.35  # the limit of the mean |change| of the logs
LOST = 120  # rows that a clock may lose
HOURLY = 200.0, 2.0  # the largest daily season, in units of the noise and of logs
KERNELS = 200  # rows of a Gaussian process at most: the Cholesky factor costs rows^3


@dataclass(frozen=True)
class Family:
    """The properties of series of one season.

    Attributes
    ----------
    season : int
        Rows after which series may repeat; 1: never.
    shortest, longest : int
        The range of the number of rows.
    yearly : bool
        Whether a row is a year; otherwise, with season 1, rows of any frequency.
    walks : float
        The share of random walks without trend and season, such as prices and rates.
    """

    season: int
    shortest: int
    longest: int
    yearly: bool = False
    walks: float = 0.03

    @property
    def periods(self) -> tuple[float, ...]:
        """Return all its seasons, in rows."""
        if self.season == 1:
            return ()
        return SUBPERIODS.get(self.season, (self.season,))

    @property
    def year(self) -> float:
        """Return the number of rows in which growth of a few percent is usual."""
        return 20.0 if self.season == 1 and not self.yearly else YEAR_ROWS[self.season]


def generate(family: Family, count: int, rng: Generator, kernel_share: float = 0.2) -> list[Array]:
    """Return up to `count` series of a family with random lengths, leaving out rough ones."""
    by_kernel = int(kernel_share * count)
    found = structural(family, count - by_kernel, rng) + kernels(family, by_kernel, rng)
    # In logs, errors of rough series count most, so unpredictable series would dominate the
    # training. Errors of hourly series count in units of the change from day to day.
    kept = [one for one in found if family.season == HOURS or roughness(one) < ROUGHEST]
    return [kept[k] for k in rng.permutation(len(kept))]


def between(rng: Generator, low: float, high: float, count: int) -> Array:
    """Return numbers (count, 1) whose logarithms are uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high), (count, 1)))


def chance(rng: Generator, share: float, count: int) -> npt.NDArray[np.bool_]:
    """Return a random mask (count, 1), true with this probability."""
    return rng.random((count, 1)) < share


def structural(family: Family, count: int, rng: Generator) -> list[Array]:
    """Return series composed of level, trend, seasons, errors, and disturbances."""
    rows = family.longest + (LOST if family.season == HOURS else 0)
    noise = between(rng, 0.004, 0.4, count)
    path = _seasons(rng, noise, family, count, rows) + _errors(rng, noise, count, rows)
    walks = chance(rng, family.walks, count)
    path = np.where(walks, noise * rng.standard_normal((count, rows)).cumsum(axis=1), path)
    path += np.where(walks, 0.0, _level(rng, noise, family, count, rows))
    path += _breaks(rng, noise, family, count, rows)
    path = np.where(chance(rng, STRAIGHT, count), _straight(rng, family, count, rows), path)
    values = _as_observed(rng, path, count, rows)
    if family.season == HOURS:
        values = _on_another_clock(rng, values, count, family.longest)
    lengths = _lengths(family, count, rng)
    return [_cut(row, length, rng) for row, length in zip(values, lengths, strict=True)]


def _lengths(family: Family, count: int, rng: Generator) -> npt.NDArray[np.int64]:
    log = rng.uniform(np.log(family.shortest), np.log(family.longest + 1), count)
    return np.minimum(np.exp(log).astype(np.int64), family.longest)


def _cut(row: Array, length: int, rng: Generator) -> Array:
    start = rng.integers(0, len(row) - length + 1)
    return np.ascontiguousarray(row[start : start + length])


def _filtered(shocks: Array, memory: Array) -> Array:
    """Return x[t] = memory * x[t - 1] + shocks[t] for each row; memory is (count, 1)."""
    found = np.empty_like(shocks)
    found[:, 0] = shocks[:, 0]
    for t in range(1, shocks.shape[1]):
        found[:, t] = memory[:, 0] * found[:, t - 1] + shocks[:, t]
    return found


def _level(rng: Generator, noise: Array, family: Family, count: int, rows: int) -> Array:
    """Return a level that drifts or reverts to a mean, plus a lasting, bending or damped trend."""
    drift = noise * between(rng, 0.02, 4.0, count) * ~chance(rng, 0.2, count)
    # The changes of a year are spread over more rows in a finer series.
    fine = min(1.0, (12.0 / family.year) ** 0.25)
    shocks = drift * fine * rng.standard_normal((count, rows))
    returning = chance(rng, 0.25, count)
    memory = np.where(returning, 1 - between(rng, 0.02, 0.6, count), 1.0)
    level = _filtered(shocks, memory)
    # The slope: growth of a few percent a year, which itself changes.
    yearly = rng.standard_t(4, (count, 1)) * 0.03 + 0.01
    slope = np.where(chance(rng, 0.3, count) | returning, 0.0, yearly / family.year)
    bend = drift * fine * between(rng, 0.01, 0.5, count) * chance(rng, 0.2, count)
    damping = np.where(chance(rng, 0.5, count), 1.0, 1 - between(rng, 0.02, 0.3, count))
    changes = bend * rng.standard_normal((count, rows))
    changes[:, :1] += slope
    # A damped slope needs new impulses, or it would vanish before the series begins.
    slopes = _filtered(changes, damping) + slope * (damping < 1)
    limit = 0.3 * np.abs(noise) + 0.2 / family.year
    trend = np.cumsum(np.clip(slopes, -limit, limit), axis=1)
    return np.asarray(level + trend + _cycles(rng, noise, family, count, rows))


def _cycles(rng: Generator, noise: Array, family: Family, count: int, rows: int) -> Array:
    """Return cycles without a fixed period: falls and rises whose dates cannot be predicted."""
    period = min(family.year, 24.0) * between(rng, 0.7, 8.0, count)
    radius = 1 - between(rng, 0.5, 4.0, count) / period
    first, second = 2 * radius * np.cos(2 * np.pi / period), -(radius**2)
    begin = 100  # rows of burn-in
    found = rng.standard_normal((count, rows + begin))
    for t in range(2, rows + begin):
        found[:, t] += first[:, 0] * found[:, t - 1] + second[:, 0] * found[:, t - 2]
    found = found[:, begin:] / (found[:, begin:].std(axis=1, keepdims=True) + 1e-9)
    size = np.minimum(noise * between(rng, 0.3, 8.0, count), 1.0)
    return np.asarray(found * size * chance(rng, 0.5, count))


def _straight(rng: Generator, family: Family, count: int, rows: int) -> Array:
    """Return clear growth: a line, or an exponential for multiplicative values."""
    slope = between(rng, 2e-4, 0.08, count) * rng.choice([-1.0, 1.0], (count, 1))
    damping = np.where(chance(rng, 0.8, count), 1.0, 1 - between(rng, 0.005, 0.1, count))
    steps = slope * damping ** np.arange(rows)
    blur = np.abs(slope) * between(rng, 1e-3, 2.0, count) * ~chance(rng, 0.2, count)
    seasons = _seasons(rng, np.abs(slope), family, count, rows) * chance(rng, 0.5, count)
    return np.asarray(
        np.cumsum(steps, axis=1) + seasons + blur * rng.standard_normal((count, rows))
    )


def _pattern(rng: Generator, period: float, count: int, rows: int) -> Array:
    """Return a pattern that repeats after `period` rows, in units of its own deviation."""
    harmonics = max(1, min(int(period // 2), 12))
    shape = rng.uniform(0.0, 2.0, (count, 1))
    order = np.arange(1, harmonics + 1)
    sizes = rng.standard_normal((2, count, harmonics)) * order**-shape
    phase = 2 * np.pi * np.outer(order, np.arange(rows)) / period
    waves = sizes[0] @ np.cos(phase) + sizes[1] @ np.sin(phase)
    whole = round(period)
    each = rng.standard_normal((count, whole))
    # Some patterns consist of only a few high or low rows (a December, a weekend).
    rare = rng.random((count, whole)) < rng.uniform(0.05, 0.5, (count, 1))
    peaks = np.where(rare, np.abs(each) * rng.choice([-1.0, 1.0], (count, 1)), 0.0)
    dummies = np.where(chance(rng, 0.5, count), each, peaks)
    turned = dummies[:, (np.arange(rows) * whole / period).astype(np.int64) % whole]
    found = np.where(chance(rng, 0.6, count), waves, turned)
    found -= found.mean(axis=1, keepdims=True)
    return np.asarray(found / (found.std(axis=1, keepdims=True) + 1e-9))


def _seasons(rng: Generator, noise: Array, family: Family, count: int, rows: int) -> Array:
    found = np.zeros((count, rows))
    without = chance(rng, 0.2, count)
    for place, period in enumerate(family.periods):
        most, cap = HOURLY if family.season == HOURS and not place else (12.0, 1.2)
        size = noise * between(rng, 0.1, most, count)
        size = np.minimum(size, cap) * (~chance(rng, 0.3, count) if place else 1.0)
        first, second = (_pattern(rng, period, count, rows) for _ in range(2))
        # One pattern turns into another, fast or slowly, and its size may change.
        turns = max(1.0, rows / family.season / 6)
        speed = np.where(chance(rng, 0.4, count), 0.0, between(rng, 0.02, turns, count))
        angle = speed * np.arange(rows) / max(rows, 1) * np.pi / 2
        pattern = np.cos(angle) * first + np.sin(angle) * second
        growth = np.where(chance(rng, 0.7, count), 0.0, rng.standard_normal((count, 1)))
        found += size * pattern * np.exp(growth * np.linspace(-0.5, 0.5, rows))
    if family.season == HOURS:
        found = found * _days_differ(rng, count, rows) + _working_days(
            rng, noise, count, rows, HOURS
        )
    if family.season == 12:
        found += _trading_days(rng, noise, count, rows)
    return np.where(without, 0.0, found)


def _days_differ(rng: Generator, count: int, rows: int) -> Array:
    """Return factors of each day's season (count, rows); consecutive days have similar factors."""
    days = rows // HOURS + 3
    memory = rng.uniform(0.0, 0.9, (count, 1))
    found = _filtered(rng.standard_normal((count, days)), memory) * np.sqrt(1 - memory**2)
    size = between(rng, 0.02, 0.6, count) * chance(rng, 0.4, count)
    time = (np.arange(rows) + rng.integers(0, HOURS, (count, 1))) / HOURS
    day = time.astype(np.int64)
    # They change within the last quarter of a day.
    share = np.clip(4 * (time - day) - 3, 0.0, 1.0)
    each = np.arange(count)[:, None]
    return np.asarray(
        np.exp(size * ((1 - share) * found[each, day] + share * found[each, day + 1]))
    )


def _on_another_clock(rng: Generator, values: Array, count: int, rows: int) -> Array:
    """Return values (count, rows) with rows lost, repeated, or not exactly an hour apart."""
    step = np.ones((count, rows))
    rate = between(rng, 0.5, 20.0, count) / rows * chance(rng, 0.12, count)
    moved = rng.random((count, rows)) < rate
    hours = rng.choice([-1.0, 1.0, 1.0, 1.0, 2.0, 3.0, 6.0], (count, rows))
    step += moved * hours
    most = 1 + LOST / (3 * rows)
    step *= np.where(chance(rng, 0.04, count), rng.uniform(1 / most, most, (count, 1)), 1.0)
    place = (np.cumsum(step, axis=1) - 1).astype(np.int64)
    last = values.shape[1] - 1
    return np.asarray(np.take_along_axis(values, np.clip(place, 0, last), axis=1))


def _working_days(rng: Generator, noise: Array, count: int, rows: int, day: int) -> Array:
    """Return a separate pattern for days off."""
    place = np.arange(rows) // day + rng.integers(0, 7, (count, 1))
    off = place % 7 < rng.integers(1, 3, (count, 1))
    size = noise * between(rng, 0.3, 12.0, count) * chance(rng, 0.5, count)
    return np.where(off, np.minimum(size, 1.0) * _pattern(rng, day, count, rows), 0.0)


def _trading_days(rng: Generator, noise: Array, count: int, rows: int) -> Array:
    """Return the effects of the number of each weekday in a month, and of the date of Easter."""
    size = noise * between(rng, 0.1, 2.0, count) * chance(rng, 0.25, count)
    five = rng.random((count, rows)) < 0.43
    easter = (np.arange(rows) + rng.integers(0, 12, (count, 1))) % 12
    late = rng.random((count, rows)) < 0.75
    moved = np.where(easter == 2, ~late, np.where(easter == 3, late, False))
    return size * np.where(chance(rng, 0.6, count), five - 0.43, 2.0 * moved)


def _errors(rng: Generator, noise: Array, count: int, rows: int) -> Array:
    """Return errors: white, autocorrelated, heavy-tailed, or with a changing size."""
    shocks = rng.standard_normal((count, rows))
    heavy = rng.standard_t(3, (count, rows)) / np.sqrt(3)
    shocks = np.where(chance(rng, 0.2, count), heavy, shocks)
    volatile = _filtered(0.2 * rng.standard_normal((count, rows)), np.full((count, 1), 0.95))
    shocks = np.where(chance(rng, 0.15, count), shocks * np.exp(volatile), shocks)
    memory = np.where(chance(rng, 0.6, count), 0.0, rng.uniform(-0.5, 0.8, (count, 1)))
    found = noise * _filtered(shocks, memory) * np.sqrt(1 - memory**2)
    spikes = rng.random((count, rows)) < between(rng, 0.002, 0.05, count)
    spikes &= chance(rng, 0.25, count)
    size = noise * between(rng, 2.0, 12.0, count) * rng.choice([-1.0, 1.0], (count, rows))
    return np.asarray(found + np.where(spikes, size, 0.0))


def _breaks(rng: Generator, noise: Array, family: Family, count: int, rows: int) -> Array:
    """Return permanent and temporary shifts of the level."""
    rate = between(rng, 0.2, 3.0, count) / rows * chance(rng, 0.3, count)
    size = noise * between(rng, 1.0, 8.0, count)
    shifts = (rng.random((count, rows)) < rate) * rng.standard_normal((count, rows)) * size
    forgetting = np.where(chance(rng, 0.5, count), 1.0, 1 - between(rng, 0.05, 0.5, count))
    return _filtered(shifts, forgetting)


def _as_observed(rng: Generator, path: Array, count: int, rows: int) -> Array:
    """Return observations of the path: multiplicative, additive, counts, or intermittent demand."""
    path = np.clip(path, -12, 12)
    scale = between(rng, 1.0, 1e5, count)
    values = scale * np.exp(path)
    additive = scale * (1 + path)
    below = additive.min(axis=1, keepdims=True) <= 0
    signed = scale * path
    values = np.where(chance(rng, 0.35, count), np.where(below, signed, additive), values)
    # Counts follow a negative binomial distribution, which is Poisson's for a large dispersion.
    mean = between(rng, 0.3, 200.0, count) * np.exp(np.clip(path, -4, 4))
    shape = between(rng, 0.5, 200.0, count)
    rate = mean * rng.gamma(np.broadcast_to(shape, path.shape)) / shape
    counts = rng.poisson(np.minimum(rate, 1e7)).astype(float)
    bought = rng.random((count, rows)) < rng.uniform(0.1, 0.9, (count, 1))
    counts = np.where(chance(rng, 0.25, count), counts * bought, counts)
    counted = chance(rng, 0.05, count)
    rounded = np.where(chance(rng, 0.2, count) & (scale > 50), np.round(values), values)
    return np.asarray(np.where(counted, counts, rounded))


def kernels(family: Family, count: int, rng: Generator) -> list[Array]:
    """Return draws of Gaussian processes with composed kernels."""
    rows = min(family.longest, KERNELS)
    time = np.arange(rows, dtype=float)
    gap = np.abs(time[:, None] - time)
    found = []
    for length in np.minimum(_lengths(family, count, rng), rows):
        total = _kernel(family, rng, gap, time)
        for _ in range(int(rng.integers(0, 4))):
            other = _kernel(family, rng, gap, time)
            total = total + other if rng.random() < 0.6 else total * other
        total /= np.diag(total).mean() + 1e-12
        # 1e-6: sums of smooth kernels alone have no Cholesky factor in floating point.
        draw = np.linalg.cholesky(total + 1e-6 * np.eye(rows)) @ rng.standard_normal(rows)
        path = draw * np.exp(rng.uniform(np.log(0.03), np.log(0.8)))
        scale = np.exp(rng.uniform(0, 11))
        found.append(_cut(scale * (np.exp(path) if rng.random() < 0.7 else path + 1), length, rng))
    return found


def _kernel(family: Family, rng: Generator, gap: Array, time: Array) -> Array:
    rows = len(time)
    kinds = ["rbf", "rational", "linear", "white", "constant"] + 3 * ["periodic"]
    kind = rng.choice(kinds if family.periods else kinds[:5])
    length = np.exp(rng.uniform(np.log(1.5), np.log(rows)))
    if kind == "rbf":
        return np.asarray(np.exp(-0.5 * (gap / length) ** 2))
    if kind == "rational":
        alpha = np.exp(rng.uniform(np.log(0.1), np.log(10)))
        return np.asarray((1 + 0.5 * (gap / length) ** 2 / alpha) ** -alpha)
    if kind == "linear":
        center = rng.uniform(-0.5, 1.5) * rows
        return np.asarray(np.outer(time - center, time - center) / rows**2)
    if kind == "white":
        return np.asarray(np.exp(rng.uniform(np.log(0.01), np.log(1))) * np.eye(rows))
    if kind == "constant":
        return np.ones((rows, rows))
    period = rng.choice(np.asarray(family.periods))
    smooth = rng.uniform(0.3, 2.0)
    return np.asarray(np.exp(-2 * np.sin(np.pi * gap / period) ** 2 / smooth**2))


def roughness(series: Array) -> float:
    """Return the mean |change| of the logs of a positive series, else 0."""
    if not (series > 0).all() or len(series) < 2:
        return 0.0
    return float(np.abs(np.diff(np.log(series))).mean())


def mixtures(series: Sequence[Array], count: int, rng: Generator) -> list[Array]:
    """Return convex combinations of up to three series, each scaled to a mean size of 1."""
    scaled = [one / size for one in series if (size := np.abs(one).mean()) > 0]
    if not scaled:
        return []
    found = []
    for _ in range(count):
        chosen = rng.choice(len(scaled), min(int(rng.integers(2, 4)), len(scaled)), replace=False)
        shares = rng.dirichlet(np.full(len(chosen), 1.5))
        length = min(len(scaled[k]) for k in chosen)
        mixed = sum(share * scaled[k][-length:] for share, k in zip(shares, chosen, strict=True))
        found.append(np.asarray(mixed))
    return found
