"""How sure can one be of a ratio B / A: from repeated runs, or from the intervals of one run each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES, FEWEST_INTERVALS, FEWEST_RUNS = 2000, 5, 3
STEP = 1 / 16  # of a power of two: how coarse the percentiles of an interval are


@dataclass(frozen=True)
class Ratio:
    value: float  # B / A, exact
    low: float
    high: float
    how: str  # where the confidence comes from; why there is none
    of_runs: bool = False  # from the scatter of whole runs

    @property
    def known(self) -> bool:
        return math.isfinite(self.low)


def unknown(value: float, why: str) -> Ratio:
    return Ratio(value, -math.inf, math.inf, why)


def of_runs(a: list[float], b: list[float], confidence: float) -> Ratio:
    """Each run is one observation of the logarithm: Welch's interval, which does not take both sides' spread for equal."""
    log_a, log_b = np.log(a), np.log(b)
    middle = float(log_b.mean() - log_a.mean())
    va, vb = log_a.var(ddof=1) / len(a), log_b.var(ddof=1) / len(b)
    if va + vb == 0:
        return Ratio(math.exp(middle), math.exp(middle), math.exp(middle), f"{len(a)} and {len(b)} runs", True)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = stats.t.ppf(0.5 + confidence / 2, freedom) * math.sqrt(va + vb)
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), f"{len(a)} and {len(b)} runs", True)


def _resampled(values: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Weighted means of runs of neighbouring intervals, drawn with replacement: what hangs together in time stays together."""
    count = len(values)
    block = max(1, round(count ** (1 / 3)))
    starts = random.integers(0, count, (RESAMPLES, math.ceil(count / block)))
    chosen = ((starts[:, :, None] + np.arange(block)) % count).reshape(RESAMPLES, -1)[:, :count]
    return (values[chosen] * weights[chosen]).sum(axis=1) / weights[chosen].sum(axis=1)


def _intervals(values: np.ndarray, weights: np.ndarray, coarse: bool, random: np.random.Generator) -> np.ndarray:
    """Their means as multiples of the mean. Coarse figures are anywhere within their step."""
    if coarse:
        values = values * 2 ** random.uniform(-STEP, 0, len(values))
    return _resampled(values, weights, random) / np.average(values, weights=weights)


def of_intervals(exact: float, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], confidence: float, coarse: bool) -> Ratio:
    """(values, weights) of each interval of A and of B; their spread about the exact ratio. Reproducible."""
    fewest = min(len(a[0]), len(b[0]))
    if fewest < FEWEST_INTERVALS:
        return unknown(exact, f"only {fewest} interval{'s' * (fewest != 1)}")
    random = np.random.default_rng(20_261_124)
    spread = _intervals(*b, coarse, random) / _intervals(*a, coarse, random)
    low, high = np.quantile(spread, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Ratio(exact, exact * low, exact * high, f"{len(a[0])} and {len(b[0])} intervals")
