"""The pictures of one run. Each function answers a Picture, or None where the file holds nothing to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hpc_analysis import units
from hpc_analysis.histogram import Histogram
from hpc_analysis.picture import DASHES, MARKERS, Canvas, Picture, count_axis, duration_axis, rate_axis, seconds_axis, size_locator, tail_axis
from hpc_analysis.result import Result

MOST_PANELS, MOST_LINES, MOST_POINTS, FEWEST_POINTS = 12, 6, 240, 50
FEWEST = 10  # operations that have a tail to speak of


# --- latency by percentile -------------------------------------------------------------------------------------------


def _thin(latency: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS of a tail, evenly spread over its logarithm; both ends stay."""
    if len(latency) <= MOST_POINTS:
        return latency, share
    wanted = np.linspace(0, -math.log(max(share[-1], 1e-12)), MOST_POINTS)
    keep = np.unique(np.searchsorted(-np.log(np.maximum(share, 1e-12)), wanted).clip(0, len(latency) - 1))
    return latency[keep], share[keep]


def _tail_rows(panel: str, op: str, base: str, histogram: Histogram) -> pd.DataFrame:
    latency, share = _thin(*histogram.tail())
    return pd.DataFrame({"panel": panel, "op": op, "from": base, "percentile": 100 * (1 - share), "latency_ns": latency})


def _panels_of(rows: pd.DataFrame) -> pd.Series:
    """Operations of the same role share a panel, or several where they are many."""
    role = rows["stage"] + ": " + rows["instance"]
    count, nth = role.groupby(role).transform("size"), role.groupby(role).cumcount()
    parts = np.ceil(count / MOST_LINES)
    part = np.floor(nth * parts / count).astype(int) + 1
    return role.where(parts == 1, role + " (" + part.astype(str) + ")")


def _tails(result: Result) -> tuple[pd.DataFrame, int]:
    rows = result.operations
    rows = rows[rows["latency_count"] >= min(FEWEST, rows["latency_count"].max())]
    rows = rows.assign(panel=_panels_of(rows))
    most = rows.groupby("panel", sort=False)["ok"].sum()
    kept = set(most.sort_values(ascending=False, kind="stable").index[:MOST_PANELS])
    parts = [_tail_rows(row.panel, row.op, base, histogram)
             for row in rows.itertuples() if row.panel in kept
             for base in ("due", "sent") if (histogram := result.histogram(row.stage, row.latency, base))]
    drawn = int(rows["panel"].isin(kept).sum())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), int((result.operations["latency_count"] > 0).sum()) - drawn


def _draw_tail(axis: Axes, canvas: Canvas, title: str, lines: pd.DataFrame) -> None:
    most = 10.0
    colours = canvas.palette.operations(lines["op"].unique())
    for op, of_op in lines.groupby("op", sort=False):
        for base, line in of_op.groupby("from", sort=False):
            one_in = 1 / np.maximum(1 - line["percentile"] / 100, 1e-12)
            most = max(most, float(one_in.max()))
            axis.plot(one_in, line["latency_ns"], color=colours[op], linewidth=1.9 if base == "due" else 1.2,
                      linestyle="-" if base == "due" else (0, (2, 1.6)), drawstyle="steps-post",
                      marker="o" if len(line) < 4 and base == "due" else "", markersize=3, label=str(op) if base == "due" else None)
    tail_axis(axis, most)
    duration_axis(axis)
    ops = lines["op"].nunique()
    columns = canvas.columns(lines["op"].unique(), 2 if canvas.dense else 3)
    canvas.title(axis, f"{title}, {lines['op'].iloc[0]}" if ops == 1 else title, 0 if ops == 1 else math.ceil(ops / columns))
    if ops > 1:
        canvas.legend(axis, columns)


def latency(result: Result) -> Picture | None:
    tails, left_out = _tails(result)
    if tails.empty:
        return None
    panels = list(dict.fromkeys(tails["panel"]))

    def draw(canvas: Canvas) -> Figure:
        columns = 1 if canvas.narrow else min(len(panels), 2 if len(panels) < 5 else 3)
        canvas.dense = columns == 3
        height = (3.0 if canvas.narrow else 3.4 if columns < 3 else 2.8) * math.ceil(len(panels) / columns)
        figure, axes = canvas.figure(height, math.ceil(len(panels) / columns), columns)
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw_tail(axis, canvas, panel, tails[tails["panel"] == panel])
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        return figure

    caption = ("How long the slowest operations took: at 99%, one in a hundred took longer. Solid: from the time each was due; dotted: from the "
               "time it was sent (service time). Where the two part, the client or its slots held operations back. Successful operations only.")
    if left_out:
        caption += f" {left_out} more, of few operations, are in the table above alone."
    return Picture("latency", "Latency by percentile", caption, tails, draw)


# --- over time ---------------------------------------------------------------------------------------------------------


def _stages(result: Result) -> pd.DataFrame:
    timeline = result.get("/timeline")
    ends = timeline.assign(end=timeline["second"] + timeline["interval_s"])
    spans = ends.groupby("stage", sort=False).agg(begin=("second", "min"), end=("end", "max"))
    spans = spans.sort_values(["begin", "end"], kind="stable").reset_index()
    spans["end"] = np.minimum(spans["end"], spans["begin"].shift(-1, fill_value=math.inf))  # an interval that two share is the second one's
    return spans


def stage_names(stages: pd.DataFrame, letters: float) -> list[tuple[float, str]]:
    """(where, words): a stage that begins before the last one's name ends is named beside it."""
    named: list[tuple[float, str]] = []
    for stage in stages.itertuples():
        if named and (stage.begin - named[-1][0]) * letters < len(named[-1][1]) + 1:
            named[-1] = (named[-1][0], f"{named[-1][1]}, {stage.stage}")
        else:
            named.append((stage.begin, stage.stage))
    return named


def mark_stages(axis: Axes, canvas: Canvas, stages: pd.DataFrame, named: bool) -> None:
    for index, stage in enumerate(stages.itertuples()):
        axis.axvspan(stage.begin, stage.end, color=canvas.palette["band"], alpha=1 if index % 2 == 0 else 0.45, linewidth=0, zorder=0)
        axis.axvline(stage.begin, color=canvas.palette["muted"], linewidth=0.7, zorder=0.5)
    if not named:
        return
    last = stages["end"].max()
    letters = (42 if canvas.narrow else 110) / max(last - stages["begin"].min(), 1e-9)  # in a second of the axis
    for begin, name in stage_names(stages, letters):
        at_end = (last - begin) * letters < len(name)
        axis.annotate(name, (last if at_end else begin, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                      ha="right" if at_end else "left", va="bottom", color=canvas.palette["muted"], annotation_clip=False)


def numbered(events: pd.DataFrame) -> pd.DataFrame:
    """In the order of time, which is that of the numbers in pictures and table."""
    return events.sort_values("time_ns", kind="stable").reset_index(drop=True)


def event_groups(events: pd.DataFrame, near_s: float, last_s: float) -> list[tuple[float, float, str]]:
    """Those that begin closer together than can be drawn apart, as one: (begin, end, numbers in the table). One that did not end lasts to the picture's end."""
    groups: list[list[float]] = []
    for number, event in enumerate(events.itertuples(), start=1):
        begin = event.time_ns / 1e9
        end = begin + event.duration_ns / 1e9 if event.duration_ns >= 0 else max(begin, last_s)
        if groups and begin - groups[-1][0] < near_s:
            groups[-1] = [groups[-1][0], max(groups[-1][1], end), groups[-1][2], number]
        else:
            groups.append([begin, end, number, number])
    return [(begin, end, f"{first}" if first == last else f"{first}–{last}") for begin, end, first, last in groups]


def mark_events(axis: Axes, canvas: Canvas, events: pd.DataFrame, first_s: float, last_s: float, named: bool = True) -> None:
    if events.empty:
        return
    events = numbered(events)
    for begin, end, numbers in event_groups(events[events["time_ns"] <= last_s * 1e9], (last_s - first_s) / 40, last_s):
        if end < first_s:
            continue
        if end > begin:
            axis.axvspan(begin, end, facecolor=canvas.palette["event"], alpha=0.12, linewidth=0, zorder=1)
        axis.axvline(begin, color=canvas.palette["event"], linewidth=1.1, linestyle=(0, (4, 2)), zorder=2)
        if not named:
            continue
        axis.annotate(numbers, (begin, 0.97), xycoords=("data", "axes fraction"), xytext=(3, 0), textcoords="offset points", va="top",
                      color=canvas.palette["event"], fontweight="bold", fontsize="small")


def _lines_of(timeline: pd.DataFrame) -> tuple[list[tuple[str, str]], int]:
    """Those with most operations; the audit's, which are no load, come last."""
    most = timeline.groupby(["role", "op"], sort=False)["ok"].sum().sort_values(ascending=False, kind="stable")
    ordered = sorted(most.index, key=lambda line: line[0] == "auditor")
    return ordered[:MOST_LINES], max(0, len(ordered) - MOST_LINES)


def _drawn_interval(timeline: pd.DataFrame) -> float:
    """Of operations so rare that most intervals have none or one, a line would show little but that: seconds that hold some of each."""
    lines = _lines_of(timeline)[0]
    drawn = timeline[pd.MultiIndex.from_frame(timeline[["role", "op"]]).isin(lines)]
    each = drawn.groupby(["role", "op"]).agg(ok=("ok", "sum"), begin=("second", "min"), end=("second", "max"))
    interval = float(timeline["interval_s"].max())
    gap = ((each["end"] - each["begin"] + interval) / each["ok"].clip(lower=1)).median()
    most = max((timeline["second"].max() - timeline["second"].min()) / FEWEST_POINTS, interval)
    while interval < 4 * FEWEST * gap and 2 * interval <= most:
        interval *= 2
    return interval


def _series(timeline: pd.DataFrame, role: str, op: str, interval: float) -> pd.DataFrame:
    """One line: roles of one name together. Sums are exact; of their p99 the highest is taken."""
    rows = timeline[(timeline["role"] == role) & (timeline["op"] == op)]
    fine = rows.groupby("second").agg(interval_s=("interval_s", "max"), ok=("ok", "sum"), p99_ns=("p99_ns", "max")).reset_index()
    line = fine.assign(second=np.maximum(np.floor(fine["second"] / interval) * interval, fine["second"].min())).groupby("second").agg(
        interval_s=("interval_s", "sum"), ok=("ok", "sum"), p99_ns=("p99_ns", "max"))
    return line.assign(per_second=line["ok"] / line["interval_s"], p99_ns=line["p99_ns"].where(line["ok"] > 0)).reset_index()


def _with_gaps(line: pd.DataFrame) -> pd.DataFrame:
    """A row without a value where the role did nothing for longer than an interval: no line across."""
    far = line["second"].diff() > 1.5 * line["interval_s"].shift()
    gaps = line[far].assign(second=line["second"].shift()[far] + line["interval_s"][far], per_second=np.nan, p99_ns=np.nan)
    return pd.concat([line, gaps]).sort_values("second", kind="stable")


def _draw_lines(rate: Axes, slow: Axes, canvas: Canvas, timeline: pd.DataFrame, interval: float) -> None:
    taken: dict[str, int] = {}
    drawn = _lines_of(timeline)[0]
    colours = canvas.palette.operations(op for _, op in drawn)
    for index, (role, op) in enumerate(drawn):
        line = _with_gaps(_series(timeline, role, op, interval))
        nth = taken[op] = taken.get(op, -1) + 1
        keywords = {"color": colours[op], "linestyle": DASHES[nth], "linewidth": 1.7,
                    "marker": MARKERS[index] if len(line) <= 40 else "", "markersize": 3.5}
        middle = line["second"] + line["interval_s"] / 2
        rate.plot(middle, line["per_second"], label=f"{role} {op}", **keywords)
        slow.plot(middle, line["p99_ns"], **keywords)


def _draw_trouble(axis: Axes, canvas: Canvas, timeline: pd.DataFrame) -> None:
    sums = timeline.groupby("second").agg(interval_s=("interval_s", "max"), failed=("failed", "sum"), unknown=("unknown", "sum"),
                                          throttled=("throttled", "sum")).reset_index()
    bottom = np.zeros(len(sums))
    for name, colour, hatch in (("failed", "bad", ""), ("unknown", "s4", "///"), ("throttled", "s5", "...")):
        axis.bar(sums["second"], sums[name], sums["interval_s"], bottom=bottom, align="edge", color=canvas.palette[colour], hatch=hatch,
                 edgecolor=canvas.palette["muted"] if hatch else "none", linewidth=0.4, label=name)
        bottom = bottom + sums[name].to_numpy()
    count_axis(axis, "an interval")
    canvas.legend(axis, 3)


def over_time(result: Result) -> Picture | None:
    timeline, events = result.get("/timeline"), result.get("/server/events")
    if timeline.empty:
        return None
    trouble = bool(timeline[["failed", "unknown", "throttled"]].to_numpy().sum())
    stages, left_out, drawn = _stages(result), _lines_of(timeline)[1], _drawn_interval(timeline)

    def draw(canvas: Canvas) -> Figure:
        heights = [3, 3, 1.6] if trouble else [3, 3]
        figure, axes = canvas.figure(sum(heights) * (1.05 if canvas.narrow else 0.95) + 0.5, len(heights), 1, sharex=True,
                                     gridspec_kw={"height_ratios": heights})
        rate, slow = axes[0, 0], axes[1, 0]
        _draw_lines(rate, slow, canvas, timeline, drawn)
        rate.set_ylim(bottom=0)
        count_axis(rate, "operations/s")
        duration_axis(slow, label="p99 from due")
        if trouble:
            _draw_trouble(axes[2, 0], canvas, timeline)
        for index, axis in enumerate(axes[:, 0]):
            mark_stages(axis, canvas, stages, index == 0)
            mark_events(axis, canvas, events, stages["begin"].min(), stages["end"].max(), index < 2)
        axes[0, 0].set_xlim(stages["begin"].min(), stages["end"].max())
        seconds_axis(axes[-1, 0])
        canvas.legend_above(figure, rate, 2 if canvas.narrow else 3)
        return figure

    fine = timeline["interval_s"].max()
    interval = f"{drawn:g} s" + (f" (its highest of {fine:g} s; the data has each)" if drawn > fine else "")
    caption = (f"Successful operations a second, and the 99th percentile of their latency, for each {interval}; a role often fills only part of its first and "
               "last. Shades are stages.")
    if trouble:
        caption += " Below: operations that failed or have no known outcome, and replies that asked for less."
    if len(events):
        caption += " Dashed lines with numbers, shaded until they ended: the events in the table below."
    if left_out:
        caption += f" {MOST_LINES} lines are drawn, those of the load with most operations first; the data has {left_out} more."
    columns = ["second", "interval_s", "stage", "role", "op", "ok", "failed", "unknown", "throttled", "rows", "p50_ns", "p99_ns", "max_ns"]
    return Picture("over-time", "Throughput and p99 over time", caption, timeline[columns], draw)


# --- recall, staleness -----------------------------------------------------------------------------------------------------


def recall(result: Result) -> Picture | None:
    rows = result.get("/recall")
    if rows.empty:
        return None
    groups = list(rows.groupby(["stage", "role", "item"], sort=False))[:MOST_LINES]
    events = result.get("/server/events")

    def draw(canvas: Canvas) -> Figure:
        figure, axes = canvas.figure(3.4, 1, 1)
        axis = axes[0, 0]
        for index, ((stage, role, item), group) in enumerate(groups):
            colour = canvas.palette.series(index)
            thin = group.iloc[:: max(1, len(group) // 400)]
            axis.scatter(thin["second"], thin["recall"], s=9, color=colour, alpha=0.35, linewidths=0, marker=MARKERS[index])
            ordered = group.sort_values("second")
            mean = ordered["recall"].rolling(max(5, len(ordered) // 25), min_periods=1, center=True).mean()
            axis.plot(ordered["second"].iloc[:: max(1, len(mean) // 300)], mean.iloc[:: max(1, len(mean) // 300)], color=colour,
                      linestyle=DASHES[index], linewidth=1.8, label=f"{stage} {role}, item {item}: mean {units.recall(group['recall'].mean())}")
        axis.set_ylim(min(0.9, float(rows["recall"].min())) - 0.02, 1.02)
        axis.set_yticks([tick for tick in axis.get_yticks() if axis.get_ylim()[0] <= tick <= 1.0001])
        axis.set_ylabel("recall")
        seconds_axis(axis)
        mark_events(axis, canvas, events, rows["second"].min(), rows["second"].max())
        canvas.legend_above(figure, axis, 1 if canvas.narrow else 2)
        return figure

    caption = ("Each point is a search that was compared with every row that was certainly live at that moment; lines are running means. "
               f"{units.integer(len(rows))} searches, {units.integer(rows['found'].sum())} of {units.integer(rows['wanted'].sum())} true neighbours found.")
    return Picture("recall", "Recall over time", caption, rows, draw)


def staleness(result: Result) -> Picture | None:
    rows = result.get("/visibility")
    if rows.empty or not rows["count"].sum():
        return None
    seen = rows[rows["count"] > 0].reset_index(drop=True)
    labels = [f"{row.write}, {row.read} at {row.consistency}" for row in seen.itertuples()]

    def draw(canvas: Canvas) -> Figure:
        figure, axes = canvas.figure(0.9 + 0.3 * len(seen), 1, 1)
        axis = axes[0, 0]
        places = np.arange(len(seen))[::-1]
        axis.hlines(places, seen["p50_ns"].clip(lower=1e3), seen["max_ns"].clip(lower=1e3), color=canvas.palette["grid"], linewidth=5)
        for name, field, marker, colour, size in (("longest", "max_ns", "|", "ink", 130), ("p99", "p99_ns", "s", "s1", 26), ("median", "p50_ns", "o", "s0", 26)):
            axis.scatter(seen[field].clip(lower=1e3), places, marker=marker, s=size, color=canvas.palette[colour], label=name, zorder=3)
        axis.set_yticks(places, labels)
        axis.set_ylim(-0.7, len(seen) - 0.3)
        duration_axis(axis, "x", "until it could be read")
        canvas.legend_above(figure, axis, 3)
        return figure

    never = int(rows["never"].sum())
    caption = ("From a write's acknowledgement to the end of the first read that saw it, by level of consistency."
               + (f" {units.integer(never)} writes were not seen at all within verify.grace." if never else ""))
    return Picture("staleness", "Staleness: until a write could be read", caption, rows, draw)


# --- gauges of servers and ranks over time --------------------------------------------------------------------------------

# Of every process, and first: pages of metrics may hold hundreds.
NOT_DRAWN = {"process_start_time_seconds", "process_max_fds"}  # they never change
TITLES = {"rss_bytes": "memory (RSS)", "private_bytes": "private memory", "cpu_s": "CPU (cores)", "fds": "open descriptors", "threads": "threads"}
LONGEST_TITLE = 40
COUNTERS = re.compile(r"(_s|_seconds_total|_total|_count|_sum)(?=\{|$)")  # how names of what only grows end: they are drawn as rates


def _as_rate(line: pd.DataFrame) -> pd.DataFrame:
    """What a counter grew by, a second, between two looks; a new life begins with a gap. Of CPU time that is cores."""
    rate = line["value"].diff() / line["second"].diff()
    return line.assign(value=rate.where((line["life"] == line["life"].shift()) & (rate >= 0)))


def _with_lives(line: pd.DataFrame) -> pd.DataFrame:
    """No line from one life to the next."""
    return line.assign(value=line["value"].where((line["life"] == line["life"].shift()) | (line["life"] == line["life"].iloc[0])))


def _panel_title(name: str) -> str:
    words = TITLES.get(name) or COUNTERS.sub("", name).removesuffix("_bytes").replace("_", " ")
    if name not in TITLES and COUNTERS.search(name):
        words += " (cores)" if "_seconds" in name else " a second"
    return words if len(words) <= LONGEST_TITLE else f"{words[: LONGEST_TITLE - 1]}…"


def _samples(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each sample of each series: name, unit, line, second, value."""
    line = rows["source"] if "source" in rows else "rank " + rows["rank"].astype(str)
    frame = pd.DataFrame({"name": rows["name"], "unit": rows["unit"], "line": line, "second": rows["second"], "value": rows["value"].astype(float),
                          "life": rows["life"] if "life" in rows else 1})
    return frame[np.isfinite(frame["value"])].sort_values(["name", "line", "second"], kind="stable").reset_index(drop=True)


def _spread(rows: pd.DataFrame) -> list[str]:
    """The lines to draw: all, or some from the lowest to the highest."""
    ordered = rows.groupby("line", sort=False)["value"].mean().sort_values(kind="stable").index
    if len(ordered) <= MOST_LINES:
        return list(rows["line"].unique())
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, MOST_LINES)]


def _draw_samples(axis: Axes, canvas: Canvas, name: str, rows: pd.DataFrame) -> None:
    drawn = _spread(rows)
    for index, one in enumerate(drawn):
        line = rows[rows["line"] == one]
        line = _as_rate(line) if COUNTERS.search(name) else _with_lives(line)
        axis.plot(line["second"], line["value"], color=canvas.palette.series(index), linestyle=DASHES[index], linewidth=1.5,
                  marker="." if len(line) < 3 else "", label=one)
    count_axis(axis, "", whole=bool((rows["value"] % 1 == 0).all()) and not COUNTERS.search(name))
    if rows["unit"].iloc[0] == "bytes":
        axis.yaxis.set_major_locator(size_locator(*axis.get_ylim()))
        axis.yaxis.set_major_formatter(lambda value, _: units.tick(units.size(value)) if value else "0")
    columns = canvas.columns(drawn, 3)
    canvas.title(axis, _panel_title(name), math.ceil(len(drawn) / columns))
    canvas.legend(axis, columns)


def _gauges(result: Result, path: str, key: str, title: str, caption: str) -> Picture | None:
    if not result.has(path):
        return None
    rows, stages = _samples(result.get(path)), _stages(result) if result.has("/timeline") else pd.DataFrame()
    names = sorted(rows["name"].unique(), key=lambda name: list(TITLES).index(name) if name in TITLES else len(TITLES))
    panels, events = [name for name in names if name not in NOT_DRAWN][:MOST_PANELS], result.get("/server/events")
    if not panels:
        return None

    def draw(canvas: Canvas) -> Figure:
        columns = 1 if canvas.narrow else min(2, len(panels))
        depth = math.ceil(len(panels) / columns)
        figure, axes = canvas.figure(2.7 * depth, depth, columns)
        for axis, name in zip(axes.flat, panels, strict=False):
            _draw_samples(axis, canvas, name, rows[rows["name"] == name])
            if len(stages):
                mark_stages(axis, canvas, stages, False)
                axis.set_xlim(stages["begin"].min(), stages["end"].max())
            mark_events(axis, canvas, events, *axis.get_xlim())
            seconds_axis(axis)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        return figure

    caption += " Clock, shades and numbers are those of the throughput above." if len(stages) else ""
    if len(names) > len(panels):
        caption += f" {len(names) - len(panels)} more gauges are in the data alone."
    if rows.groupby("name")["line"].nunique().max() > MOST_LINES:
        caption += f" Of more than {MOST_LINES} lines, {MOST_LINES} from the lowest to the highest are drawn."
    return Picture(key, title, caption, rows, draw)


def server(result: Result) -> Picture | None:
    return _gauges(result, "/server/metrics", "server", "Servers over time", "Memory, CPU and other gauges of the servers. CPU is in cores, used since the last look.")


def rank_samples(result: Result) -> Picture | None:
    return _gauges(result, "/rank_samples", "rank-samples", "Ranks over time", "Memory, CPU and other gauges of the ranks of this client. CPU is in cores, used since the last look.")


# --- find_max ----------------------------------------------------------------------------------------------------------------


def rate_curve(result: Result) -> Picture | None:
    rows = result.get("/find_max")
    if rows.empty:
        return None
    found = result.get("/max_rate")

    def draw(canvas: Canvas) -> Figure:
        figure, axes = canvas.figure(3.6, 1, 1)
        axis = axes[0, 0]
        for index, ((stage, role), group) in enumerate(rows.groupby(["stage", "role"], sort=False)):
            group = group.sort_values("achieved")
            colour = canvas.palette.series(index)
            held, not_held = group[group["held"].astype(bool)], group[~group["held"].astype(bool)]
            axis.plot(held["achieved"], held["p99_ns"], color=colour, linewidth=1.4, linestyle=DASHES[index], marker="o", markersize=5,
                      label=f"{stage} {role}: held")
            axis.scatter(not_held["achieved"], not_held["p99_ns"], color=canvas.palette["bad"], marker="X", s=38, zorder=3, label="did not hold")
        for row in found.itertuples():
            if row.max_rate > 0:
                axis.axvline(row.max_rate, color=canvas.palette["event"], linewidth=1.2, linestyle=(0, (4, 2)), label=f"{row.outcome}: {units.digits(row.max_rate)}/s")
        rate_axis(axis)
        duration_axis(axis, label="p99 from due")
        canvas.legend_above(figure, axis, 1 if canvas.narrow else 3)
        return figure

    return Picture("rate", "Latency against rate", "The probes of find_max: the rate that was achieved, and the p99 at it. Crosses missed what was wanted.", rows, draw)


# --- ranks ---------------------------------------------------------------------------------------------------------------------

RANK_FIGURES = [("cpu_s", "CPU"), ("peak_rss_bytes", "peak memory"), ("private_bytes", "own memory"), ("bytes_out", "sent"), ("bytes_in", "received"),
                ("schedule_lag_ns", "longest lag")]


def rank_shares(result: Result) -> pd.DataFrame:
    """Each rank's figures as a multiple of the ranks' median."""
    ranks = result.ranks
    shares = pd.DataFrame({"rank": ranks["rank"], "host": ranks["host"]})
    for name, _ in RANK_FIGURES:
        if name in ranks:
            values = ranks[name].astype(float)
            whole = ranks["missing"] == 0 if "missing" in ranks else values.notna()
            middle = values[whole if whole.any() else values.notna()].median()
            shares[name] = values / middle if middle > 0 else np.nan
    return shares


def _level(share: float) -> str:
    """One of seven shades by the logarithm of the multiple: the middle one is within 15% of the median."""
    if not share > 0:
        return "h3" if not share == 0 else "h0"
    times = max(share, 1 / share)
    step = sum(times > bound for bound in (1.15, 1.5, 2.5))
    return f"h{3 + step if share > 1 else 3 - step}"


def ranks(result: Result) -> Picture | None:
    rows = result.ranks
    if len(rows) < 2:
        return None
    shares = rank_shares(result)
    figures = [(name, label) for name, label in RANK_FIGURES if name in rows and rows[name].notna().any()]
    unit = result.tables["/ranks"].units

    def draw(canvas: Canvas) -> Figure:
        count, upright = len(rows), canvas.narrow
        words = count <= (14 if upright else 10)
        height = (1.0 + 0.34 * min(count, 60)) if upright else 0.9 + 0.36 * len(figures)
        figure, axes = canvas.figure(max(height, 1.8), 1, 1)
        axis = axes[0, 0]
        axis.grid(False)
        for x in range(count):
            for y, (name, _) in enumerate(figures):
                place = (y, count - 1 - x) if upright else (x, len(figures) - 1 - y)
                axis.add_patch(Rectangle(place, 1, 1, facecolor=canvas.palette[_level(shares[name][x])], linewidth=1.5 if words else 0.1,
                                         edgecolor=canvas.palette["paper" if words else _level(shares[name][x])]))
                if words:
                    axis.text(place[0] + 0.5, place[1] + 0.5, units.shown(rows[name][x], unit.get(name, "")).replace(" ", "\n" if upright else " "),
                              ha="center", va="center", color=canvas.palette["ink"], fontsize="x-small" if upright else "small")
        names = [label for _, label in figures]
        step = max(1, count // 20)
        places = np.arange(0, count, step)
        if upright:
            axis.set(xlim=(0, len(figures)), ylim=(0, count))
            axis.set_xticks(np.arange(len(figures)) + 0.5, [name.replace(" ", "\n") for name in names], fontsize="x-small")
            axis.xaxis.tick_top()
            axis.set_yticks(count - 1 - places + 0.5, [f"{rows['rank'][i]}" for i in places])
            axis.set_ylabel("rank")
        else:
            axis.set(xlim=(0, count), ylim=(0, len(figures)))
            axis.set_yticks(np.arange(len(figures))[::-1] + 0.5, names)
            axis.set_xticks(places + 0.5, [f"{rows['rank'][i]}" for i in places])
            axis.set_xlabel("rank")
        for spine in axis.spines.values():
            spine.set_visible(False)
        axis.tick_params(length=0)
        return figure

    caption = ("Each cell against the median of all ranks: orange is more, blue is less, pale is within 15%. A slow rank stands out as a "
               "column (on narrow pages, a row) of its own.")
    return Picture("ranks", "Ranks", caption, rows, draw)


EVERY: list[Callable[[Result], Picture | None]] = [over_time, server, latency, rate_curve, recall, staleness, ranks, rank_samples]
