"""How sure can one be of a ratio B / A: from repeated runs, or from the intervals of one run each."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES, FEWEST_INTERVALS, FEWEST_RUNS = 2000, 5, 3
STEP = 1 / 16  # of a power of two: how coarse the percentiles of an interval are
LEAST_FREEDOM = 3.0  # of Student's t: below, intervals of a few seconds would say nothing of any difference
MOST_ALIKE, DOUBT = 0.9, 20  # the most that neighbours may resemble each other; so many intervals are as good as the belief that they do not


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


Series = tuple[np.ndarray, np.ndarray]  # values and weights of the intervals


def likeness(values: np.ndarray) -> float:
    """How far neighbouring intervals resemble each other: lag-one correlation of the logarithms, without the bias that short series have."""
    logs = np.log(np.maximum(values, 1e-9))
    logs = logs - logs.mean()
    spread, count = float((logs**2).sum()), len(logs)
    if spread == 0 or count < FEWEST_INTERVALS:
        return 0.0
    found = float((logs[1:] * logs[:-1]).sum()) / spread
    return (count * found + 1) / (count - 3)


def shared_likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Of both sides, as far as there are intervals enough to believe it."""
    count = len(a) + len(b)
    found = (len(a) * likeness(a) + len(b) * likeness(b)) / count
    return min(MOST_ALIKE, max(0.0, found) * count / (count + DOUBT))


def _means(values: np.ndarray, weights: np.ndarray, coarse: bool) -> np.ndarray:
    """Logarithms of the means of intervals drawn with replacement, against their mean. The draw follows from the values alone, so that it does not
    matter which side is called A. Coarse figures are anywhere within their step."""
    random = np.random.default_rng(zlib.crc32(values.tobytes() + weights.tobytes()))
    if coarse:
        values = values * 2 ** random.uniform(-STEP, 0, len(values))
    chosen = random.integers(0, len(values), (RESAMPLES, len(values)))
    means = (values[chosen] * weights[chosen]).sum(axis=1) / weights[chosen].sum(axis=1)
    return np.log(means / np.average(values, weights=weights))


def of_intervals(exact: float, a: Series, b: Series, confidence: float, coarse: bool) -> Ratio:
    """The spread of A's and B's intervals about the exact ratio; wider where neighbours resemble each other, and where there are few."""
    fewest = min(len(a[0]), len(b[0]))
    if fewest < FEWEST_INTERVALS:
        return unknown(exact, f"only {fewest} interval{'s' * (fewest != 1)}")
    spread = _means(*b, coarse) - _means(*a, coarse)
    if not np.isfinite(spread).all():
        return unknown(exact, "intervals without any operation")
    alike = shared_likeness(a[0], b[0])
    each = (1 - alike) / (1 + alike)  # what an interval is worth, of one that stands for itself
    freedom = max(LEAST_FREEDOM, fewest * each - 1)
    wider = stats.t.ppf(0.5 + confidence / 2, freedom) / stats.norm.ppf(0.5 + confidence / 2) / math.sqrt(each)
    low, high = np.quantile(spread, [(1 - confidence) / 2, (1 + confidence) / 2]) * wider
    return Ratio(exact, exact * math.exp(low), exact * math.exp(high), f"{len(a[0])} and {len(b[0])} intervals")
