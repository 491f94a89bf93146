"""Every headline figure once more, by a second hand: computed here from the file with h5py alone, and compared with what page, export and compare say."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import pytest
from conftest import page_of

from hpc_analysis import compare, export

SIZES = {"": 1, "ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "%": 0.01}
QUANTILES = {"p50": (50, 100), "p95": (95, 100), "p99": (99, 100), "p999": (999, 1000), "max": (1, 1)}
BY_READS = ("wrong_distance", "wrong_order", "filter_ignored", "range_ignored", "surplus", "missed", "unread", "non_monotonic", "not_dropped")
BY_AUDIT = ("lost", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted")
Row = dict[str, Any]


@pytest.fixture(scope="module", params=["good", "violated", "rich", "killed"])
def result(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def rows_of(file: h5py.File, path: str) -> list[Row]:
    if path not in file:
        return []
    rows = file[path][()]
    return [{name: value.decode() if isinstance(value := row[name].item(), bytes) else value for name in rows.dtype.names} for row in rows]


def quantile(buckets: h5py.Dataset, share: tuple[int, int]) -> int:
    """The upper edge of the bucket with the rank, at most the longest: in whole numbers, so that nothing is rounded."""
    rank, seen = max(1, -(-int(buckets.attrs["count"]) * share[0] // share[1])), 0
    for low, count in buckets[()].tolist():
        seen += count
        if seen >= rank:
            width = 1 if low < 2048 else 1 << (low.bit_length() - 11)
            return min(low + width - 1, int(buckets.attrs["max_ns"]))
    raise AssertionError("fewer operations than were counted")


def histogram(file: h5py.File, row: Row, base: str) -> h5py.Dataset | None:
    return file.get(f"latency/{row['stage']}/{row['latency']}/{base}")


def added(rows: list[Row], *names: str) -> dict[tuple[str, str, str], list[int]]:
    sums: dict[tuple[str, str, str], list[int]] = {}
    for row in rows:
        of_line = sums.setdefault((row["stage"], row["role"], row["op"]), [0] * len(names))
        for at, name in enumerate(names):
            of_line[at] += row[name]
    return sums


def test_tables_of_the_file_agree(result: Path) -> None:
    with h5py.File(result) as file:
        operations, errors = rows_of(file, "operations"), rows_of(file, "errors")
        for row in operations:
            assert row["planned"] == sum(row[name] for name in ("ok", "failed", "unknown", "unsent", "in_flight"))
            assert row["latency_count"] == row["ok"] - row["warm_up"]
            if row["seconds"] > 0:
                assert row["per_second"] == pytest.approx((row["ok"] - row["warm_up"]) / row["seconds"])
                assert row["rows_per_second"] == pytest.approx((row["rows"] - row["warm_up_rows"]) / row["seconds"])
            for base in ("due", "sent"):
                if (buckets := histogram(file, row, base)) is not None:
                    assert buckets[()]["count"].sum() == buckets.attrs["count"] == row["latency_count"]
                    assert {name: row[f"{base}_{name}_ns"] for name in QUANTILES} == {name: quantile(buckets, share) for name, share in QUANTILES.items()}
        names = ("ok", "failed", "unknown", "throttled", "rows")
        assert {line: sums for line, sums in added(operations, *names).items() if any(sums)} == added(rows_of(file, "timeline"), *names)
        for op in {row["op"] for row in operations}:
            ended = {outcome: sum(row["count"] for row in errors if (row["op"], row["outcome"]) == (op, outcome)) for outcome in ("failed", "throttled", "unknown")}
            of_op = [row for row in operations if row["op"] == op]
            assert ended["failed"] + ended["throttled"] == sum(row["failed"] for row in of_op) and ended["unknown"] == sum(row["unknown"] for row in of_op)


# --- the page --------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tables as rows of {label: (value behind it, text)}; tiles as {label: text}."""

    def __init__(self, text: str):
        super().__init__()
        self.tables: dict[str, list[dict[str, tuple[str, str]]]] = {}
        self.tiles: list[list[str]] = []
        self._table, self._cell, self._tile = "", ("", ""), False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if tag == "table":
            self._table = found.get("id", "")
            self.tables[self._table] = []
        elif tag == "tr" and self._table:
            self.tables[self._table].append({})
        elif tag == "td":
            self._cell = found.get("data-label", ""), found.get("data-value", "")
        elif tag == "div":
            self._tile = found.get("class") == "tile"
            if self._tile:
                self.tiles.append([])

    def handle_data(self, data: str) -> None:
        label, value = self._cell
        if label and self._table:
            self.tables[self._table][-1][label] = value, self.tables[self._table][-1].get(label, ("", ""))[1] + data
        elif self._tile:
            self.tiles[-1].append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._cell = "", ""
        elif tag == "table":
            self._table = ""
        elif tag == "div":
            self._tile = False


def is_shown(text: str, value: float) -> bool:
    """Is it the number to its last digit? A dash: nothing that was measured."""
    text = text.replace(",", "").replace("*", "").strip()
    parts = re.fullmatch(r"(-?\d+(?:\.(\d+))?)(?: ?(ns|µs|ms|s|B|KiB|MiB|GiB|%))?", text)
    if not parts:
        return text == "–" and not value > 0
    unit = SIZES[parts[3] or ""]
    return abs(float(parts[1]) * unit - value) <= unit * 10.0 ** -len(parts[2] or "") * 0.501


TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "operations": ("operations", {"planned": "planned", "ok": "ok", "failed": "failed", "unknown": "unknown", "throttled": "throttled", "unsent": "unsent",
                                  "ops/s": "per_second", "rows/s": "rows_per_second"}),
    "latencies": ("operations", {"count": "latency_count", "p50": "due_p50_ns", "p95": "due_p95_ns", "p99": "due_p99_ns", "p99.9": "due_p999_ns", "longest": "due_max_ns",
                                 "p50 sent": "sent_p50_ns", "p99 sent": "sent_p99_ns"}),
    "errors": ("errors", {"count": "count", "code": "code"}),
    "probes": ("find_max", {"wanted/s": "wanted", "achieved/s": "achieved", "p50": "p50_ns", "p99": "p99_ns", "errors": "errors", "recall": "recall"}),
    "visibility": ("visibility", {"seen": "count", "p50": "p50_ns", "p99": "p99_ns", "longest": "max_ns"}),
    "calibration": ("calibration", {"ops/s": "per_second", "of ceiling": "share", "starved": "starved", "lag p99": "lag_p99_ns"}),
    "rank-table": ("ranks", {"CPU": "cpu_s", "peak memory": "peak_rss_bytes", "own memory": "private_bytes", "sent": "bytes_out", "received": "bytes_in"}),
}


def test_the_page_shows_the_files_figures(result: Path) -> None:
    page = Page(page_of(result).read_text())
    with h5py.File(result) as file:
        for table, (path, labels) in TABLES.items():
            rows = [row for row in rows_of(file, path) if table != "latencies" or row["latency_count"]]
            told = [row for row in page.tables.get(table, []) if row]
            assert len(told) == len(rows) or (table == "rank-table" and len(rows) == 1)
            for cells, row in zip(told, rows, strict=False):
                for label, field in labels.items():
                    value = row[field] * (1e9 if field == "cpu_s" and row[field] > 0 else 1)
                    assert is_shown(cells[label][1], value), (table, label, cells[label], value)
        tiles = {tile[0]: tile[1] for tile in page.tiles}
        load, truth = [row for row in rows_of(file, "operations") if row["stage"] != "verify"], {row["figure"]: row["value"] for row in rows_of(file, "truth/summary")}
        assert is_shown(tiles["Operations"], sum(row["ok"] for row in load)) and is_shown(tiles["Errors"], sum(row["failed"] + row["unknown"] for row in load))
        if file.attrs["audited"]:
            assert is_shown(tiles["Violations"], sum(max(0, truth[kind]) for kind in BY_AUDIT + BY_READS))
            assert is_shown(tiles["Live rows"], truth["expected_live"])
        if recall := rows_of(file, "recall"):
            assert is_shown(tiles["Recall"], sum(row["found"] for row in recall) / sum(row["wanted"] for row in recall))


# --- export and compare -------------------------------------------------------------------------------------------------------


def test_open_metrics_are_those_of_the_buckets(result: Path, tmp_path: Path) -> None:
    assert export.run([str(result), "-o", str(tmp_path), "--only", "openmetrics"]) == 0
    found = dict(re.findall(r"^milvus_hpc_(\S+?\{.*\}) (\S+)$", (tmp_path / "metrics.txt").read_text(), re.M))
    with h5py.File(result) as file:
        for row in rows_of(file, "operations"):
            who = f'stage="{row["stage"]}",role="{row["role"]}",op="{row["op"]}"'
            assert int(found[f'operations_total{{{who},outcome="ok"}}']) == row["ok"] and int(found[f"rows_total{{{who}}}"]) == row["rows"]
            for base in ("due", "sent"):
                if (buckets := histogram(file, row, base)) is not None:
                    for share in QUANTILES.values():
                        told = found[f'latency_seconds{{{who},from="{base}",quantile="{share[0] / share[1]:g}"}}']
                        assert float(told) == pytest.approx(quantile(buckets, share) / 1e9, rel=1e-12)


def test_compare_tells_the_files_figures(good: Path, violated: Path, tmp_path: Path) -> None:
    assert compare.run([str(good), str(violated), "--json", str(tmp_path / "compare.json")]) == 0
    whole = json.loads((tmp_path / "compare.json").read_text())
    for side, path in (("a", good), ("b", violated)):
        with h5py.File(path) as file:
            load = {row["op"]: row for row in rows_of(file, "operations") if row["stage"] != "verify"}
            truth = {row["figure"]: row["value"] for row in rows_of(file, "truth/summary")}
            for told in whole["operations"]:
                row, buckets = load[told["op"]], histogram(file, load[told["op"]], "due")
                wanted = {name: quantile(buckets, share) for name, share in QUANTILES.items()}
                wanted |= {"mean": buckets.attrs["sum_ns"] / buckets.attrs["count"], "per_second": row["per_second"], "rows_per_second": row["rows_per_second"]}
                assert {name: told["figures"][name][side] for name in wanted} == pytest.approx(wanted, rel=1e-12)
            totals = whole["totals"][side]
            assert totals["errors"] == pytest.approx(sum(row["failed"] + row["unknown"] for row in load.values()) / sum(row["planned"] for row in load.values()))
            assert totals["violations"] == sum(max(0, truth[kind]) for kind in BY_AUDIT + BY_READS) and totals["duration"] == pytest.approx(file.attrs["duration_s"] * 1e9)
    assert [line["op"] for line in whole["operations"]] == ["insert", "delete", "upsert"]
