"""analysis/compare: is B faster or slower than A, or can one not tell?"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpc_analysis import audit, cli, gates, page, statistic, units
from hpc_analysis.histogram import Histogram, merge
from hpc_analysis.picture import Canvas, Picture, duration_axis, tail_axis
from hpc_analysis.pictures import MOST_PANELS, _thin
from hpc_analysis.report import embedded
from hpc_analysis.result import Result, load
from hpc_analysis.statistic import Ratio

FASTER, SLOWER, MIXED, CANNOT_TELL = "faster", "slower", "mixed", "cannot tell"
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
SHOWN = ("p50", "p99", "per_second")
# What a verdict rests on. Of one run each only the median: tail and rate follow whatever else the machine does for some seconds, and
# the intervals of one run do not show how far they differ between runs of the same job.
JUDGED_OF_RUNS, JUDGED_OF_INTERVALS = SHOWN, ("p50",)
EPILOG = """\
For each operation of the load: the latency from due time of A and B, from their exact histograms, and the operations a second; what B is of A,
with an interval of confidence; and "faster", "slower", or "cannot tell".

With three runs of each side, or more, the interval comes from the scatter of the runs; an operation is faster or slower when that of its p50, p99
or rate lies wholly beyond the margin, and "mixed" when they disagree. With fewer, it comes from resampling the timeline's intervals in blocks, and
the verdict rests on the p50 alone: how far p99 and rate differ from run to run of the same job, only repeated runs can show.

  analysis/compare old.h5 new.h5
  analysis/compare old*.h5 --against new*.h5 --html compare.html
  analysis/compare old.h5 new.h5 --gate "search.p99 <= 1.05x" --gate "errors <= 0.1%" --gate "recall >= 0.99x"

A gate is FIGURE <= NUMBER, or with <, >=, >. FIGURE is [STAGE.][ROLE.]OPERATION.p50, .p95, .p99, .p999, .max, .mean, .per_second,
.rows_per_second; or errors, recall, violations, duration. NUMBER with x is what B may be of A; without, of B itself: 50ms, 0.1%, 1000.

exit codes: 0 compared, and every gate held; 1 a gate failed; 3 usage, or a file that is not a whole and sound result"""
Key = tuple[str, str, str]


# --- one side ------------------------------------------------------------------------------------------------------------


@dataclass
class Operation:
    """One operation of one side: its runs merged, and each run's figures."""

    histogram: Histogram
    per_run: list[dict[str, float]]
    intervals: pd.DataFrame  # seconds without any operation left out
    client_limited: bool

    def figure(self, name: str) -> float:
        if name in QUANTILES:
            return float(self.histogram.quantile(QUANTILES[name]))
        if name == "max":
            return float(self.histogram.max_ns)
        if name == "mean":
            return self.histogram.mean_ns
        return float(np.mean([run[name] for run in self.per_run]))


@dataclass
class Side:
    name: str
    runs: list[Result]
    operations: dict[Key, Operation] = field(default_factory=dict)

    def share_of_errors(self) -> float:
        rows = pd.concat([run.operations for run in self.runs])
        rows = rows[rows["stage"] != "verify"]
        wrong, planned = (rows["failed"] + rows["unknown"]).sum(), rows["planned"].sum()
        return float(wrong / planned) if planned else 0.0

    def recall(self) -> float | None:
        rows = [run.get("/recall") for run in self.runs if run.has("/recall")]
        wanted = sum(int(part["wanted"].sum()) for part in rows)
        return sum(int(part["found"].sum()) for part in rows) / wanted if wanted else None

    def plain(self) -> dict[str, float | None]:
        audited = all(run.attribute("audited") for run in self.runs)
        return {"errors": self.share_of_errors(), "recall": self.recall(),
                "violations": float(sum(audit.violations(run) for run in self.runs)) if audited else None,
                "duration": float(np.mean([run.attribute("duration_s") for run in self.runs])) * 1e9}


def _intervals(run: Result, row: Any) -> pd.DataFrame:
    """Roles of one name share their lines of the timeline. The first and last interval of a stage are cut off: they are parts."""
    rows = run.get("/timeline")
    if rows.empty:
        return pd.DataFrame(columns=["per_second", "ok", "p50", "p99"])
    rows = rows[(rows["stage"] == row.stage) & (rows["role"] == row.role) & (rows["op"] == row.op)]
    lines = rows.groupby("second").agg(interval_s=("interval_s", "max"), ok=("ok", "sum"), p50=("p50_ns", "mean"), p99=("p99_ns", "max"))
    lines = lines.iloc[1:-1] if len(lines) > 4 else lines
    return lines.assign(per_second=lines["ok"] / lines["interval_s"])[["per_second", "ok", "p50", "p99"]]


def _one_run(run: Result) -> dict[Key, Operation]:
    searched = set(run.get("/find_max")["stage"]) if run.has("/find_max") else set()
    found = {}
    for row in run.operations.itertuples():
        histogram = run.histogram(row.stage, row.latency, "due")
        if row.stage == "verify" or row.stage in searched or histogram is None:
            continue
        figures = {name: float(histogram.quantile(quantile)) for name, quantile in QUANTILES.items()}
        figures |= {"per_second": row.per_second, "rows_per_second": row.rows_per_second}
        found[row.stage, row.instance, row.op] = Operation(histogram, [figures], _intervals(run, row), bool(row.client_limited))
    return found


def side(name: str, paths: Sequence[Path]) -> Side:
    whole = Side(name, [load(path) for path in paths])
    seen: dict[str, Path] = {}
    for run in whole.runs:  # a run and its copy would pass for two that agree
        if (first := seen.setdefault(run.attribute("run_id"), run.path)) is not run.path:
            raise cli.Refused(f"{run.path}: is the same run as {first}; a side wants different runs")
    parts = [_one_run(run) for run in whole.runs]
    for key in dict.fromkeys(key for part in parts for key in part):
        of_key = [part[key] for part in parts if key in part]
        whole.operations[key] = Operation(merge([part.histogram for part in of_key]), [run for part in of_key for run in part.per_run],
                                          pd.concat([part.intervals for part in of_key]), any(part.client_limited for part in of_key))
    return whole


# --- both ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    key: Key
    ratios: dict[str, Ratio]
    figures: dict[str, tuple[float, float]]
    verdict: str
    client_limited: bool

    @property
    def name(self) -> str:
        return " ".join(self.key)


def _series(operation: Operation, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = operation.intervals
    if name == "per_second":
        return rows["per_second"].to_numpy(float), np.ones(len(rows))
    rows = rows[rows["ok"] > 0]
    return rows[name].to_numpy(float), rows["ok"].to_numpy(float)


def ratio(a: Operation, b: Operation, name: str, confidence: float) -> Ratio:
    of_a, of_b = a.figure(name), b.figure(name)
    exact = of_b / of_a if of_a > 0 else math.nan
    runs = [[run[name] for run in operation.per_run] for operation in (a, b)]
    if min(map(len, runs)) >= statistic.FEWEST_RUNS and all(value > 0 for run in runs for value in run):
        return statistic.of_runs(runs[0], runs[1], confidence)
    if not math.isfinite(exact) or exact <= 0:
        return statistic.unknown(exact, "nothing to compare with")
    return statistic.of_intervals(exact, _series(a, name), _series(b, name), confidence, name != "per_second")


def side_of_margin(name: str, value: Ratio, margin: float) -> str:
    """More latency is slower, more operations a second are faster."""
    if not value.known:
        return CANNOT_TELL
    above, below = (FASTER, SLOWER) if name == "per_second" else (SLOWER, FASTER)
    return above if value.low > 1 + margin else below if value.high < 1 / (1 + margin) else CANNOT_TELL


def judge(ratios: dict[str, Ratio], margin: float) -> str:
    said = {side_of_margin(name, value, margin) for name, value in ratios.items()
            if name in (JUDGED_OF_RUNS if value.of_runs else JUDGED_OF_INTERVALS)} - {CANNOT_TELL}
    return MIXED if len(said) == 2 else said.pop() if said else CANNOT_TELL


def compare(a: Side, b: Side, confidence: float, margin: float) -> list[Line]:
    repeated = min(len(a.runs), len(b.runs)) >= statistic.FEWEST_RUNS
    each = 1 - (1 - confidence) / len(JUDGED_OF_RUNS if repeated else JUDGED_OF_INTERVALS)  # Bonferroni: the verdict as a whole is as sure as was asked for
    lines = []
    for key in a.operations:
        if key in b.operations:
            of_a, of_b = a.operations[key], b.operations[key]
            ratios = {name: ratio(of_a, of_b, name, each) for name in SHOWN}
            names = (*QUANTILES, "max", "mean", "per_second", "rows_per_second")
            figures = {name: (of_a.figure(name), of_b.figure(name)) for name in names}
            lines.append(Line(key, ratios, figures, judge(ratios, margin), of_a.client_limited or of_b.client_limited))
    if not lines:
        raise cli.Refused(f"{a.name} and {b.name} have no operation of the load in common")
    return lines


def _given(run: Result) -> list[str]:
    """Options with a value of the job's own. One that only a newer program knows makes no difference at its default."""
    rows = run.get("/job/options")
    return list(rows["option"][rows["origin"] != "default"]) if len(rows) else []


def differences(a: Result, b: Result) -> list[tuple[str, str, str]]:
    """What was not the same about the two, beside what was measured: (what, of A, of B)."""
    names = ("server_version", "program_version", "dataset", "np", "nodes")
    found = [(name, str(a.attribute(name)), str(b.attribute(name))) for name in names if a.attribute(name) != b.attribute(name)]
    given = {*_given(a), *_given(b)}
    for option in dict.fromkeys([*a.options, *b.options]):
        both = option in a.options and option in b.options
        if a.options.get(option) != b.options.get(option) and (both or option in given) and option not in ("server.uri", "server.token"):
            found.append((option, a.options.get(option, "not there"), b.options.get(option, "not there")))
    return found


def notes(a: Side, b: Side) -> list[str]:
    """What a reader must know before any verdict: runs that are no good, jobs that are not the same."""
    said = [f"{letter} {run.path.name} is no sound run: {run.attribute('verdict')}"
            for letter, whole in (("A", a), ("B", b)) for run in whole.runs if run.attribute("exit_code", 3) > 1]
    other = [what for what, _, _ in differences(a.runs[0], b.runs[0]) if what.startswith("stages.") or what == "np"]
    if other:
        said.append(f"A and B did not do the same work: {', '.join(other[:4])}{f' and {len(other) - 4} more' if len(other) > 4 else ''} differ{'s' if len(other) == 1 else ''}, so that what changed may be the job")
    return said


def confidence_from(lines: list[Line]) -> str:
    known = [line.ratios["p50"] for line in lines if line.ratios["p50"].known]
    alone = "; the verdict rests on the p50 alone, and says that these runs differ: how far runs of one job differ, 3 a side can show" if known and not known[0].of_runs else ""
    means = "; what changed is the ratio of the runs' geometric means, the figures are of all their operations together" if known and known[0].of_runs else ""
    return f"from {known[0].how}{alone}{means}" if known else "of which there are none here: the runs are too short"


def unmatched(a: Side, b: Side) -> list[str]:
    return [f"{' '.join(key)}: only in {which.name}" for which, other in ((a, b), (b, a)) for key in which.operations if key not in other.operations]


# --- saying it -----------------------------------------------------------------------------------------------------------------


def change(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{(value - 1) * 100:+.1f}%" if value < 10 else f"{units.digits(value)}x"


def interval(value: Ratio) -> str:
    return f"{change(value.low)} to {change(value.high)}" if value.known else value.how


def amount(name: str, value: float | None) -> str:
    if value is None:
        return "not measured"
    if name in ("errors", "recall"):
        return units.percent(value) if name == "errors" else units.recall(value)
    return f"{units.digits(value)}/s" if name.endswith("per_second") else units.integer(value) if name == "violations" else units.duration(value)


LABELS = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9", "max": "longest", "mean": "mean", "per_second": "rate", "rows_per_second": "rows"}


def as_text(a: Side, b: Side, lines: list[Line], held: list[gates.Held], confidence: float, margin: float) -> str:
    out = [f"A {a.name}  ->  B {b.name}", *(f"NOTE {note}" for note in notes(a, b)), ""]
    for line in lines:
        star = "  * client-limited" if line.client_limited else ""
        out.append(f"{line.name}: {line.verdict.upper()}{star}")
        for name in SHOWN:
            of_a, of_b = line.figures[name]
            out.append(f"    {LABELS[name]:5} {amount(name, of_a):>10} -> {amount(name, of_b):>10}  {change(line.ratios[name].value):>8}"
                       f"   ({interval(line.ratios[name])})")
    plain_a, plain_b = a.plain(), b.plain()
    out.append("")
    out += [f"{name:10} {amount(name, plain_a[name])} -> {amount(name, plain_b[name])}" for name in plain_a]
    out += [f"differs    {what}: {of_a} -> {of_b}" for what, of_a, of_b in differences(a.runs[0], b.runs[0])]
    out += [f"left out   {what}" for what in unmatched(a, b)]
    if any(line.client_limited for line in lines):
        out.append("* client-limited in A or B: what changed may be this client")
    out.append(f"\nIntervals of {confidence:.0%} confidence for each operation, margin {margin:.0%}; {confidence_from(lines)}.")
    out += [f"GATE {'held  ' if gate.held else 'FAILED'}  {gate.text}: {gate.got}" for gate in held]
    return "\n".join(out) + "\n"


def as_json(a: Side, b: Side, lines: list[Line], held: list[gates.Held], confidence: float, margin: float) -> str:
    def bound(value: float) -> float | None:
        return value if math.isfinite(value) else None

    whole = {
        "a": [str(run.path) for run in a.runs], "b": [str(run.path) for run in b.runs], "confidence": confidence, "margin": margin,
        "operations": [{
            "stage": line.key[0], "role": line.key[1], "op": line.key[2], "verdict": line.verdict, "client_limited": line.client_limited,
            "figures": {name: {"a": of_a, "b": of_b} for name, (of_a, of_b) in line.figures.items()},
            "ratios": {name: {"ratio": bound(value.value), "low": bound(value.low), "high": bound(value.high), "from": value.how}
                       for name, value in line.ratios.items()},
        } for line in lines],
        "totals": {"a": a.plain(), "b": b.plain()},
        "notes": notes(a, b),
        "differences": [{"what": what, "a": of_a, "b": of_b} for what, of_a, of_b in differences(a.runs[0], b.runs[0])],
        "left_out": unmatched(a, b),
        "gates": [{"gate": gate.text, "held": gate.held, "got": gate.got} for gate in held],
    }
    return json.dumps(whole, indent=2, allow_nan=False) + "\n"


# --- pictures -------------------------------------------------------------------------------------------------------------------


def change_axis(axis: Axes, low: float, high: float, most: int) -> None:
    """Ratios on a log scale, where twice and half are as far from none, labelled as people say them."""
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    fine = [0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 1, 1.01, 1.02, 1.03, 1.05, 1.1, 1.25, 1.5]
    coarse = [0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 2, 3, 5, 10, 20, 50, 100, 1000]
    ticks = [tick for tick in sorted(fine + coarse) if low <= tick <= high]
    gap = math.log(high / low) / most
    kept = [1.0]
    for tick in sorted(ticks, key=lambda tick: abs(math.log(tick))):
        if all(abs(math.log(tick / other)) >= gap for other in kept):
            kept.append(tick)
    axis.set_xticks(kept, ["same" if tick == 1 else f"{tick:g}x" if tick >= 2 or tick <= 0.5 else change(tick).replace(".0", "") for tick in kept])
    axis.minorticks_off()
    axis.set_xlabel("B against A")


def ratio_picture(lines: list[Line]) -> Picture:
    rows = pd.DataFrame([{"operation": line.name, "figure": LABELS[name], "ratio": value.value, "low": value.low, "high": value.high}
                         for line in lines for name, value in line.ratios.items()])

    def draw(canvas: Canvas) -> Figure:
        figure, axes = canvas.figure(1.0 + 0.62 * len(lines), 1, 1)
        axis = axes[0, 0]
        reach = rows[["ratio", "low", "high"]].replace([math.inf, -math.inf, 0.0], np.nan).to_numpy()
        for at, line in enumerate(reversed(lines)):
            for step, (name, colour, marker) in enumerate((("p50", "s0", "o"), ("p99", "s1", "s"), ("per_second", "s2", "D"))):
                value, y = line.ratios[name], at + 0.24 - 0.24 * step
                if value.known:
                    axis.plot([value.low, value.high], [y, y], color=canvas.palette[colour], linewidth=2.4, solid_capstyle="butt")
                axis.plot([value.value], [y], marker=marker, color=canvas.palette[colour], linestyle="none", fillstyle="full" if value.known else "none",
                          label=LABELS[name] if at == 0 else None)
        axis.axvline(1, color=canvas.palette["muted"], linewidth=1)
        change_axis(axis, min(0.94, float(np.nanmin(reach))) / 1.02, max(1.06, float(np.nanmax(reach))) * 1.02, 5 if canvas.narrow else 9)
        names = [line.name if not canvas.narrow else "\n".join(line.key[1:]) for line in reversed(lines)]
        axis.set_yticks(range(len(lines)), names)
        axis.set_ylim(-0.6, len(lines) - 0.4)
        canvas.legend_above(figure, axis, 3)
        return figure

    return Picture("ratios", "What changed", "B against A, with its interval of confidence. Right of the line is more: more latency is worse, a higher rate is "
                   "better. A hollow mark has no interval.", rows, draw)


def tail_picture(a: Side, b: Side, lines: list[Line]) -> Picture:
    parts = []
    for line in lines[:MOST_PANELS]:
        for letter, one in (("A", a), ("B", b)):
            latency, share = _thin(*one.operations[line.key].histogram.tail())
            parts.append(pd.DataFrame({"operation": line.name, "side": letter, "percentile": 100 * (1 - share), "latency_ns": latency}))
    rows = pd.concat(parts, ignore_index=True)
    names = [line.name for line in lines[:MOST_PANELS]]

    def draw(canvas: Canvas) -> Figure:
        columns = 1 if canvas.narrow else min(len(names), 2)
        depth = math.ceil(len(names) / columns)
        figure, axes = canvas.figure(3.1 * depth + 0.4, depth, columns)
        for axis, name in zip(axes.flat, names, strict=False):
            most = 10.0
            for letter, colour, dash in (("A", "s0", "-"), ("B", "s1", (0, (4, 1.5)))):
                line = rows[(rows["operation"] == name) & (rows["side"] == letter)]
                one_in = 1 / np.maximum(1 - line["percentile"] / 100, 1e-12)
                most = max(most, float(one_in.max()))
                axis.plot(one_in, line["latency_ns"], color=canvas.palette[colour], linestyle=dash, linewidth=1.8, drawstyle="steps-post", label=letter)
            tail_axis(axis, most)
            duration_axis(axis)
            canvas.title(axis, name)
        for axis in axes.flat[len(names) :]:
            axis.set_visible(False)
        canvas.legend_above(figure, axes[0, 0], 2)
        return figure

    return Picture("tails", "Latency by percentile", "From due time, from the whole histograms; runs of a side added up. Solid: A, dashed: B.", rows, draw)


def as_html(a: Side, b: Side, lines: list[Line], held: list[gates.Held], confidence: float, margin: float) -> str:
    drawn = [ratio_picture(lines), tail_picture(a, b, lines)]
    views = [{"picture": picture, "wide": picture.inline(False), "narrow": picture.inline(True), "csv": embedded(picture.csv())} for picture in drawn]
    rows = [{"line": line, "cells": [(LABELS[name], amount(name, line.figures[name][0]), amount(name, line.figures[name][1]), change(line.ratios[name].value),
                                      interval(line.ratios[name])) for name in SHOWN]} for line in lines]
    plain_a, plain_b = a.plain(), b.plain()
    totals = [(name, amount(name, plain_a[name]), amount(name, plain_b[name])) for name in plain_a]
    return page.render("compare.html.j2", {
        "a": a, "b": b, "rows": rows, "held": held, "pictures": views, "totals": totals, "differences": differences(a.runs[0], b.runs[0]),
        "notes": notes(a, b), "left_out": unmatched(a, b), "confidence": f"{confidence:.0%}", "margin": f"{margin:.0%}", "how": confidence_from(lines),
        "counts": {word: sum(line.verdict == word for line in lines) for word in (FASTER, SLOWER, MIXED, CANNOT_TELL)},
    })


def name_of(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def run(words: Sequence[str]) -> int:
    parser = cli.parser("compare", "Compares results of milvus-hpc: is B faster or slower than A, or can one not tell?", EPILOG)
    parser.add_argument("runs", type=Path, nargs="+", metavar="A.h5", help="A and B; with --against, all runs of A")
    parser.add_argument("--against", type=Path, nargs="+", metavar="B.h5", help="all runs of B")
    parser.add_argument("--gate", action="append", default=[], metavar="RULE", help="exit code 1 when it does not hold; may be repeated")
    parser.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="of each operation's verdict (default: %(default)s)")
    parser.add_argument("--margin", type=float, default=0.03, metavar="SHARE", help="differences up to this are none (default: %(default)s)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as a page too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON too")
    arguments = parser.parse_args(words)
    if not 0.5 <= arguments.confidence < 1 or not 0 <= arguments.margin < 1:
        raise cli.Refused("--confidence wants 0.5 to below 1, --margin 0 to below 1")
    if not arguments.against and len(arguments.runs) != 2:
        raise cli.Refused("give two results, A.h5 B.h5, or A.h5... --against B.h5...")
    paths_a, paths_b = (arguments.runs, arguments.against) if arguments.against else (arguments.runs[:1], arguments.runs[1:])
    rules = [gates.parse(rule) for rule in arguments.gate]
    a, b = side(name_of(paths_a), paths_a), side(name_of(paths_b), paths_b)
    lines = compare(a, b, arguments.confidence, arguments.margin)
    held = [outcome for rule in rules for outcome in gates.check(rule, lines, a.plain(), b.plain())]
    said = (a, b, lines, held, arguments.confidence, arguments.margin)
    if arguments.html:
        cli.write_text(arguments.html, as_html(*said))
    if arguments.json:
        cli.write_text(arguments.json, as_json(*said))
    print(as_text(*said), end="")
    return cli.GOOD if all(gate.held for gate in held) else cli.MISSED


if __name__ == "__main__":
    cli.main("compare", run)
