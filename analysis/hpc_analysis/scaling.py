"""analysis/scaling: many runs in three pictures: rate by ranks, latency by rate, rate by recall."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hpc_analysis import cli, page, series, units
from hpc_analysis.picture import DASHES, MARKERS, Canvas, Picture, count_axis, duration_axis, rate_axis
from hpc_analysis.report import embedded, save_pictures
from hpc_analysis.result import Result, load

MOST_LINES = 8
NO_RATE = ("", "0", "0/s", "[]")
STEP = re.compile(r"\S+ +for +([0-9.]+) *(ns|us|ms|s|m|h|d)")
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
EPILOG = """\
The page has what the runs have data for:
  scaling         operations a second by number of ranks, beside the ideal; efficiency. Strong: the same workers on more ranks; weak: as many
                  more workers as ranks. Wants runs of different -np. Runs with a --label in common are a series of their own
                  (slurm/scaling.sbatch labels its runs strong and weak), and so are those of each value of an option that has several on
                  the same number of ranks (slurm/array.sbatch).
  latency by rate p99 at the rate achieved: from find_max's probes, from a role's steps, and one point from each run of a role with a rate
  recall by rate  as ann-benchmarks draws it: searches a second by recall; the line joins the settings that no other one beats in both

  analysis/scaling results/crud-np*.h5 -o scaling.html
  analysis/scaling results/scaling-JOB/*.h5 -o scaling.html
  analysis/scaling results/hnsw-ef*.h5 results/ivf-nprobe*.h5 -o recall.html --pictures figures/

exit codes: 0 written, 3 usage, a file that is not a whole and sound result, or runs that have nothing to compare"""


def work(result: Result) -> pd.DataFrame:
    """Operations of the load that succeeded, without stages of find_max, whose probes stand together."""
    rows = result.operations
    searched = set(result.get("/find_max")["stage"]) if result.has("/find_max") else set()
    return rows[(rows["stage"] != "verify") & ~rows["stage"].isin(searched) & (rows["ok"] > 0)]


def is_paced(run: Result, row: Any) -> bool:
    """By a rate or steps: then its rate is what was asked for, not what could be done."""
    return any(series.option(run, row.stage, row.instance, name) not in NO_RATE for name in ("rate", "steps"))


# --- ranks -----------------------------------------------------------------------------------------------------------------


def workers_of(result: Result, stage: str, role: str) -> int:
    rows, stages = result.get("/workers"), series.stages(result)
    if not len(rows) or stage not in stages:
        return 0
    return int(((rows["part"] == result.attribute("part")) & (rows["role"] == role) & (rows["stage"] == stages.index(stage))).sum())


def kind_of(rows: pd.DataFrame) -> str:
    """Strong, weak or neither, from how the number of workers follows the number of ranks."""
    by_ranks = rows.groupby("ranks")["workers"].mean()
    if by_ranks.nunique() == 1:
        return "strong"
    each = by_ranks / by_ranks.index
    return "weak" if each.max() / each.min() < 1.02 else "mixed"


def scaling_rows(runs: Sequence[Result]) -> pd.DataFrame:
    frame = pd.DataFrame([{"operation": f"{row.stage} {row.instance} {row.op}", "at": at, "stage": row.stage, "ranks": int(run.attribute("np", 1)),
                           "nodes": int(run.attribute("nodes", 1)), "workers": workers_of(run, row.stage, row.role), "per_second": row.per_second,
                           "rows_per_second": row.rows_per_second, "p99_ns": row.due_p99_ns, "client_limited": bool(row.client_limited), "run": run.file}
                          for at, run in enumerate(runs) for row in work(run).itertuples() if not is_paced(run, row)])
    if frame.empty:
        return frame
    frame = pd.concat([with_series(rows, runs) for _, rows in frame.groupby("operation", sort=False)])
    counts = frame.groupby("operation")["ranks"].nunique()
    frame = frame[frame["operation"].isin(counts[counts > 1].index)].reset_index(drop=True)
    return with_efficiency(frame).drop(columns=["at", "stage"]) if len(frame) else frame


def with_series(rows: pd.DataFrame, runs: Sequence[Result]) -> pd.DataFrame:
    """Of one operation: the name of the series behind its own, and what goes with the ranks."""
    found = series.series_of([series.Point(runs[row.at], row.stage, row.ranks) for row in rows.itertuples()], (".count", "ranks"))
    names = [", ".join(filter(None, (row.operation, one.name))) for row, one in zip(rows.itertuples(), found, strict=True)]
    return rows.assign(operation=names, also_differs=[", ".join(one.following) for one in found])


def with_efficiency(frame: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for _, rows in frame.sort_values("ranks", kind="stable").groupby("operation", sort=False):
        fewest = rows["ranks"].min()
        base = rows.loc[rows["ranks"] == fewest, "per_second"].mean()
        speed_up = rows["per_second"] / base
        parts.append(rows.assign(kind=kind_of(rows), speed_up=speed_up, efficiency=speed_up / (rows["ranks"] / fewest)))
    return pd.concat(parts, ignore_index=True)


def lines(frame: pd.DataFrame, by: str) -> list[tuple[str, pd.DataFrame]]:
    return list(frame.groupby(by, sort=False))[:MOST_LINES]


def left_out(frame: pd.DataFrame, by: str) -> str:
    more = frame[by].nunique() - MOST_LINES
    return f" {MOST_LINES} lines are drawn; {more} more {'are' if more > 1 else 'is'} in the table alone." if more > 0 else ""


def mark_limited(axis: Axes, canvas: Canvas, index: int, x: pd.Series, y: pd.Series) -> None:
    """A hollow marker over the line's own."""
    axis.scatter(x, y, marker=MARKERS[index], s=26, facecolor=canvas.palette["paper"], edgecolor=canvas.palette.series(index), linewidth=1.3, zorder=3)


def hollow_words(frame: pd.DataFrame) -> str:
    return " Hollow marks, and rates with a *, may be this client's own limit rather than the server's." if frame["client_limited"].any() else ""


def _rank_axis(axis: Axes, frame: pd.DataFrame) -> None:
    """Numbers of ranks; below them those of the nodes, where there were several."""
    nodes = {ranks: sorted(of_ranks.unique()) for ranks, of_ranks in frame.groupby("ranks")["nodes"]}
    many = frame["nodes"].max() > 1
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(nodes), [f"{ranks:,}" + (f"\n{'/'.join(map(str, on))} node{'s' * (on != [1])}" if many else "") for ranks, on in nodes.items()])
    axis.minorticks_off()
    axis.set_xlabel("ranks, and what they ran on" if many else "ranks")


def name_of(operation: str, rows: pd.DataFrame) -> str:
    """With its kind, and with what is 1x."""
    kind, fewest = rows["kind"].iloc[0], rows["ranks"].min()
    base = rows.loc[rows["ranks"] == fewest, "per_second"].mean()
    return f"{operation}{'' if operation.endswith(f', {kind}') else f' ({kind})'}: 1x is {units.digits(base)}/s"


def by_ranks(runs: Sequence[Result]) -> Picture | None:
    frame = scaling_rows(runs)
    if frame.empty:
        return None

    def draw(canvas: Canvas) -> Figure:
        depth, width = (2, 1) if canvas.narrow else (1, 2)
        drawn = lines(frame, "operation")
        figure, axes = canvas.figure(6.2 + 0.3 * len(drawn) if canvas.narrow else 3.5 + 0.15 * len(drawn), depth, width)
        speed, efficiency = axes.flat
        for index, (name, rows) in enumerate(drawn):
            mean = rows.groupby("ranks")[["speed_up", "efficiency", "client_limited"]].mean()
            keywords = {"color": canvas.palette.series(index), "linestyle": DASHES[index], "marker": MARKERS[index], "markersize": 5, "linewidth": 1.7}
            speed.plot(mean.index, mean["speed_up"], label=name_of(name, rows), **keywords)
            efficiency.plot(mean.index, mean["efficiency"] * 100, **keywords)
            if len(rows) > len(mean):
                speed.scatter(rows["ranks"], rows["speed_up"], s=9, color=canvas.palette.series(index), alpha=0.5)
            limited = mean[mean["client_limited"] > 0]
            mark_limited(speed, canvas, index, limited.index, limited["speed_up"])
            mark_limited(efficiency, canvas, index, limited.index, limited["efficiency"] * 100)
        ranks = sorted(frame["ranks"].unique())
        speed.plot(ranks, np.array(ranks) / ranks[0], color=canvas.palette["muted"], linewidth=1, linestyle=(0, (1, 2)), label="ideal")
        speed.set_yscale("log", base=2)
        speed.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        canvas.title(speed, "Rate, as a multiple of that on its fewest ranks")
        efficiency.axhline(100, color=canvas.palette["muted"], linewidth=1, linestyle=(0, (1, 2)))
        efficiency.set_ylim(0, max(110, frame["efficiency"].max() * 105))
        efficiency.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
        canvas.title(efficiency, "Efficiency")
        for axis in (speed, efficiency):
            _rank_axis(axis, frame)
        canvas.legend_above(figure, speed, 1 if canvas.narrow or max(len(name) for name, _ in drawn) > 50 else 2)
        return figure

    caption = ("Operations a second on more ranks. Strong: the same workers on more ranks. Weak: as many more workers as ranks. Mixed: neither. "
               "Efficiency is the rate's multiple divided by that of the ranks. Roles with a rate of their own are left out.")
    if frame.duplicated(["operation", "ranks"]).any():
        caption += " Lines join the means of runs that are alike; small points are single runs."
    return Picture("ranks", "Scaling", caption + hollow_words(frame) + left_out(frame, "operation"), frame, draw)


# --- latency by rate -------------------------------------------------------------------------------------------------------------


def _of_probes(run: Result, title: str) -> pd.DataFrame:
    """Was it the client? That is known of a stage as a whole, by its last probe."""
    rows = run.get("/find_max")
    if rows.empty:
        return pd.DataFrame()
    limited = {row.stage for row in run.get("/max_rate").itertuples() if row.client_limited} if run.has("/max_rate") else set()
    return pd.DataFrame({"line": title + ": " + rows["stage"] + " " + rows["role"], "from": "find_max", "per_second": rows["achieved"],
                         "p50_ns": rows["p50_ns"], "p99_ns": rows["p99_ns"], "held": rows["held"].astype(bool), "client_limited": rows["stage"].isin(limited), "run": run.file})


def step_spans(steps: str) -> list[tuple[float, float]]:
    """Of a schedule without ramps: begin and end of each step, in s. Of another one none."""
    found, begin = [], 0.0
    for step in steps.strip("[]").split(","):
        parts = STEP.fullmatch(step.strip(" \"'"))
        if not parts:
            return []
        found.append((begin, begin + float(parts[1]) * SECONDS[parts[2]]))
        begin = found[-1][1]
    return found


def step_of(rows: pd.DataFrame, spans: Sequence[tuple[float, float]]) -> pd.Series:
    """Which step each interval lies in for certain: the schedule began at some time within the first one."""
    first, length = rows["second"].min(), rows["interval_s"]
    at = pd.Series(np.nan, index=rows.index)
    for number, (begin, end) in enumerate(spans):
        at[(rows["second"] >= first + begin + (length if number else 0)) & (rows["second"] + length <= first + end)] = number
    return at


def level_of(rows: pd.DataFrame, steps: str) -> pd.Series:
    """Intervals that make a point: those of a step; of ramps, and of steps too short to tell, those of about the same rate."""
    spans = step_spans(steps)
    at = step_of(rows, spans)
    if spans and at.nunique() == len(spans):
        return at
    inner = rows["per_second"].iloc[1:-1] if len(rows) > 4 else rows["per_second"]  # the ends are parts of an interval
    return np.round(np.log2(inner.clip(lower=1e-9)) * 4).reindex(rows.index)  # four levels for each power of two


def _of_steps(run: Result, title: str) -> pd.DataFrame:
    timeline, parts = run.get("/timeline"), []
    for row in work(run).itertuples():
        steps = series.option(run, row.stage, row.instance, "steps")
        if steps in NO_RATE:
            continue
        rows = timeline[(timeline["stage"] == row.stage) & (timeline["role"] == row.role) & (timeline["op"] == row.op)]
        rows = rows.assign(per_second=rows["ok"] / rows["interval_s"])
        grouped = rows[rows["ok"] > 0].groupby(level_of(rows, steps))[["per_second", "p50_ns", "p99_ns"]].median()
        parts.append(grouped.assign(line=f"{title}: {row.stage} {row.instance} {row.op}", **{"from": "steps"}, held=True,
                                    client_limited=bool(row.client_limited), run=run.file))
    return pd.concat(parts) if parts else pd.DataFrame()


def _rate_points(runs: Sequence[Result]) -> pd.DataFrame:
    return pd.DataFrame([{"line": f"{row.stage} {row.instance} {row.op}", "at": at, "stage": row.stage, "wanted": rate, "from": "rates",
                          "per_second": row.per_second, "p50_ns": row.due_p50_ns, "p99_ns": row.due_p99_ns, "held": True, "client_limited": bool(row.client_limited),
                          "run": run.file}
                         for at, run in enumerate(runs) for row in work(run).itertuples()
                         if (rate := series.option(run, row.stage, row.instance, "rate")) not in NO_RATE and row.due_p99_ns > 0])


def _of_rates(runs: Sequence[Result]) -> pd.DataFrame:
    """One point of each role with a rate. Runs of one job at several rates make a line."""
    frame = _rate_points(runs)
    if frame.empty:
        return frame
    parts = []
    for line, rows in frame.groupby("line", sort=False):
        found = series.series_of([series.Point(runs[row.at], row.stage, row.wanted) for row in rows.itertuples()], (".rate",))
        parts.append(rows.assign(line=[", ".join(filter(None, (line, one.name))) for one in found], also_differs=[", ".join(one.following) for one in found]))
    frame = pd.concat(parts)
    counts = frame.groupby("line")["wanted"].nunique()
    return frame[frame["line"].isin(counts[counts > 1].index)].drop(columns=["at", "stage", "wanted"])


def titles(runs: Sequence[Result]) -> list[str]:
    """Their labels, where no two runs have the same one."""
    labels = [str(run.attribute("label")) for run in runs]
    return labels if all(labels) and len(set(labels)) == len(runs) else [run.file for run in runs]


def rate_rows(runs: Sequence[Result]) -> pd.DataFrame:
    own = (make(run, title) for run, title in zip(runs, titles(runs), strict=True) for make in (_of_probes, _of_steps))
    parts = [part for part in (*own, _of_rates(runs)) if len(part)]
    return pd.concat(parts, ignore_index=True).sort_values(["line", "per_second"]).reset_index(drop=True) if parts else pd.DataFrame()


def by_rate(runs: Sequence[Result]) -> Picture | None:
    frame = rate_rows(runs)
    if frame.empty:
        return None

    def draw(canvas: Canvas) -> Figure:
        figure, axes = canvas.figure(4.2, 1, 1)
        axis = axes[0, 0]
        for index, (name, rows) in enumerate(lines(frame, "line")):
            held, missed = rows[rows["held"]], rows[~rows["held"]]
            axis.plot(held["per_second"], held["p99_ns"], color=canvas.palette.series(index), linestyle=DASHES[index], marker=MARKERS[index], markersize=5,
                      linewidth=1.6, label=name)
            axis.scatter(missed["per_second"], missed["p99_ns"], color=canvas.palette.series(index), marker="x", s=34)
            limited = held[held["client_limited"]]
            mark_limited(axis, canvas, index, limited["per_second"], limited["p99_ns"])
        rate_axis(axis)
        duration_axis(axis, label="p99 from due")
        canvas.legend_above(figure, axis, 1 if canvas.narrow else 2)
        return figure

    caption = "The 99th percentile from due time at the rate achieved; down and to the right is better."
    if (frame["from"] == "steps").any():
        caption += " Of steps: the median of their intervals' rates and percentiles."
    if not frame["held"].all():
        caption += " Crosses are probes of find_max that missed what was wanted."
    return Picture("rate", "Latency by rate", caption + hollow_words(frame) + left_out(frame, "line"), frame, draw)


# --- recall by rate ----------------------------------------------------------------------------------------------------------------


def of_searchers(run: Result) -> dict[tuple[str, str], tuple[float, bool]]:
    """By stage and role, of those that go as fast as they can: searches a second, each of a request's nq counted, and is it the client's limit?"""
    maxima = {(row.stage, row.role): row.max_rate for row in run.get("/max_rate").itertuples()} if run.has("/max_rate") else {}
    found: dict[tuple[str, str], tuple[float, bool]] = {}
    for row in run.operations[run.operations["op"] == "search"].itertuples():
        key = (row.stage, row.role)
        rate = 0.0 if is_paced(run, row) or (key in maxima and key in found) else maxima.get(key, row.per_second) * int(series.option(run, row.stage, row.instance, "nq") or 1)
        before, limited = found.get(key, (0.0, False))
        found[key] = before + rate, limited or bool(row.client_limited)
    return found


def recall_rows(runs: Sequence[Result]) -> pd.DataFrame:
    rows = []
    for run in runs:
        rates = of_searchers(run)
        for (stage, role), found in run.get("/recall").groupby(["stage", "role"], sort=False) if run.has("/recall") else ():
            rate, limited = rates.get((stage, role), (0.0, False))
            if rate > 0:
                rows.append({"line": run.options.get("collection.index.type", "no index"), "recall": found["found"].sum() / found["wanted"].sum(),
                             "per_second": rate, "compared": len(found), "topk": "/".join(map(str, sorted(found["topk"].unique()))), "stage": stage,
                             "role": role, "params": parameters(run, stage, role), "client_limited": limited, "run": run.file,
                             **{name: str(run.attribute(attribute)) for name, attribute in series.ABOUT.items()}})
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    for name in ("topk", *series.ABOUT):  # points of which one is not better than the other
        if frame[name].nunique() > 1:
            frame["line"] += f", {name.replace('_', ' ')} " + frame[name]
    frame = frame.sort_values(["line", "recall"], ignore_index=True)
    return frame.drop(columns=list(series.ABOUT)).assign(frontier=on_frontier(frame))


def parameters(run: Result, stage: str, role: str) -> str:
    found = [value for option, value in run.options.items() if re.match(rf"stages\.{re.escape(stage)}\.{re.escape(role)}[.\[]", option) and option.endswith("params")]
    return " / ".join(value for value in found if value not in ("", "{}"))


def on_frontier(frame: pd.DataFrame) -> pd.Series:
    """Of each line: is there no other point with as much recall and a higher rate, or the reverse?"""
    kept = pd.Series(False, index=frame.index)
    for _, rows in frame.groupby("line"):
        best = -np.inf
        for at, row in rows.sort_values(["recall", "per_second"], ascending=False).iterrows():
            if row["per_second"] > best:
                kept[at], best = True, row["per_second"]
    return kept


def by_recall(runs: Sequence[Result]) -> Picture | None:
    frame = recall_rows(runs)
    if frame.empty:
        return None

    def draw(canvas: Canvas) -> Figure:
        drawn = lines(frame, "line")
        figure, axes = canvas.figure(4.2, 1, 1)
        axis = axes[0, 0]
        for index, (name, rows) in enumerate(drawn):
            colour, marker = canvas.palette.series(index), MARKERS[index]
            best = rows[rows["frontier"]].sort_values("recall")
            axis.plot(best["recall"], best["per_second"], color=colour, linestyle=DASHES[index], marker=marker, markersize=6, linewidth=1.7, label=str(name))
            rest = rows[~rows["frontier"]]
            axis.scatter(rest["recall"], rest["per_second"], color=colour, marker=marker, s=16, alpha=0.4)
            limited = best[best["client_limited"]]
            mark_limited(axis, canvas, index, limited["recall"], limited["per_second"])
        low = float(frame["recall"].min())
        axis.set_xlim(max(0, low - 0.03 - (1 - low) * 0.05), 1.005)
        rate_axis(axis, "y", "searches/s")
        count_axis(axis, "recall: share of the true neighbours found", "x")
        axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        canvas.legend_above(figure, axis, canvas.columns([name for name, _ in drawn], 4))
        return figure

    caption = ("As ann-benchmarks draws it: up and to the right is better. Each point is a role of a run; the line joins those that no other one of the index type "
               "beats in both. Each query vector counts as a search. Of find_max the rate is the highest confirmed; roles with a rate of their own are left out.")
    return Picture("recall", "Searches a second by recall", caption + hollow_words(frame) + left_out(frame, "line"), frame, draw)


EVERY: list[Callable[[Sequence[Result]], Picture | None]] = [by_ranks, by_rate, by_recall]

# --- saying it ------------------------------------------------------------------------------------------------------------------------

TABLES = {
    "ranks": ["operation", "kind", "ranks", "nodes", "workers", ("per_second", "rate/s"), "speed_up", "efficiency", "p99_ns", "run"],
    "rate": ["line", "from", ("per_second", "rate/s"), "p50_ns", "p99_ns", "held", "run"],
    "recall": ["line", "topk", "recall", ("per_second", "searches/s"), "frontier", "stage", "role", "params", "run"],
}
WORDS = {"operation", "kind", "from", "held", "line", "frontier", "stage", "role", "params", "run", "topk"}


def cell(name: str, row: pd.Series) -> str:
    if name == "efficiency":
        return units.percent(float(row[name]))
    return units.shown(row[name], "ns" if name.endswith("_ns") else "recall" if name == "recall" else "") + ("*" if name == "per_second" and row["client_limited"] else "")


def table_of(picture: Picture) -> tuple[list[tuple[str, bool]], list[list[str]]]:
    """Labels, and is it a number?; rows."""
    columns = [(column, column.removesuffix("_ns").replace("_", " ")) if isinstance(column, str) else column for column in TABLES[picture.key]]
    return [(label, name not in WORDS) for name, label in columns], [[cell(name, row) for name, _ in columns] for _, row in picture.data.iterrows()]


def as_text(drawn: list[Picture], said: Sequence[tuple[str, str]]) -> str:
    out = [f"NOTE  {heading}: {sentence}" for heading, sentence in said] + [""] * bool(said)
    for picture in drawn:
        labels, rows = table_of(picture)
        widths = [max(map(len, column)) for column in zip([label for label, _ in labels], *rows, strict=True)]
        out.append(picture.title.upper())
        for words in ([label for label, _ in labels], *rows):
            out.append("  " + "  ".join(word.rjust(width) if number else word.ljust(width)
                                        for word, width, (_, number) in zip(words, widths, labels, strict=True)).rstrip())
        out.append("")
    return "\n".join(out)


def notes(runs: Sequence[Result], drawn: Sequence[Picture]) -> list[tuple[str, str]]:
    """What a reader must know before any line: (heading, sentence)."""
    said = [("Not a good run", f"{run.file}: {run.attribute('verdict')}") for run in runs if run.attribute("exit_code", 3) > 1]
    limited = sorted({name for picture in drawn for name in picture.data.loc[picture.data["client_limited"], "run"]})
    if limited:
        said.append(("Client-limited", f"What has a * may be this client's own limit rather than the server's, in {', '.join(limited)}"))
    for picture in drawn:
        found = picture.data["also_differs"].dropna().unique() if "also_differs" in picture.data else ()
        following = sorted({option for options in found for option in options.split(", ") if option})
        if following:
            shown = ", ".join(following[:4]) + (f" and {len(following) - 4} more" if len(following) > 4 else "")
            said.append((f"{picture.title}: the runs of a line differ in more", f"{shown}; what changes along it may come of that"))
    seen = {name for picture in drawn for name in picture.data["run"]}
    return said + unused(runs, seen)


def unused(runs: Sequence[Result], drawn: set[str]) -> list[tuple[str, str]]:
    left = [run.file for run in runs if run.file not in drawn]
    return [("Left out", f"{', '.join(left)}: nothing in common with another run that a line could join")] if left else []


def as_html(runs: Sequence[Result], drawn: list[Picture], said: Sequence[tuple[str, str]]) -> str:
    views = [{"picture": picture, "wide": picture.inline(False), "narrow": picture.inline(True), "csv": embedded(picture.csv()), "table": table_of(picture)}
             for picture in drawn]
    return page.render("scaling.html.j2", {"runs": runs, "pictures": views, "notes": said})


def loaded(paths: Sequence[Path]) -> list[Result]:
    runs, seen = [load(path) for path in paths], {}
    for run in runs:  # a run and its copy would pass for two that agree
        if (first := seen.setdefault(run.attribute("run_id"), run.path)) is not run.path:
            raise cli.Refused(f"{run.path}: is the same run as {first}")
    if len({run.path.name for run in runs}) < len(runs):
        common = os.path.commonpath([run.path.resolve().parent for run in runs])
        for run in runs:
            run.file = str(run.path.resolve().relative_to(common))
    return runs


def run(words: Sequence[str]) -> int:
    parser = cli.parser("scaling", "Draws many results of milvus-hpc together: rate by ranks, latency by rate, rate by recall.", EPILOG)
    parser.add_argument("results", type=Path, nargs="+", metavar="RUN.h5", help="the result files")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="write them as a page")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="each picture as SVG and PNG, its data as CSV")
    arguments = parser.parse_args(words)
    runs = loaded(arguments.results)
    drawn = [picture for make in EVERY if (picture := make(runs)) is not None]
    if not drawn:
        raise cli.Refused("these runs have nothing to compare: no operation with the same options on two numbers of ranks or at two rates, no find_max or steps, "
                          "no recall of searches that go as fast as they can")
    said = notes(runs, drawn)
    if arguments.output:
        cli.write_text(arguments.output, as_html(runs, drawn, said))
    if arguments.pictures:
        save_pictures(drawn, arguments.pictures)
    print(as_text(drawn, said), end="")
    return cli.GOOD


if __name__ == "__main__":
    cli.main("scaling", run)
