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


def test_open_metrics(rich: Path, exported: Path) -> None:
    text = (exported / "metrics.txt").read_text()
    samples = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert text.endswith("# EOF\n")
    with h5py.File(rich) as file:
        row = next(row for row in file["operations"][()] if row["stage"] == b"fill" and row["op"] == b"insert")
        who = {"stage": "fill", "role": "writer", "op": "insert"}

        def of(name: str, **labels: str) -> float:
            return samples["milvus_hpc_" + name, tuple(sorted((who | labels).items()))]

        assert of("operations_total", outcome="ok") == row["ok"] == of("latency_seconds_count", **{"from": "due"})
        assert of("latency_seconds", **{"from": "due", "quantile": "0.99"}) == pytest.approx(row["due_p99_ns"] / 1e9)
        assert samples["milvus_hpc_exit_code", ()] == file.attrs["exit_code"]


def test_only_what_was_asked_for(good: Path, tmp_path: Path) -> None:
    assert tool("export", good, "-o", tmp_path / "out", "--only", "hlog,openmetrics").returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"latency.hlog", "metrics.txt"}
    wrong = tool("export", good, "--only", "xlsx")
    assert wrong.returncode == 3 and "there are csv, parquet, hlog, openmetrics" in wrong.stderr
