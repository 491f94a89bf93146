"""What other tools read of an export is what the file says."""

from __future__ import annotations

from pathlib import Path

import h5py
import pandas as pd
import pyarrow.parquet as parquet
import pytest
from conftest import tool
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from hpc_analysis.histogram import high_edge
from hpc_analysis.result import load


@pytest.fixture(scope="module")
def exported(rich: Path) -> Path:
    folder = rich.with_suffix(".export")
    done = tool("export", rich)
    assert (done.returncode, done.stderr) == (0, "")
    assert {Path(line) for line in done.stdout.splitlines()} == set(folder.iterdir())
    return folder


def tables(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.dtype.names and not name.startswith("latency/") else None)
    return found


def test_tables(rich: Path, exported: Path) -> None:
    units = pd.read_csv(exported / "units.csv", keep_default_na=False).set_index(["table", "field"])["unit"]
    with h5py.File(rich) as file:
        for path in tables(file):
            name, rows = path.replace("/", "_"), file[path][()]
            text = pd.read_csv(exported / f"{name}.csv", keep_default_na=False)
            binary = parquet.read_table(exported / f"{name}.parquet")
            assert list(text) == binary.column_names == list(rows.dtype.names) and len(text) == binary.num_rows == len(rows)
            for field, unit in zip(rows.dtype.names, file[path].attrs["unit"], strict=True):
                values = [value.decode() if isinstance(value, bytes) else value for value in rows[field].tolist()]
                assert binary[field].to_pylist() == pytest.approx(values, nan_ok=True)
                shown = ["" if value != value else str(value) for value in values]
                assert [str(value) for value in text[field]] == shown or text[field].astype(float).tolist() == pytest.approx(values, nan_ok=True)
                metadata = binary.schema.field(field).metadata or {}
                assert metadata.get(b"unit", b"") == unit == units[name, field].encode()


def test_histogram_log(rich: Path, exported: Path) -> None:
    """The standard reader finds every bucket's count, at its tag, and the stage's time."""
    reader = HistogramLogReader(str(exported / "latency.hlog"), HdrHistogram(1, 3_600_000_000_000, 3))
    result, seen = load(rich), []
    while histogram := reader.get_next_interval_histogram():
        stage, latency, base = histogram.get_tag().split("/")
        ours = result.histogram(stage, latency, base)
        assert histogram.get_total_count() == ours.count
        buckets = [(item.value_iterated_to, item.count_added_in_this_iter_step) for item in histogram.get_recorded_iterator()]
        assert buckets == list(zip(high_edge(ours.low_ns).tolist(), ours.counts.tolist(), strict=True))
        seen.append((stage, latency, base))
    assert seen == list(result.histograms)


def expected_samples(file: h5py.File) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What each family must hold, from the file itself."""
    want: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}

    def put(name: str, value: float, **labels: object) -> None:
        want["milvus_hpc_" + name, frozenset((label.rstrip("_"), str(worth)) for label, worth in labels.items())] = float(value)

    attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}
    named = ("run_id", "label", "job_path", "collection", "dataset", "server_version", "program_version", "seed", "started_utc", "verdict")
    put("run_info", 1, **{name: attributes[name] for name in named})
    put("exit_code", attributes["exit_code"])
    put("duration_seconds", attributes["duration_s"])
    for row in file["operations"][()]:
        who = {"stage": row["stage"].decode(), "role": row["role"].decode(), "op": row["op"].decode()}
        for outcome in ("ok", "failed", "unknown", "unsent", "in_flight"):
            put("operations_total", row[outcome], **who, outcome=outcome)
        put("throttled_replies_total", row["throttled"], **who)
        put("rows_total", row["rows"], **who)
        put("operations_per_second", row["per_second"], **who)
        for direction in ("out", "in"):
            put("traffic_bytes_total", row[f"bytes_{direction}"], **who, direction=direction)
        for base in ("due", "sent") if row["latency_count"] else ():
            histogram = file[f"latency/{who['stage']}/{row['latency'].decode()}/{base}"]
            put("latency_seconds_count", row["latency_count"], **who, from_=base)
            put("latency_seconds_sum", histogram.attrs["sum_ns"] / 1e9, **who, from_=base)
            for quantile, field in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"), ("0.999", "p999"), ("1", "max")):
                put("latency_seconds", row[f"{base}_{field}_ns"] / 1e9, **who, from_=base, quantile=quantile)
    for figure, value in file["truth/summary"][()]:
        if value >= 0:
            put("truth", value, figure=figure.decode())
    for row in file["thresholds"][()]:
        if not row["undecided"]:
            put("threshold_held", row["held"], figure=row["figure"].decode(), wanted=row["wanted"].decode())
    for row in file["ranks"][()]:
        for name, value in (("rank_cpu_seconds", row["cpu_s"]), ("rank_peak_memory_bytes", row["peak_rss_bytes"])):
            if value >= 0:
                put(name, value, rank=row["rank"], host=row["host"].decode())
    recall = file["recall"][()] if "recall" in file else []
    for stage, role, item in {(row["stage"], row["role"], row["item"]) for row in recall}:
        rows = recall[(recall["stage"] == stage) & (recall["role"] == role) & (recall["item"] == item)]
        put("recall", rows["found"].sum() / rows["wanted"].sum(), stage=stage.decode(), role=role.decode(), item=item)
    return want


@pytest.mark.parametrize("name", ["rich", "good", "lives"])
def test_open_metrics(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    """Each sample of each family is the file's, and none is missing."""
    result: Path = request.getfixturevalue(name)
    assert tool("export", result, "-o", tmp_path, "--only", "openmetrics").returncode == 0
    text = (tmp_path / "metrics.txt").read_text()
    families = list(text_string_to_metric_families(text))
    samples = [(sample.name, frozenset(sample.labels.items()), sample.value) for family in families for sample in family.samples]
    with h5py.File(result) as file:
        want = expected_samples(file)
    assert text.endswith("# EOF\n") and len(samples) == len(want)
    assert {(name, labels): value for name, labels, value in samples} == pytest.approx(want)
    if name == "rich":
        assert len(families) == 14 and all(family.documentation and family.samples for family in families if family.name != "milvus_hpc_threshold_held")


def test_only_what_was_asked_for(good: Path, tmp_path: Path) -> None:
    assert tool("export", good, "-o", tmp_path / "out", "--only", "hlog,openmetrics").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"latency.hlog", "metrics.txt"}
    wrong = tool("export", good, "--only", "xlsx")
    assert wrong.returncode == 3 and "there are csv, parquet, hlog, openmetrics" in wrong.stderr
