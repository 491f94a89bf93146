"""analysis/export: a result in the formats of other tools."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
from hdrh.histogram import HdrHistogram

from hpc_analysis import cli
from hpc_analysis.histogram import Histogram, high_edge
from hpc_analysis.result import Result, load

ONE_HOUR_NS, DIGITS = 3_600_000_000_000, 3  # three digits: 2,048 buckets, then 1,024 for each power of two, as in the result
EPILOG = """\
Into FOLDER go:
  csv          one FILE.csv for each table, /truth/violations as truth_violations.csv; latency.csv holds the histograms' buckets,
               attributes.csv those of /, units.csv the unit of each field
  parquet      the same tables as FILE.parquet, with the units in the fields' metadata
  hlog         latency.hlog: the histograms in ns as a HdrHistogram log, a tag for each (stage, operation, from due or sent)
  openmetrics  metrics.txt: OpenMetrics text of the run's totals, for a push gateway or a text-file collector

  analysis/export results/crud.h5 -o export/
  analysis/export results/crud.h5 -o export/ --only hlog

exit codes: 0 written, 3 usage, or not a whole and sound result file"""


# --- tables --------------------------------------------------------------------------------------------------------------


def buckets(result: Result) -> pd.DataFrame:
    parts = [pd.DataFrame({"stage": stage, "latency": latency, "from": base, "low_edge_ns": histogram.low_ns,
                           "high_edge_ns": high_edge(histogram.low_ns), "count": histogram.counts})
             for (stage, latency, base), histogram in result.histograms.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def tables(result: Result) -> Iterator[tuple[str, pd.DataFrame, dict[str, str]]]:
    """(name of a file, rows, units)"""
    for path in sorted({*result.tables, *result.lazy}):
        rows = result.get(path)
        yield path.strip("/").replace("/", "_"), rows, result.tables[path].units
    yield "latency", buckets(result), {"low_edge_ns": "ns", "high_edge_ns": "ns", "count": "operations"}
    yield "attributes", pd.DataFrame({"name": list(result.attributes), "value": [str(value) for value in result.attributes.values()]}), {}


def csv_of(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False, lineterminator="\n").encode()


def write_csv(result: Result, folder: Path) -> list[Path]:
    written, units = [], []
    for name, rows, unit in tables(result):
        written.append(folder / f"{name}.csv")
        cli.write_bytes(written[-1], csv_of(rows))
        units += [(name, field, unit.get(field, "")) for field in rows]
    written.append(folder / "units.csv")
    cli.write_bytes(written[-1], csv_of(pd.DataFrame(units, columns=["table", "field", "unit"])))
    return written


def write_parquet(result: Result, folder: Path) -> list[Path]:
    written = []
    for name, rows, unit in tables(result):
        columns = [pa.array(rows[field].to_numpy(), from_pandas=False) for field in rows]  # NaN stays NaN, not null
        fields = [pa.field(field, column.type, metadata={"unit": unit[field]} if unit.get(field) else None) for field, column in zip(rows, columns, strict=True)]
        out = io.BytesIO()
        parquet.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), out)
        written.append(folder / f"{name}.parquet")
        cli.write_bytes(written[-1], out.getvalue())
    return written


# --- HdrHistogram log ----------------------------------------------------------------------------------------------------


def encoded(histogram: Histogram) -> str:
    whole = HdrHistogram(1, ONE_HOUR_NS, DIGITS)
    for low, count in zip(histogram.low_ns.tolist(), histogram.counts.tolist(), strict=True):
        whole.record_value(low, count)
    return whole.encode().decode()


def spans(result: Result) -> dict[str, tuple[float, float]]:
    """(begin, length) of each stage in s, from the timeline."""
    rows = result.get("/timeline")
    if rows.empty:
        return {}
    ends = rows.assign(end=rows["second"] + rows["interval_s"]).groupby("stage").agg(begin=("second", "min"), end=("end", "max"))
    return {stage: (float(row.begin), float(row.end - row.begin)) for stage, row in ends.iterrows()}


def hlog(result: Result) -> str:
    began = result.attribute("started_wall_ns", 0) / 1e9
    lines = [f"#[Logged with milvus-hpc {result.attribute('program_version')}, run {result.attribute('run_id')}; values in ns]",
             "#[Histogram log format version 1.3]", f"#[StartTime: {began:.3f} (seconds since epoch), {result.attribute('started_utc')}]",
             '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"']
    stages = spans(result)
    whole = (0.0, float(result.attribute("duration_s", 0.0)))
    for (stage, latency, base), histogram in result.histograms.items():
        begin, length = stages.get(stage, whole)
        tag = f"{stage}/{latency}/{base}".replace(",", "_").replace(" ", "_")  # commas and blanks end a tag
        lines.append(f"Tag={tag},{begin:.3f},{length:.3f},{histogram.max_ns / 1e6:.3f},{encoded(histogram)}")
    return "\n".join(lines) + "\n"


def write_hlog(result: Result, folder: Path) -> list[Path]:
    cli.write_text(folder / "latency.hlog", hlog(result))
    return [folder / "latency.hlog"]


# --- OpenMetrics -----------------------------------------------------------------------------------------------------------


def escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


class Family:
    """One metric: its samples stand together, after its type and help."""

    def __init__(self, name: str, kind: str, help_text: str, unit: str = ""):
        self.name, self.lines = f"milvus_hpc_{name}", []
        self.lines.append(f"# TYPE {self.name} {kind}")
        if unit:
            self.lines.append(f"# UNIT {self.name} {unit}")
        self.lines.append(f"# HELP {self.name} {escaped(help_text)}")

    def add(self, value: float, suffix: str = "", **labels: object) -> None:
        inside = ",".join(f'{name.rstrip("_")}="{escaped(label)}"' for name, label in labels.items())
        self.lines.append(f"{self.name}{suffix}{{{inside}}} {number(value)}" if inside else f"{self.name}{suffix} {number(value)}")


def run_families(result: Result) -> list[Family]:
    info = Family("run", "info", "What ran, where, and on what.")
    names = ("run_id", "label", "job_path", "collection", "dataset", "server_version", "program_version", "seed", "started_utc", "verdict")
    info.add(1, "_info", **{name: result.attribute(name) for name in names})
    code = Family("exit_code", "gauge", "0 good, 1 a threshold was missed, 2 data violation, 3 not usable.")
    code.add(result.attribute("exit_code"))
    lasted = Family("duration_seconds", "gauge", "Of the whole run, audit included.", "seconds")
    lasted.add(result.attribute("duration_s"))
    return [info, code, lasted]


def operation_families(result: Result) -> list[Family]:
    count = Family("operations", "counter", "Operations by what became of them.")
    throttled = Family("throttled_replies", "counter", "Rate-limit replies.")
    rows = Family("rows", "counter", "Rows of successful operations.")
    traffic = Family("traffic_bytes", "counter", "To and from the server.", "bytes")
    rate = Family("operations_per_second", "gauge", "Successful operations a second, after the warm-up.")
    latency = Family("latency_seconds", "summary", "Latency of successful operations, from due time and from first sending.", "seconds")
    for row in result.operations.itertuples():
        who = {"stage": row.stage, "role": row.instance, "op": row.op}
        for outcome in ("ok", "failed", "unknown", "unsent", "in_flight"):
            count.add(getattr(row, outcome), "_total", **who, outcome=outcome)
        throttled.add(row.throttled, "_total", **who)
        rows.add(row.rows, "_total", **who)
        traffic.add(row.bytes_out, "_total", **who, direction="out")
        traffic.add(row.bytes_in, "_total", **who, direction="in")
        rate.add(row.per_second, **who)
        for base in ("due", "sent"):
            if histogram := result.histogram(row.stage, row.latency, base):
                for quantile, field in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p999"), (1, "max")):
                    latency.add(getattr(row, f"{base}_{field}_ns") / 1e9, **who, from_=base, quantile=quantile)
                latency.add(histogram.count, "_count", **who, from_=base)
                latency.add(histogram.sum_ns / 1e9, "_sum", **who, from_=base)
    return [count, throttled, rows, traffic, rate, latency]


def other_families(result: Result) -> list[Family]:
    truth = Family("truth", "gauge", "Figures of the audit that were measured.")
    for figure, value in result.truth.items():
        truth.add(value, figure=figure)
    held = Family("threshold_held", "gauge", "1: held, 0: missed.")
    for row in result.get("/thresholds").itertuples():
        if not getattr(row, "undecided", False):
            held.add(int(row.held), figure=row.figure, wanted=row.wanted)
    cpu = Family("rank_cpu_seconds", "gauge", "User and system time of a rank.", "seconds")
    memory = Family("rank_peak_memory_bytes", "gauge", "Most memory that a rank held.", "bytes")
    for row in result.ranks.itertuples():
        for family, value in ((cpu, row.cpu_s), (memory, row.peak_rss_bytes)):
            if not math.isnan(value):
                family.add(value, rank=row.rank, host=row.host)
    recall = Family("recall", "gauge", "Share of true neighbours found, of the searches compared.")
    if result.has("/recall"):
        for (stage, role, item), rows in result.get("/recall").groupby(["stage", "role", "item"], sort=False):
            recall.add(rows["found"].sum() / rows["wanted"].sum(), stage=stage, role=role, item=item)
    return [truth, held, cpu, memory, recall]


def openmetrics(result: Result) -> str:
    families = [*run_families(result), *operation_families(result), *other_families(result)]
    return "".join(f"{line}\n" for family in families for line in family.lines) + "# EOF\n"


def write_openmetrics(result: Result, folder: Path) -> list[Path]:
    cli.write_text(folder / "metrics.txt", openmetrics(result))
    return [folder / "metrics.txt"]


WRITERS: dict[str, Callable[[Result, Path], list[Path]]] = {
    "csv": write_csv, "parquet": write_parquet, "hlog": write_hlog, "openmetrics": write_openmetrics,
}


def formats(words: str) -> list[str]:
    chosen = words.split(",")
    for word in chosen:
        if word not in WRITERS:
            raise cli.Refused(f"--only: no format {word!r}; there are {', '.join(WRITERS)}")
    return chosen


def run(words: Sequence[str]) -> int:
    parser = cli.parser("export", "Writes one result of milvus-hpc in the formats of other tools.", EPILOG)
    parser.add_argument("result", type=Path, metavar="RUN.h5", help="the result file")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="where to (default: beside the result, RUN.export)")
    parser.add_argument("--only", default=",".join(WRITERS), metavar="FORMATS", help="some of %(default)s")
    arguments = parser.parse_args(words)
    chosen = formats(arguments.only)
    result = load(arguments.result)
    folder = arguments.output or arguments.result.with_suffix(".export")
    cli.make_folder(folder)
    for name in chosen:
        for path in WRITERS[name](result, folder):
            print(path)
    return cli.GOOD


if __name__ == "__main__":
    cli.main("export", run)
