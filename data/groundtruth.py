"""Exact nearest neighbours and the HDF5 layout of ann-benchmarks, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

DISTANCES = ("euclidean", "angular")
PARTS = ("train", "test", "neighbors", "distances")
BLOCK_BYTES = 64 << 20
TEST_CHUNK = 256
PAIR_CHUNK = 8192

Progress = Callable[[float], None]


def progress_line(what: str) -> Progress:
    """Reports a fraction: one moving line on a terminal, a line each tenth elsewhere."""
    shown = -1

    def show(fraction: float) -> None:
        nonlocal shown
        tty = sys.stderr.isatty()
        step = int(fraction * (100 if tty else 10))
        if step != shown:
            shown = step
            end = "\n" if not tty or fraction >= 1 else ""
            print(f"{chr(13) if tty else ''}{what}: {int(fraction * 100):3d}%", end=end, file=sys.stderr, flush=True)

    return show


def row_blocks(rows: int, dim: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * dim))
    return (slice(first, min(rows, first + step)) for first in range(0, rows, step))


def prepared(vectors: np.ndarray, distance: str) -> np.ndarray:
    """As float64; unit length for angular, where a zero vector stays zero and so is at distance 1 of all."""
    wide = np.asarray(vectors, dtype=np.float64)
    if distance == "angular":
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
        wide = wide / np.where(lengths == 0, 1, lengths)
    return wide


def pair_distances(a: np.ndarray, b: np.ndarray, distance: str) -> np.ndarray:
    """Row by row, from the definition: squared Euclidean or 1 - cosine."""
    if distance == "angular":
        return np.maximum(0, 1 - np.einsum("ij,ij->i", a, b))
    difference = a - b
    return np.einsum("ij,ij->i", difference, difference)


def all_distances(a: np.ndarray, b: np.ndarray, distance: str) -> tuple[np.ndarray, np.ndarray]:
    """Every pair by matrix product, and for each row of a bound on twice the rounding error."""
    a2, b2 = np.einsum("ij,ij->i", a, a), np.einsum("ij,ij->i", b, b)
    slack = 4 * (a.shape[1] + 8) * np.finfo(np.float64).eps * (a2 + b2.max())
    product = a @ b.T
    if distance == "angular":
        return 1 - product, slack
    product *= -2
    product += a2[:, None]
    product += b2
    return product, slack


def merge(best: tuple[np.ndarray, np.ndarray], rows: np.ndarray, distances: np.ndarray, ids: np.ndarray) -> None:
    """Keep the k best of each row, old and new; equal distances in the order of their ids."""
    count, k = best[0].shape
    all_rows = np.concatenate([np.repeat(np.arange(count), k), rows])
    all_distances_ = np.concatenate([best[0].ravel(), distances])
    all_ids = np.concatenate([best[1].ravel(), ids])
    order = np.lexsort((all_ids, all_distances_, all_rows))
    starts = np.searchsorted(all_rows[order], np.arange(count))
    kept = order[(starts[:, None] + np.arange(k)).ravel()]
    best[0][:] = all_distances_[kept].reshape(count, k)
    best[1][:] = all_ids[kept].reshape(count, k)


def search_block(test: np.ndarray, train: np.ndarray, first: int, best: tuple[np.ndarray, np.ndarray],
                 distance: str) -> None:
    """A matrix product only rules rows out, with its rounding allowed for; what is left is measured exactly."""
    k = best[0].shape[1]
    rough, slack = all_distances(test, train, distance)
    limit = best[0][:, -1].copy()
    if np.isinf(limit).any() and train.shape[0] > k:
        limit = np.minimum(limit, np.partition(rough, k - 1, axis=1)[:, k - 1] + slack)
    rows, columns = np.nonzero(rough <= (limit + slack)[:, None])
    exact = np.empty(len(rows))
    for at in range(0, len(rows), PAIR_CHUNK):
        part = slice(at, at + PAIR_CHUNK)
        exact[part] = pair_distances(test[rows[part]], train[columns[part]], distance)
    merge(best, rows, exact, columns + first)


def nearest(train: h5py.Dataset | np.ndarray, test: np.ndarray, k: int, distance: str,
            progress: Progress = lambda _: None) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of train for each row of test: ids (int32) and distances (float32), in order.

    Exact: ranked by float64 distances computed from the definition (for integer vectors without any rounding),
    ties by the lower id. Euclidean distances are returned with the root taken, angular ones as 1 - cosine.
    """
    count, dim = train.shape
    if not 0 < k <= count:
        raise ValueError(f"neighbors: {k} of {count} rows: expected 1 to {count}")
    queries = prepared(test, distance)
    distances = np.full((len(queries), k), np.inf)
    ids = np.full((len(queries), k), np.iinfo(np.int64).max)
    for block in row_blocks(count, dim):
        rows = prepared(train[block], distance)
        for at in range(0, len(queries), TEST_CHUNK):
            part = slice(at, at + TEST_CHUNK)
            search_block(queries[part], rows, block.start, (distances[part], ids[part]), distance)
            done = (block.start + len(rows) * min(1, (at + TEST_CHUNK) / len(queries))) / count
            progress(done)
    if distance == "euclidean":
        distances = np.sqrt(distances)
    return ids.astype(np.int32), distances.astype(np.float32)


def content_sha256(file: h5py.File) -> str:
    """Of the four data sets' shapes, types and values, whatever the HDF5 library wrote around them."""
    digest = hashlib.sha256()
    for name in PARTS:
        part = file[name]
        digest.update(f"{name} {part.dtype.str} {part.shape}\n".encode())
        for block in row_blocks(*part.shape):
            digest.update(np.ascontiguousarray(part[block]))
    return digest.hexdigest()


def is_complete(path: Path, recipe: str) -> bool:
    """Was the file made by this recipe, and is every value still what it was?"""
    try:
        with h5py.File(path, "r") as file:
            return file.attrs["recipe"] == recipe and file.attrs["content_sha256"] == content_sha256(file)
    except (OSError, KeyError):
        return False


def write_dataset(path: Path, recipe: str, shape: tuple[int, int], train: Iterator[np.ndarray], test: np.ndarray,
                  neighbors: int, distance: str, expected_sha256: str | None = None) -> None:
    """Write train block by block, find the neighbours and put the file in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.tmp{os.getpid()}")
    try:
        with h5py.File(partial, "w") as file:
            stored = file.create_dataset("train", shape, np.float32)
            at = 0
            for block in train:
                stored[at:at + len(block)] = block
                at += len(block)
            file["test"] = np.asarray(test, dtype=np.float32)
            ids, distances = nearest(stored, file["test"][:], neighbors, distance, progress_line("exact neighbours"))
            file["neighbors"], file["distances"] = ids, distances
            file.attrs.update({"type": "dense", "distance": distance, "dimension": shape[1], "point_type": "float",
                               "recipe": recipe, "content_sha256": content_sha256(file)})
            if expected_sha256 not in (None, file.attrs["content_sha256"]):
                raise ValueError(f"{path}: contents have SHA-256 {file.attrs['content_sha256']}, "
                                 f"expected {expected_sha256}")
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
