"""A result file, checked and in memory. Trusts nothing: the file may be cut, damaged, older, or somebody else's."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from hpc_analysis.histogram import Histogram

FORMAT, VERSION = "milvus-hpc result", 2
LAZY = ("/truth/ledger",)  # may be large; read when asked for
DEFLATE_RATIO = 1100  # zlib's best is 1032 to 1: more than that cannot be in the file
MAYBE_UNKNOWN = ("core", "cores", "cpu_s", "peak_rss_bytes", "private_bytes", "bytes_out", "bytes_in", "schedule_lag_ns")  # of /ranks: then -1
# Fields that are read by name; a file of this format that lacks one is of a milvus-hpc that was still in the making.
NEEDED = {
    "/operations": ("stage", "role", "op", "latency", "planned", "ok", "failed", "unknown", "throttled", "unsent", "in_flight", "timed_out", "rows", "bytes_out",
                    "bytes_in", "per_second", "rows_per_second", "client_limited", "latency_count", *(
                        f"{base}_{name}_ns" for base in ("due", "sent") for name in ("p50", "p95", "p99", "p999", "max"))),
    "/truth/summary": ("figure", "value"),
}
FIELDS = NEEDED | {
    "/timeline": ("second", "interval_s", "stage", "role", "op", "ok", "failed", "unknown", "throttled", "rows", "p50_ns", "p99_ns", "max_ns"),
    "/ranks": ("rank", "host", "cpu_s", "peak_rss_bytes", "bytes_out", "bytes_in", "schedule_lag_ns", "missing"),
    "/workers": ("worker", "stage", "role"),
    "/calibration": ("stage", "role", "client_limited", "reason"),
    "/server/events": ("time_ns", "duration_ns", "kind", "what"),
    "/recall": ("second", "stage", "role", "item", "topk", "wanted", "found", "recall"),
    "/visibility": ("write", "read", "consistency", "count", "never", "p50_ns", "p99_ns", "max_ns"),
    "/find_max": ("stage", "role", "achieved", "p50_ns", "p99_ns", "held"),
    "/max_rate": ("stage", "role", "outcome", "max_rate", "client_limited"),
    "/trends": ("stage", "figure", "source", "unit", "median", "slope_per_hour", "low_per_hour", "high_per_hour", "slope_ratio", "low_ratio", "high_ratio", "step",
                "step_s", "wanted", "verdict"),
    "/server/metrics": ("second", "source", "name", "unit", "value", "life"),
    "/rank_samples": ("second", "rank", "name", "unit", "value"),
    "/thresholds": ("figure", "wanted", "got", "held"),
    "/job/options": ("option", "value", "origin"),
    "/truth/violations": (
        "kind", "id", "expected_version", "seen_version", "partition", "seen_partition", "worker", "rank", "write", "batch_first_id", "batch_rows", "sent_ns",
        "acknowledged_ns", "server_timestamp", "first_seen_ns", "last_seen_ns", "first_pass", "last_pass", "seen_by", "reader", "expected_value", "seen_value"),
}
EXIT_WORDS = {0: "GOOD", 1: "THRESHOLD MISSED", 2: "VIOLATED", 3: "NOT USABLE"}


class BadResult(Exception):
    """Names the file and what is wrong with it, in one line."""


def one_line(error: BaseException) -> str:
    return re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__


def text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def plain(value: Any) -> Any:
    """An attribute's value as Python's own type."""
    if isinstance(value, bytes):
        return text(value)
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Table:
    path: str
    rows: pd.DataFrame
    units: dict[str, str]


@dataclass
class Result:
    path: Path
    attributes: dict[str, Any]
    tables: dict[str, Table]
    histograms: dict[tuple[str, str, str], Histogram]  # (stage, latency, due | sent | done)
    job_text: str
    size: int
    lazy: set[str] = field(default_factory=set)
    file: str = ""  # what to call it by: the file's name, or more of its path where several have that name

    def __post_init__(self) -> None:
        self.file = self.file or self.path.name

    def get(self, path: str) -> pd.DataFrame:
        """The rows; without any, and with no columns, where the file has no such table."""
        if path in self.lazy:
            self.lazy.discard(path)
            with _opened(self.path) as file:
                self.tables[path] = _table(file[path], self.size)
        table = self.tables.get(path)
        return table.rows if table else pd.DataFrame()

    def has(self, path: str) -> bool:
        """Is it there, with rows?"""
        return len(self.get(path)) > 0

    def attribute(self, name: str, default: Any = "") -> Any:
        return self.attributes.get(name, default)

    @property
    def name(self) -> str:
        return self.attribute("label") or self.path.name

    @cached_property
    def truth(self) -> dict[str, int]:
        """Figures of /truth/summary that were measured."""
        rows = self.get("/truth/summary")
        return {figure: int(value) for figure, value in zip(rows.figure, rows.value, strict=True) if value >= 0}

    @cached_property
    def options(self) -> dict[str, str]:
        rows = self.get("/job/options")
        return dict(zip(rows["option"], rows["value"], strict=True)) if len(rows) else {}

    @cached_property
    def operations(self) -> pd.DataFrame:
        """And `instance`: the role, with its number where its stage has several of the name."""
        rows = self.get("/operations")
        numbered = rows["latency"].str.rpartition(".")[0] if len(rows) else rows["role"]
        numbers = numbered.where(numbered != "").groupby([rows["stage"], rows["role"]]).transform("nunique")
        return rows.assign(instance=numbered.where(numbers > 1, rows["role"]))

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """/ranks; NaN: what is not known, as much of a run that merge has rebuilt."""
        ranks = self.get("/ranks")
        if "pid" in ranks:
            ranks = ranks.assign(pid=ranks["pid"].astype(str))  # no quantity
        known = [name for name in MAYBE_UNKNOWN if name in ranks]
        return ranks.assign(**{name: ranks[name].astype(object).where(ranks[name] >= 0, math.nan) for name in known})

    @property
    def missing_ranks(self) -> list[int]:
        ranks = self.get("/ranks")
        return [int(rank) for rank in ranks["rank"][ranks["missing"] != 0]] if "missing" in ranks else []

    def histogram(self, stage: str, latency: str, base: str) -> Histogram | None:
        return self.histograms.get((stage, latency, base))


class _opened:
    """The file, and HDF5's many words as one line. What HDF5 raises on damage has no common type."""

    def __init__(self, path: Path):
        self.path = path
        self.file: h5py.File | None = None

    def __enter__(self) -> h5py.File:
        try:
            self.file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise BadResult(f"{self.path}: is not a readable HDF5 file, or is cut off or damaged: {one_line(error)}") from error
        return self.file

    def __exit__(self, kind: type | None, error: BaseException | None, _: object) -> None:
        if self.file is not None:
            self.file.close()
        if isinstance(error, BadResult):
            raise BadResult(f"{self.path}: {error}") from error
        if isinstance(error, (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, zlib.error)):
            raise BadResult(f"{self.path}: is damaged: {one_line(error)}") from error


def _check_format(file: h5py.File) -> None:
    if text(file.attrs.get("format", b"")) != FORMAT:
        raise BadResult(f'is HDF5 but not a milvus-hpc result (attribute format of / is not "{FORMAT}")')
    version = int(file.attrs["format_version"])
    if version != VERSION:
        age = "an older" if version < VERSION else "a newer"
        raise BadResult(f"is of format {version}, of {age} milvus-hpc; this program reads format {VERSION}")


def _column(values: np.ndarray) -> Any:
    if values.dtype.kind == "S":
        return np.array([text(value) for value in values], dtype=object)
    return values.astype(values.dtype.newbyteorder("="))


def _table(dataset: h5py.Dataset, size: int) -> Table:
    path = dataset.name
    if dataset.dtype.names is None or len(dataset.shape) != 1:
        raise BadResult(f"{path}: is not a list of rows")
    if dataset.nbytes > size * DEFLATE_RATIO:
        raise BadResult(f"{path}: is damaged: {dataset.shape[0]} rows cannot be in a file of {size} bytes")
    rows = dataset[()]
    frame = pd.DataFrame({name: _column(rows[name]) for name in dataset.dtype.names})
    missing = [name for name in FIELDS.get(path, ()) if name not in frame]
    if missing:
        raise BadResult(f"{path} has no field {missing[0]}: the file is of an older milvus-hpc, or damaged")
    units = [text(unit) for unit in dataset.attrs.get("unit", [])]
    return Table(path, frame, dict(zip(dataset.dtype.names, units, strict=False)))


def _histogram(dataset: h5py.Dataset) -> Histogram:
    rows = dataset[()]
    histogram = Histogram(rows["low_edge_ns"].astype(np.int64), rows["count"].astype(np.int64), int(dataset.attrs["min_ns"]),
                          int(dataset.attrs["max_ns"]), int(dataset.attrs["sum_ns"]), int(dataset.attrs.get("clamped", 0)))
    if histogram.count != int(dataset.attrs["count"]):
        raise BadResult(f"{dataset.name}: is damaged: its buckets hold {histogram.count} operations, not {dataset.attrs['count']}")
    return histogram


def _read_all(file: h5py.File, result: Result) -> None:
    def visit(name: str, item: h5py.Dataset | h5py.Group) -> None:
        path = f"/{name}"
        parts = name.split("/")
        if not isinstance(item, h5py.Dataset) or path == "/job/text":
            return
        if path in LAZY:
            result.lazy.add(path)
        elif parts[0] == "latency" and len(parts) == 4:
            result.histograms[parts[1], parts[2], parts[3]] = _histogram(item)
        elif item.dtype.names:
            result.tables[path] = _table(item, result.size)

    file.visititems(visit)


def load(path: Path | str) -> Result:
    """Everything but the ledger is read here, so that damage is found before anything is said."""
    path = Path(path)
    if path.is_dir():
        raise BadResult(f"{path}: is a folder; of a run that was killed, milvus-hpc merge {path} -o FILE.h5 makes a result")
    try:
        with path.open("rb") as raw:
            if not raw.read(1):
                raise BadResult(f"{path}: is an empty file")
    except OSError as error:
        raise BadResult(f"{path}: cannot be read: {error.strerror}") from error
    with _opened(path) as file:
        _check_format(file)
        size = path.stat().st_size
        job = text(file["job/text"][()]) if "job/text" in file else ""
        result = Result(path, {name: plain(value) for name, value in file.attrs.items()}, {}, {}, job, size)
        _read_all(file, result)
        for needed in NEEDED:
            if needed not in result.tables:
                raise BadResult(f"has no table {needed}: not written to its end, or damaged")
    return result
