"""analysis/scaling: many runs in three pictures: rate by ranks, latency by rate, rate by recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hpc_analysis import cli, page, units
from hpc_analysis.picture import DASHES, MARKERS, Canvas, Picture, count_axis, duration_axis, rate_axis
from hpc_analysis.report import embedded, save_pictures
from hpc_analysis.result import Result, load

MOST_LINES = 8
EPILOG = """\
The page has what the runs have data for:
  scaling         operations a second by number of ranks, beside the ideal; efficiency. Strong: the same workers on more ranks; weak: as many
                  more workers as ranks. Wants runs of different -np. Runs with a --label in common are a series of their own
                  (slurm/scaling.sbatch labels its runs strong and weak).
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


# --- ranks -----------------------------------------------------------------------------------------------------------------


def workers_of(result: Result, role: str) -> int:
    rows = result.get("/workers")
    return int((rows["role"] == role).sum()) if len(rows) else 0


def kind_of(rows: pd.DataFrame) -> str:
    """Strong, weak or neither, from how the number of workers follows the number of ranks."""
    by_ranks = rows.groupby("ranks")["workers"].mean()
    if by_ranks.nunique() == 1:
        return "strong"
    each = by_ranks / by_ranks.index
    return "weak" if each.max() / each.min() < 1.02 else "mixed"


def series_of(runs: Sequence[Result]) -> list[str]:
    """Of each run, what is put behind its operations' names: its label, if each label stands for several numbers of ranks."""
    labels = [str(run.attribute("label")) for run in runs]
    ranks = pd.Series([int(run.attribute("np", 1)) for run in runs]).groupby(labels).nunique()
    return [f", {label}" if label else "" for label in labels] if len(ranks) > 1 and (ranks > 1).all() else [""] * len(runs)


def scaling_rows(runs: Sequence[Result]) -> pd.DataFrame:
    rows = [{"operation": f"{row.stage} {row.instance} {row.op}{series}", "ranks": int(run.attribute("np", 1)), "nodes": int(run.attribute("nodes", 1)),
             "workers": workers_of(run, row.role), "per_second": row.per_second, "rows_per_second": row.rows_per_second, "p99_ns": row.due_p99_ns,
             "client_limited": bool(row.client_limited), "run": run.path.name} for run, series in zip(runs, series_of(runs), strict=True)
            for row in work(run).itertuples()]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    counts = frame.groupby("operation")["ranks"].nunique()
    frame = frame[frame["operation"].isin(counts[counts > 1].index)].reset_index(drop=True)
    return with_efficiency(frame) if len(frame) else frame


def with_efficiency(frame: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for _, rows in frame.groupby("operation", sort=False):
        fewest = rows["ranks"].min()
        base = rows.loc[rows["ranks"] == fewest, "per_second"].mean()
        speed_up = rows["per_second"] / base
        parts.append(rows.assign(kind=kind_of(rows), speed_up=speed_up, efficiency=speed_up / (rows["ranks"] / fewest)))
    return pd.concat(parts, ignore_index=True)


def lines(frame: pd.DataFrame, by: str) -> list[tuple[str, pd.DataFrame]]:
    return list(frame.groupby(by, sort=False))[:MOST_LINES]


def _rank_axis(axis: Axes, frame: pd.DataFrame) -> None:
    """Numbers of ranks; below them those of the nodes, where there were several."""
    nodes = {ranks: sorted(of_ranks.unique()) for ranks, of_ranks in frame.groupby("ranks")["nodes"]}
    many = frame["nodes"].max() > 1
    axis.set_xscale("log", base=2)
    axis.set_xticks(list(nodes), [f"{ranks:,}" + (f"\n{'/'.join(map(str, on))} node{'s' * (on != [1])}" if many else "") for ranks, on in nodes.items()])
    axis.minorticks_off()
    axis.set_xlabel("ranks, and what they ran on" if many else "ranks")


def name_of(operation: str, rows: pd.DataFrame) -> str:
    kind = rows["kind"].iloc[0]
    return operation if operation.endswith(f", {kind}") else f"{operation} ({kind})"


def by_ranks(runs: Sequence[Result]) -> Picture | None:
    frame = scaling_rows(runs)
    if frame.empty:
        return None

    def draw(canvas: Canvas) -> Figure:
        depth, width = (2, 1) if canvas.narrow else (1, 2)
        figure, axes = canvas.figure(6.4 if canvas.narrow else 3.9, depth, width)
        speed, efficiency = axes.flat
        for index, (name, rows) in enumerate(lines(frame, "operation")):
            mean = rows.groupby("ranks")[["speed_up", "efficiency"]].mean()
            keywords = {"color": canvas.palette.series(index), "linestyle": DASHES[index], "marker": MARKERS[index], "markersize": 5, "linewidth": 1.7}
            speed.plot(mean.index, mean["speed_up"], label=name_of(name, rows), **keywords)
            efficiency.plot(mean.index, mean["efficiency"] * 100, **keywords)
            speed.scatter(rows["ranks"], rows["speed_up"], s=9, color=canvas.palette.series(index), alpha=0.5)
        ranks = sorted(frame["ranks"].unique())
        speed.plot(ranks, np.array(ranks) / ranks[0], color=canvas.palette["muted"], linewidth=1, linestyle=(0, (1, 2)), label="ideal")
        speed.set_yscale("log", base=2)
        speed.yaxis.set_major_formatter(lambda value, _: f"{value:g}x")
        canvas.title(speed, "Rate, as a multiple of that of the fewest ranks")
        efficiency.axhline(100, color=canvas.palette["muted"], linewidth=1, linestyle=(0, (1, 2)))
        efficiency.set_ylim(0, max(110, frame["efficiency"].max() * 105))
        efficiency.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
        canvas.title(efficiency, "Efficiency")
        for axis in (speed, efficiency):
            _rank_axis(axis, frame)
        canvas.legend_above(figure, speed, 1 if canvas.narrow else 2)
        return figure

    caption = ("Operations a second on more ranks. Strong: the same workers on more ranks. Weak: as many more workers as ranks. Mixed: neither. "
               "Small points are single runs. Efficiency is the rate's multiple divided by that of the ranks.")
    return Picture("ranks", "Scaling", caption, frame, draw)


# --- latency by rate -------------------------------------------------------------------------------------------------------------


def _of_probes(run: Result) -> pd.DataFrame:
    rows = run.get("/find_max")
    if rows.empty:
        return pd.DataFrame()
    return pd.DataFrame({"line": run.name + ": " + rows["stage"] + " " + rows["role"], "from": "find_max", "per_second": rows["achieved"],
                         "p50_ns": rows["p50_ns"], "p99_ns": rows["p99_ns"], "held": rows["held"].astype(bool)})


def _of_steps(run: Result) -> pd.DataFrame:
    """Intervals of a role with steps, those of about the same rate together."""
    timeline, parts = run.get("/timeline"), []
    for option, value in run.options.items():
        if not option.endswith(".steps") or value in ("", "[]"):
            continue
        _, stage, role = option.split(".")[:3]
        rows = timeline[(timeline["stage"] == stage) & (timeline["role"] == role.partition("[")[0]) & (timeline["ok"] > 0)]
        for op, of_op in rows.groupby("op", sort=False):
            of_op = of_op.iloc[1:-1] if len(of_op) > 4 else of_op  # the ends are parts of an interval
            rate = of_op["ok"] / of_op["interval_s"]
            level = np.round(np.log2(rate.clip(lower=1e-9)) * 4)  # four levels for each power of two
            grouped = of_op.assign(per_second=rate).groupby(level)[["per_second", "p50_ns", "p99_ns"]].median()
            parts.append(grouped.assign(line=f"{run.name}: {stage} {role} {op}", **{"from": "steps"}, held=True))
    return pd.concat(parts) if parts else pd.DataFrame()


def _of_rates(run: Result) -> pd.DataFrame:
    """One point of each role with a rate. Runs of one job at several rates make a line."""
    rows = []
    for row in work(run).itertuples():
        rate = run.options.get(f"stages.{row.stage}.{row.role}.rate", "")
        if rate not in ("", "0", "0/s") and row.due_p99_ns > 0:
            rows.append({"line": f"{row.stage} {row.role} {row.op}", "from": "rates", "per_second": row.per_second, "p50_ns": row.due_p50_ns,
                         "p99_ns": row.due_p99_ns, "held": True})
    return pd.DataFrame(rows)


def rate_rows(runs: Sequence[Result]) -> pd.DataFrame:
    single = [part for run in runs if len(part := _of_rates(run))]
    rates = pd.concat(single, ignore_index=True) if single else pd.DataFrame()
    if len(rates):
        counts = rates.groupby("line").size()
        rates = rates[rates["line"].isin(counts[counts > 1].index)]
    parts = [part for part in (*(make(run) for run in runs for make in (_of_probes, _of_steps)), rates) if len(part)]
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
        rate_axis(axis)
        duration_axis(axis, label="p99 from due")
        canvas.legend_above(figure, axis, 1 if canvas.narrow else 2)
        return figure

    return Picture("rate", "Latency by rate", "The 99th percentile from due time at the rate achieved; down and to the right is better. Crosses are probes of "
                   "find_max that missed what was wanted.", frame, draw)


# --- recall by rate ----------------------------------------------------------------------------------------------------------------


def recall_rows(runs: Sequence[Result]) -> pd.DataFrame:
    rows = []
    for run in runs:
        index = run.options.get("collection.index.type", "no index")
        maxima = {(row.stage, row.role): row.max_rate for row in run.get("/max_rate").itertuples()} if run.has("/max_rate") else {}
        searches = run.operations[run.operations["op"] == "search"]
        for (stage, role), found in run.get("/recall").groupby(["stage", "role"], sort=False) if run.has("/recall") else ():
            rate = maxima.get((stage, role), searches.loc[(searches["stage"] == stage) & (searches["role"] == role), "per_second"].sum())
            if rate > 0:
                rows.append({"index": index, "recall": found["found"].sum() / found["wanted"].sum(), "per_second": rate, "searches": len(found),
                             "stage": stage, "role": role, "params": parameters(run, stage, role), "run": run.path.name})
    frame = pd.DataFrame(rows)
    return frame.assign(frontier=on_frontier(frame)) if len(frame) else frame


def parameters(run: Result, stage: str, role: str) -> str:
    found = [value for option, value in run.options.items() if option.startswith(f"stages.{stage}.{role}.") and option.endswith("params")]
    return " / ".join(value for value in found if value not in ("", "{}"))


def on_frontier(frame: pd.DataFrame) -> pd.Series:
    """Of each index: is there no other point with as much recall and a higher rate, or the reverse?"""
    kept = pd.Series(False, index=frame.index)
    for _, rows in frame.groupby("index"):
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
        figure, axes = canvas.figure(4.2, 1, 1)
        axis = axes[0, 0]
        for index, (name, rows) in enumerate(lines(frame, "index")):
            colour, marker = canvas.palette.series(index), MARKERS[index]
            best = rows[rows["frontier"]].sort_values("recall")
            axis.plot(best["recall"], best["per_second"], color=colour, linestyle=DASHES[index], marker=marker, markersize=6, linewidth=1.7, label=str(name))
            rest = rows[~rows["frontier"]]
            axis.scatter(rest["recall"], rest["per_second"], color=colour, marker=marker, s=16, alpha=0.4)
        low = float(frame["recall"].min())
        axis.set_xlim(max(0, low - 0.03 - (1 - low) * 0.05), 1.005)
        rate_axis(axis, "y", "searches/s")
        count_axis(axis, "recall", "x")
        canvas.legend_above(figure, axis, 2 if canvas.narrow else 4)
        return figure

    return Picture("recall", "Searches a second by recall", "As ann-benchmarks draws it: up and to the right is better. Each point is a role of a run; the line joins "
                   "those of an index type that no other one beats in both. Of find_max the rate is the highest confirmed.", frame, draw)


EVERY: list[Callable[[Sequence[Result]], Picture | None]] = [by_ranks, by_rate, by_recall]

# --- saying it ------------------------------------------------------------------------------------------------------------------------

TABLES = {
    "ranks": ["operation", "kind", "ranks", "nodes", "workers", ("per_second", "rate/s"), "speed_up", "efficiency", "p99_ns", "run"],
    "rate": ["line", "from", ("per_second", "rate/s"), "p50_ns", "p99_ns", "held"],
    "recall": ["index", "recall", ("per_second", "searches/s"), "frontier", "stage", "role", "params", "run"],
}


def cell(name: str, value: object) -> str:
    if name == "efficiency":
        return units.percent(float(value))
    return units.shown(value, "ns" if name.endswith("_ns") else "")


def table_of(picture: Picture) -> tuple[list[str], list[list[str]]]:
    columns = [(column, column.removesuffix("_ns").replace("_", " ")) if isinstance(column, str) else column for column in TABLES[picture.key]]
    return [label for _, label in columns], [[cell(name, row[name]) for name, _ in columns] for _, row in picture.data.iterrows()]


def as_text(drawn: list[Picture]) -> str:
    out = []
    for picture in drawn:
        labels, rows = table_of(picture)
        widths = [max(map(len, column)) for column in zip(labels, *rows, strict=True)]
        out.append(picture.title.upper())
        out += ["  " + "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in [labels, *rows]]
        out.append("")
    return "\n".join(out)


def as_html(runs: Sequence[Result], drawn: list[Picture]) -> str:
    views = [{"picture": picture, "wide": picture.inline(False), "narrow": picture.inline(True), "csv": embedded(picture.csv()), "table": table_of(picture)}
             for picture in drawn]
    bad = [f"{run.path.name}: {run.attribute('verdict')}" for run in runs if run.attribute("exit_code", 3) > 1]
    limited = sorted({run.path.name for run in runs if run.has("/calibration") and run.get("/calibration")["client_limited"].any()})
    return page.render("scaling.html.j2", {"runs": runs, "pictures": views, "bad": bad, "limited": limited})


def run(words: Sequence[str]) -> int:
    parser = cli.parser("scaling", "Draws many results of milvus-hpc together: rate by ranks, latency by rate, rate by recall.", EPILOG)
    parser.add_argument("results", type=Path, nargs="+", metavar="RUN.h5", help="the result files")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.html", help="write them as a page")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="each picture as SVG and PNG, its data as CSV")
    arguments = parser.parse_args(words)
    runs = [load(path) for path in arguments.results]
    drawn = [picture for make in EVERY if (picture := make(runs)) is not None]
    if not drawn:
        raise cli.Refused("these runs have nothing to compare: no two numbers of ranks for an operation, no find_max, steps or two rates, no recall")
    if arguments.output:
        cli.write_text(arguments.output, as_html(runs, drawn))
    if arguments.pictures:
        save_pictures(drawn, arguments.pictures)
    print(as_text(drawn), end="")
    return cli.GOOD


if __name__ == "__main__":
    cli.main("scaling", run)
