"""The program's histograms: buckets of equal edges in all runs, so that they merge and compare exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXACT_BELOW = 2048  # ns: one bucket for each nanosecond
STEPS = 1024  # buckets for each power of two above


def high_edge(low: np.ndarray) -> np.ndarray:
    """The highest value of the bucket that begins at `low`."""
    low = np.asarray(low, dtype=np.int64)
    exponent = np.frexp(np.maximum(low, 1).astype(float))[1] - 1  # of the power of two that it lies in
    width = np.where(low < EXACT_BELOW, 1, np.left_shift(np.int64(1), np.maximum(exponent - 10, 0)))
    return low + width - 1


def rank_of(share: float, count: int) -> int:
    """The smallest n in 1..count with n / count >= share."""
    rank = min(max(1, int(share * count)), count)
    while rank < count and rank / count < share:  # the division decides, not the product: 0.29 * 100 comes out below 29
        rank += 1
    return rank


@dataclass(frozen=True)
class Histogram:
    low_ns: np.ndarray
    counts: np.ndarray
    min_ns: int
    max_ns: int
    sum_ns: int
    clamped: int = 0  # values above 1 h, counted as 1 h

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean_ns(self) -> float:
        return self.sum_ns / self.count if self.count else float("nan")

    def quantile(self, share: float) -> int:
        """As the program computes it: the upper edge of the bucket that holds the rank, and at most the maximum."""
        if not self.count:
            return 0
        at = int(np.searchsorted(np.cumsum(self.counts), rank_of(share, self.count)))
        return int(min(high_edge(self.low_ns[at : at + 1])[0], self.max_ns))

    def tail(self) -> tuple[np.ndarray, np.ndarray]:
        """Latency in ns, and the share of operations that took longer or as long: the log tail plot's points."""
        before = np.cumsum(self.counts) - self.counts
        latency = np.minimum(high_edge(self.low_ns), self.max_ns)
        return latency, 1 - before / max(self.count, 1)


def merge(parts: list[Histogram]) -> Histogram:
    lows, where = np.unique(np.concatenate([part.low_ns for part in parts]), return_inverse=True)
    counts = np.bincount(where, weights=np.concatenate([part.counts for part in parts])).astype(np.int64)
    return Histogram(lows, counts, min(part.min_ns for part in parts), max(part.max_ns for part in parts),
                     sum(part.sum_ns for part in parts), sum(part.clamped for part in parts))
