"""analysis/report: one result as one page that needs nothing else."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpc_analysis import audit, cli, page, pictures, units
from hpc_analysis.picture import Picture
from hpc_analysis.result import EXIT_WORDS, Result, load

MOST_SHOWN, MOST_EMBEDDED = 100, 10_000  # violations in the table at a time, in the page
LAG_WORTH_A_WORD_NS = 50e6  # shorter ones are the machine's ordinary unrest
MARKS = {0: ("good", "✓"), 1: ("missed", "▲"), 2: ("violated", "✕"), 3: ("unusable", "■")}
NOT_AUDITED = ("plain", "?")
BUILT_IN = "(built-in)"  # as a job's path: none was given
EPILOG = """\
The page is one file: pictures, data and script are inside, nothing is fetched. It follows the reader's light or dark theme and prints.

  analysis/report results/crud.h5 -o report.html
  analysis/report results/crud.h5 -o report.html --pictures figures/    # each picture as SVG and PNG, its data as CSV

exit codes: 0 written, 3 usage, or not a whole and sound result file"""


# --- tables ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    shown: str
    raw: Any
    number: bool


@dataclass(frozen=True)
class Grid:
    path: str
    labels: list[str]
    rows: list[list[Cell]]
    marked: list[bool]


def label_of(field: str) -> str:
    for suffix in ("_ns", "_s", "_bytes"):
        field = field.removesuffix(suffix)
    return field.replace("_", " ")


def cell(value: Any, unit: str) -> Cell:
    raw = value.item() if hasattr(value, "item") else value
    return Cell(units.shown(raw, unit), raw, not isinstance(raw, (str, bool)))


def is_silent(values: pd.Series) -> bool:
    """A column of texts without a word in it."""
    return all(isinstance(value, str) and not value for value in values)


def grid(result: Result, path: str, columns: Sequence[str | tuple[str, str]] = (), rows: pd.DataFrame | None = None) -> Grid | None:
    """The fields named, or all; those the file does not have are left out."""
    rows = result.get(path) if rows is None else rows
    if not len(rows):
        return None
    named = [(column, label_of(column)) if isinstance(column, str) else column for column in (columns or list(rows))]
    named = [(field, label) for field, label in named if field in rows and not is_silent(rows[field])]
    unit = result.tables[path].units | SHARES.get(path, {})
    cells = [[cell(row[field], unit.get(field, "")) for field, _ in named] for _, row in rows.iterrows()]
    marked = [bool(flag) for flag in rows["client_limited"]] if "client_limited" in rows else [False] * len(rows)
    return Grid(path, [label for _, label in named], cells, marked)


SHARES = {"/calibration": dict.fromkeys(("share", "starved", "blocked"), "share"), "/find_max": {"errors": "share", "recall": "recall"},
          "/max_rate": {"recall": "recall", "max_rate": "found", "p99_ns": "found ns"}}
OPERATIONS = ["stage", "role", "op", "planned", "ok", "failed", "unknown", "throttled", "unsent", "in_flight", "timed_out", ("per_second", "ops/s"),
              ("rows_per_second", "rows/s")]
LATENCIES = ["stage", "role", "op", ("latency_count", "count"), *((f"due_{name}_ns", shown) for name, shown in
             (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("p999", "p99.9"), ("max", "longest"))), ("sent_p50_ns", "p50 sent"), ("sent_p99_ns", "p99 sent")]
ERRORS = ["count", "op", "outcome", ("grpc_status", "gRPC"), "code", "message", "first_ns", "last_ns"]
EVENTS = [("number", "no."), ("time_ns", "when"), ("duration_ns", "lasted"), "kind", "stage", "role", "what"]
CALIBRATION = ["stage", "role", "ranks", ("per_second", "ops/s"), ("ceiling_per_second", "ceiling"), ("share", "of ceiling"), ("busiest_cpu", "busiest rank's cores"),
               "starved", "blocked", ("lag_p99_ns", "lag p99"), ("client_limited", "limited"), "reason"]
VISIBILITY = ["stage", "role", "write", "read", "consistency", ("count", "seen"), "never", "p50_ns", "p99_ns", ("max_ns", "longest")]
PROBES = ["stage", "probe", ("wanted", "wanted/s"), ("achieved", "achieved/s"), "p50_ns", "p99_ns", "errors", "recall", "confirms", "held", "why"]
MAX_RATE = ["stage", "role", "outcome", ("max_rate", "highest rate/s"), "probes", "seconds", "p99_ns", "recall"]
RANKS = ["rank", "node", "host", "core", ("cores", "cores allowed"), "pid", ("cpu_s", "CPU"), ("peak_rss_bytes", "peak memory"), ("private_bytes", "own memory"), ("bytes_out", "sent"),
         ("bytes_in", "received"), ("schedule_lag_ns", "longest lag"), "missing"]


# --- violations ----------------------------------------------------------------------------------------------------------


def version(value: int) -> str:
    return {-1: "absent", -2: "content that nobody wrote", 0: "as inserted"}.get(value, f"as upserted, version {value}")


def moment(ns: int) -> str:
    return f"+{ns / 1e9:,.3f}\u00a0s" if ns else "not known"


def expected_and_seen(row: Any) -> tuple[str, str]:
    if row.kind == "miscounted":
        return f"{row.expected_version} rows found", f"count(*) {row.seen_version}"
    if row.kind == "not_dropped":
        return "gone", "still listed"
    if row.kind == "duplicated":
        return "1 copy", f"{row.seen_version} copies"
    if row.kind == "filter_ignored":
        return "no hit: filtered out", f"a hit, {version(row.seen_version)}"
    expected = version(row.expected_version)
    if row.kind == "misplaced":
        return expected, f"in {row.seen_partition or 'another partition'}"
    if row.kind in ("wrong_distance", "wrong_order", "range_ignored"):
        return f"distance {units.digits(row.expected_value)}", f"distance {units.digits(row.seen_value)}"
    where = row.seen_partition if row.seen_partition and row.seen_partition != row.partition else ""
    return expected, version(row.seen_version) + (f", in {where}" if where else "")


def seen_by(row: Any) -> str:
    if row.first_pass < 0:
        return f"{row.seen_by} of worker {row.reader}" if row.reader >= 0 else row.seen_by
    passes = f"pass {row.first_pass + 1}" if row.first_pass == row.last_pass else f"passes {row.first_pass + 1} to {row.last_pass + 1}"
    return f"{row.seen_by or 'audit'}, {passes}"


def last_write(row: Any) -> str:
    if not row.write:
        return "none known"
    batch = f", {units.integer(row.batch_rows)} rows, first id {row.batch_first_id}" if row.batch_rows else ""
    return f"{row.write} by worker {row.worker} on rank {row.rank}{batch}"


def some_of_each(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many, in their order: an equal share of each kind as far as it has so many, then the first of the others."""
    if len(rows) <= most:
        return rows
    nth = rows.groupby("kind").cumcount()
    fair = nth < max(1, most // rows["kind"].nunique())
    chosen = pd.concat([rows[fair], rows[~fair]]).head(most)
    return chosen.sort_index()


def violation(row: Any) -> dict[str, str]:
    """The cells of its line, by the column's label."""
    expected, seen = expected_and_seen(row)
    timestamp = f", server time {row.server_timestamp}" if row.server_timestamp else ""
    until = f" to {moment(row.last_seen_ns)}" if row.last_seen_ns != row.first_seen_ns else ""
    return {
        "kind": row.kind.replace("_", " "), "row": str(row.id) if row.id >= 0 else "whole collection", "expected": expected, "seen": seen,
        "partition": " ".join(word for word in (getattr(row, "collection", ""), row.partition) if word) or "not known",
        "last write": last_write(row), "written": f"sent {moment(row.sent_ns)}, acknowledged {moment(row.acknowledged_ns)}{timestamp}",
        "seen wrong": f"{moment(row.first_seen_ns)}{until}", "seen by": seen_by(row),
    }


def coded(lines: list[dict[str, str]]) -> dict[str, dict[str, list]]:
    """Column by column, each text once: violations differ in little but their ids."""
    columns = {}
    for label in lines[0] if lines else ():
        words = {word: at for at, word in enumerate(dict.fromkeys(line[label] for line in lines))}
        columns[label] = {"words": list(words), "rows": [words[line[label]] for line in lines]}
    return columns


def violations(result: Result) -> dict[str, Any]:
    """Those in the page, those of them that stand in the table before anybody filters, and how many there are."""
    rows = result.get("/truth/violations").reset_index(drop=True)
    kept = some_of_each(rows, MOST_EMBEDDED) if len(rows) else rows
    lines = {row.Index: violation(row) for row in kept.itertuples()}
    shown = some_of_each(kept, MOST_SHOWN).index if len(kept) else []
    return {"count": len(rows), "kept": len(kept), "lines": [lines[at] for at in shown], "kinds": sorted({line["kind"] for line in lines.values()}),
            "data": embedded(coded(list(lines.values())))}


# --- the rest of the page ---------------------------------------------------------------------------------------------------


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def outcomes(rows: pd.DataFrame) -> pd.Series:
    """Of thresholds, in words. Of a drift that this run cannot tell there is neither yes nor no."""
    undecided = rows["undecided"].astype(bool) if "undecided" in rows else pd.Series(False, index=rows.index)
    return pd.Series(np.where(undecided, "undecided", np.where(rows["held"].astype(bool), "yes", "no")), index=rows.index)


def missed(result: Result) -> str:
    rows = result.get("/thresholds")
    wrong = rows[outcomes(rows) == "no"] if len(rows) else rows
    said = "; ".join(f"{row.figure} wanted {row.wanted}, got {row.got}" for row in wrong.itertuples())
    return f"Missed: {said}." if said else ""


def verdict(result: Result) -> dict[str, Any]:
    """Its word, colour and sentences. Good is said of rows that were audited, and of nothing else."""
    code, said = int(result.attribute("exit_code", 3)), result.attribute("verdict")
    word, (tone, mark) = EXIT_WORDS.get(code, EXIT_WORDS[3]), MARKS.get(code, MARKS[3])
    if code == 0 and not result.attribute("audited", False):
        word, (tone, mark) = "NOT AUDITED", NOT_AUDITED
    elif code == 3 and audit.violations(result):
        word = f"{EXIT_WORDS[3]}, AND {EXIT_WORDS[2]}"
    return {"word": word, "tone": tone, "mark": mark, "said": f"{sentence(said.removeprefix(f'{word}: '))}.", "missed": missed(result)}


def not_audited(result: Result) -> tuple[str, str]:
    """By what was looked at all the same: cycles and reads under load find violations of their own."""
    looked, found, alone = " and ".join(audit.looked_at(result)), audit.violations(result), audit.of_cycles_alone(result)
    heading = "The job's collection was not audited" if alone else "Not audited"
    said = "No row of it was acknowledged." if alone else "The audit was not made to its end: of rows that nobody looked at, these figures say nothing."
    if not looked and not found:
        return "Not audited", "The audit was not made to its end: these figures say nothing about lost or wrong rows."
    violations = f"{units.integer(found) if found else 'no'} violation{'s' * (found != 1)}"
    return heading, f"{said} {sentence(looked or 'what was looked at')} showed {violations}."


def notices(result: Result) -> list[tuple[str, str]]:
    """What a reader must know before any figure: (heading, sentence)."""
    said = []
    missing = result.missing_ranks
    if missing:
        ranks = ", ".join(map(str, missing))
        said.append(("Part of the run is missing", f"Rank{'s' * (len(missing) > 1)} {ranks} died. What they did is known up to their journals' "
                     "end; this page shows what is there."))
    elif not result.attribute("whole", True):
        said.append(("The run did not come to its planned end", "It was stopped, killed, or gave up. This page shows what is there."))
    if not result.attribute("audited", True):
        said.append(not_audited(result))
    limited = result.get("/calibration")
    limited = limited[limited["client_limited"].astype(bool)] if len(limited) else limited
    if len(limited):
        reasons = "; ".join(f"{row.stage} {row.role}: {row.reason}" for row in limited.itertuples())
        said.append(("Client-limited", f"Rates and latencies marked * may be this client's own limit rather than the server's ({reasons})."))
    if result.attribute("violations_dropped", 0):
        said.append(("Not all violations were kept", f"{units.integer(result.attribute('violations_dropped'))} were counted and are not in the file."))
    if result.attribute("continues"):
        said.append((f"Part {result.attribute('part')}", f"It goes on where run {result.attribute('continues')} ended, in the same collection. The audit is of the rows "
                     f"of all parts: {units.integer(result.truth['earlier_inserts'])} of {units.integer(result.truth['acknowledged_inserts'])} acknowledged inserts are of "
                     "earlier ones. The load is this part's alone."))
    if result.attribute("parent"):
        said.append(("A second audit", f"This is verify: it audited the rows of run {result.attribute('parent')} again and sent no write."))
    return said


def outstanding_ranks(result: Result) -> str:
    """The rank that is farthest from the median, in words."""
    if len(result.get("/ranks")) < 2:
        return ""
    shares = pictures.rank_shares(result).set_index("rank").drop(columns="host")
    lags = result.ranks.set_index("rank")["schedule_lag_ns"]
    shares["schedule_lag_ns"] = shares["schedule_lag_ns"].where((lags >= LAG_WORTH_A_WORD_NS) & (shares["schedule_lag_ns"] > 2))
    far = shares[["cpu_s", "bytes_out", "bytes_in", "schedule_lag_ns"]].stack().dropna()
    far = far[(far > 2) | (far < 0.5)]
    if not len(far):
        return "No rank used or moved more than twice the median, or less than half of it."
    rank, name = np.log(far.clip(lower=1e-3)).abs().idxmax()
    label = {"cpu_s": "its CPU time", "bytes_out": "what it sent", "bytes_in": "what it received", "schedule_lag_ns": "its longest lag"}[name]
    return f"Rank {rank} stands out: {label} is {units.digits(far[rank, name])} times the median."


VERIFY_TAKES = re.compile(r"(server|retry|verify)\.|dataset\.path$")


def repeat_command(result: Result) -> str:
    """Options that were given on the command line, in the same words; secrets left out. Of the saved run's own, verify takes care, and run --continue."""
    attribute, again = result.attribute, bool(result.attribute("parent") or result.attribute("continues"))
    saved = ["verify"] if result.attribute("parent") else ["run", "--continue"]
    path = attribute("job_path") or "JOB.yaml"
    job = [] if path == BUILT_IN else [path]
    words = ["milvus-hpc", *saved, "PARENT.h5"] if again else ["milvus-hpc", "run", *job, "--seed", str(attribute("seed"))]
    if attribute("np", 1) > 1:
        words = ["mpirun", "-np", str(attribute("np")), *words]
    options = result.get("/job/options")
    given = options[options["origin"] == "--set"] if len(options) else options
    for row in given.itertuples():
        if row.option == "server.uri":
            words += ["--server", row.value]
        elif row.option != "server.token" and (not again or VERIFY_TAKES.match(row.option)):
            words += ["--set", f"{row.option}={row.value}"]
    return shlex.join(words)


def facts(result: Result) -> list[tuple[str, str]]:
    attribute, rows = result.attribute, result.get("/ranks")
    hosts = [f"{host} ({len(group)})" for host, group in rows.groupby("host", sort=False)] if len(rows) else []
    shown_hosts = ", ".join(hosts[:16]) + (f" and {len(hosts) - 16} more" if len(hosts) > 16 else "")
    kept = "left on the server" if attribute("collection_kept", False) else "dropped at the end"
    pairs = [
        ("Run", attribute("run_id")), ("Label", attribute("label")), ("Began", attribute("started_utc")),
        ("Lasted", units.minutes(attribute("duration_s", 0.0))), ("Job", attribute("job_path")), ("Seed", str(attribute("seed"))),
        ("milvus-hpc", attribute("program_version")), ("Server", f"{attribute('server_uri')}, {attribute('server_version') or 'version not known'}"),
        ("Collection", f"{attribute('collection')}, {kept}"), ("Data set", attribute("dataset")),
        ("Ranks", f"{attribute('np')} on {attribute('nodes')} node{'s' * (attribute('nodes', 1) != 1)}"), ("Hosts (ranks)", shown_hosts),
        ("Result file", f"{result.path.name}, {units.size(result.size)}, format {attribute('format_version')}"),
    ]
    return [(name, value) for name, value in pairs if value]


def tiles(result: Result) -> list[tuple[str, str, str]]:
    """Figures at a glance: (label, value, below it)."""
    operations = result.operations
    load_only = operations[operations["stage"] != "verify"]
    errors = int(load_only["failed"].sum() + load_only["unknown"].sum())
    found = [("Operations", units.integer(load_only["ok"].sum()), "succeeded under load"),
             ("Errors", units.integer(errors), f"failed or unknown; {units.integer(load_only['throttled'].sum())} replies throttled")]
    if result.truth.get("cycles_begun"):
        found.append(("Cycles", units.integer(result.truth["cycles_whole"]), f"whole, of {units.integer(result.truth['cycles_begun'])} begun"))
    if "expected_live" in result.truth and not audit.of_cycles_alone(result):
        found.append(("Live rows", units.integer(result.truth["expected_live"]), "by the ledger"))
    passes, violations = result.truth.get("passes", 0), audit.violations(result)
    looked = [f"{passes} pass{'es' * (passes != 1)} of the audit"] * (passes > 0) + audit.looked_at(result)
    if looked or violations:
        found.append(("Violations", units.integer(violations), f"in {', '.join(looked) or 'what was looked at'}"))
    recalls = result.get("/recall")
    if len(recalls) and recalls["wanted"].sum():
        found.append(("Recall", units.recall(recalls["found"].sum() / recalls["wanted"].sum()), f"of {units.integer(len(recalls))} searches compared"))
    return found


def trends(result: Result) -> Grid | None:
    """Drifts that a threshold asks for, then those that certainly are there, the steepest first."""
    rows = result.get("/trends")
    if not len(rows):
        return None
    certain = (rows["low_per_hour"] > 0) | (rows["high_per_hour"] < 0)
    rows = rows.assign(asked=rows["wanted"] != "", steep=rows["slope_ratio"].abs())[(rows["wanted"] != "") | certain]
    rows = rows.sort_values(["asked", "steep"], ascending=False, kind="stable")
    cells = [[
        Cell(row.stage, row.stage, False), Cell(row.figure.replace("_", " "), row.figure, False), Cell(row.source or "all", row.source, False),
        cell(row.median, row.unit), Cell(units.signed(row.slope_per_hour, row.unit), row.slope_per_hour, True),
        Cell(f"{units.signed(row.low_per_hour, row.unit)} to {units.signed(row.high_per_hour, row.unit)}", row.low_per_hour, True),
        Cell(units.signed(row.slope_ratio * 100, "%"), row.slope_ratio, True), Cell(row.wanted, row.wanted, False), Cell(row.verdict, row.verdict, False),
    ] for row in rows.itertuples()]
    return Grid("/trends", ["stage", "figure", "source", "median", "an hour", "certainly within", "of the median", "wanted", "verdict"], cells, [False] * len(cells)) if cells else None


def embedded(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def picture_views(drawn: Iterable[Picture]) -> dict[str, dict[str, Any]]:
    return {picture.key: {"picture": picture, "wide": picture.inline(False), "narrow": picture.inline(True), "csv": embedded(picture.csv())}
            for picture in drawn}


def context(result: Result, drawn: list[Picture]) -> dict[str, Any]:
    events, asked = result.get("/server/events"), result.get("/thresholds")
    operations = result.operations.assign(role=result.operations["instance"])
    changed = result.get("/job/options")
    changed = changed[(changed["origin"] != "default") & (changed["option"] != "server.token")] if len(changed) else changed
    return {
        "result": result, "verdict": verdict(result), "exit_code": int(result.attribute("exit_code", 3)), "notices": notices(result),
        "tiles": tiles(result), "equations": [("equation", audit.equation(result)), ("cycles", audit.cycles(result))], "truth": result.truth, "kinds": audit.kinds_found(result), "no_violation": audit.NO_VIOLATION, "violations": violations(result), "pictures": picture_views(drawn), "facts": facts(result), "repeat": repeat_command(result),
        "job_text": result.job_text, "rank_words": outstanding_ranks(result),
        "grids": {
            "thresholds": grid(result, "/thresholds", ["figure", "wanted", "got", "held"], asked.assign(held=outcomes(asked)) if len(asked) else None),
            "operations": grid(result, "/operations", OPERATIONS, operations),
            "latencies": grid(result, "/operations", LATENCIES, operations[operations["latency_count"] > 0]),
            "errors": grid(result, "/errors", ERRORS),
            "events": grid(result, "/server/events", EVENTS, pictures.numbered(events).assign(number=range(1, len(events) + 1)) if len(events) else None),
            "calibration": grid(result, "/calibration", CALIBRATION), "visibility": grid(result, "/visibility", VISIBILITY),
            "probes": grid(result, "/find_max", PROBES), "max_rate": grid(result, "/max_rate", MAX_RATE), "ranks": grid(result, "/ranks", RANKS, result.ranks),
            "trends": trends(result), "options": grid(result, "/job/options", ["option", "value", "origin"], changed),
        },
    }


def draw(result: Result) -> list[Picture]:
    return [picture for make in pictures.EVERY if (picture := make(result)) is not None]


def save_pictures(drawn: list[Picture], folder: Path) -> None:
    cli.make_folder(folder)
    for picture in drawn:
        cli.write_bytes(folder / f"{picture.key}.svg", picture.svg())
        cli.write_bytes(folder / f"{picture.key}.png", picture.png())
        cli.write_text(folder / f"{picture.key}.csv", picture.csv())


def run(words: Sequence[str]) -> int:
    parser = cli.parser("report", "Writes one result of milvus-hpc as a self-contained HTML page.", EPILOG)
    parser.add_argument("result", type=Path, metavar="RUN.h5", help="the result file")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="the page (default: beside the result, .html for .h5)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="each picture as SVG and PNG too, and its data as CSV")
    arguments = parser.parse_args(words)
    output = arguments.output or arguments.result.with_suffix(".html")
    if output.resolve() == arguments.result.resolve():
        raise cli.Refused(f"{output}: is the result itself; name another file with -o")
    result = load(arguments.result)
    drawn = draw(result)
    cli.write_text(output, page.render("report.html.j2", context(result, drawn)))
    if arguments.pictures:
        save_pictures(drawn, arguments.pictures)
    print(output)
    return cli.GOOD


if __name__ == "__main__":
    cli.main("report", run)
