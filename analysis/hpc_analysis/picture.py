"""How a picture becomes SVG that follows the page's theme, or SVG and PNG files in the light one."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullFormatter

from hpc_analysis import units

mpl.use("svg")

# Okabe and Ito's colours, which colour-blind people can tell apart; lines differ by dashes and markers as well.
LIGHT = {
    "ink": "#1b2430", "muted": "#55606e", "grid": "#dfe4ea", "band": "#f1f4f8", "paper": "#ffffff", "bad": "#b3261e", "event": "#7a1fa2",
    "s0": "#0072b2", "s1": "#d55e00", "s2": "#00835f", "s3": "#b4508f", "s4": "#8f6400", "s5": "#3b8fc4", "s6": "#5d5d5d", "s7": "#6b4c9a",
    "h0": "#5b9fd4", "h1": "#93c1e4", "h2": "#cfe2f1", "h3": "#f0f2f4", "h4": "#fbdcc3", "h5": "#f5b27d", "h6": "#ea8a45",
}
SERIES = [f"s{i}" for i in range(8)]
DASHES: list = ["-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)), (0, (3, 1.5)), (0, (8, 2)), (0, (2, 2)), (0, (4, 1, 1, 1, 1, 1))]
MARKERS = "os^Dv<>P"
OF_OPERATION = {"insert": 0, "delete": 1, "search": 2, "upsert": 3, "query": 4}  # the same colour in every picture


def token(name: str) -> str:
    """A colour that nothing else has and that SVG text can be searched for."""
    return f"#0e{list(LIGHT).index(name):02x}fd"


class Palette:
    """Colours by name: tokens that become the page's variables, or those of the light theme."""

    def __init__(self, themed: bool):
        self.themed = themed

    def __getitem__(self, name: str) -> str:
        return token(name) if self.themed else LIGHT[name]

    def series(self, index: int) -> str:
        return self[SERIES[index % len(SERIES)]]

    def operations(self, ops: Iterable[str]) -> dict[str, str]:
        """A colour each; the others take those that are left."""
        ops = list(dict.fromkeys(ops))
        free = [index for index in range(len(SERIES)) if index not in {OF_OPERATION.get(op) for op in ops}]
        free.sort(key=lambda index: index in OF_OPERATION.values())
        others = [op for op in ops if op not in OF_OPERATION]
        return {op: self.series(OF_OPERATION[op]) for op in ops if op in OF_OPERATION} | {
            op: self.series(free[nth % len(free)]) for nth, op in enumerate(others)}


@dataclass
class Canvas:
    """What a picture is drawn on: its width class and its colours."""

    palette: Palette
    narrow: bool
    dense: bool = False  # three panels beside each other

    def figure(self, height: float, rows: int = 1, columns: int = 1, **keywords: object) -> tuple[Figure, np.ndarray]:
        width = 4.9 if self.narrow else 10.4
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **keywords)
        for axis in axes.flat:
            self.style(axis)
        return figure, axes

    def style(self, axis: Axes) -> None:
        p = self.palette
        axis.set_facecolor("none")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axis.spines[side].set_color(p["muted"])
        axis.tick_params(colors=p["muted"], which="both", labelcolor=p["ink"], length=3)
        axis.grid(True, color=p["grid"], linewidth=0.7)
        axis.set_axisbelow(True)
        axis.yaxis.label.set_color(p["muted"])
        axis.xaxis.label.set_color(p["muted"])

    def columns(self, labels: Sequence[str], most: int) -> int:
        """How many columns of a legend an axis is wide enough for."""
        letters = 34 if self.narrow or self.dense else 60
        return max(1, min(most, letters // (max(map(len, labels)) + 6)))

    def title(self, axis: Axes, text: str, legend_lines: int = 0) -> None:
        """Above the axis, with room for as many lines of a legend between them."""
        axis.set_title(text, color=self.palette["ink"], pad=6 + legend_lines * (15 if self.narrow else 13.5))

    def legend(self, axis: Axes, columns: int) -> None:
        """Between title and axis, where it hides nothing."""
        axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=columns, frameon=False, labelcolor=self.palette["ink"], handlelength=2.2,
                    columnspacing=1.2, borderpad=0.1)

    def legend_above(self, figure: Figure, axis: Axes, columns: int) -> None:
        """Labels that a column is too narrow for are broken."""
        handles, labels = axis.get_legend_handles_labels()
        letters = (58 if self.narrow else 140) // columns - 6 * (columns > 1)
        figure.legend(handles, [textwrap.fill(label, letters, break_on_hyphens=False) for label in labels], loc="outside upper left", ncols=columns, frameon=False,
                      labelcolor=self.palette["ink"], handlelength=2.4)


@dataclass
class Picture:
    key: str
    title: str
    caption: str
    data: pd.DataFrame
    draw: Callable[[Canvas], Figure]
    wide_only: bool = False

    def _render(self, canvas: Canvas, kind: str) -> bytes:
        size = 11 if canvas.narrow else 9.5
        settings = {
            "svg.fonttype": "none", "svg.hashsalt": self.key + str(canvas.narrow), "font.size": size, "axes.titlesize": size,
            "axes.labelsize": size, "xtick.labelsize": size - 0.5, "ytick.labelsize": size - 0.5, "legend.fontsize": size - 0.5,
            "font.family": "DejaVu Sans", "axes.titleweight": "bold", "axes.titlelocation": "left", "path.simplify": True,
        }
        with mpl.rc_context(settings):
            figure = self.draw(canvas)
            out = io.BytesIO()
            background = "none" if canvas.palette.themed else LIGHT["paper"]
            extra = {"metadata": {"Date": None, "Creator": None}} if kind == "svg" else {"dpi": 160}
            figure.savefig(out, format=kind, facecolor=background, **extra)
        return out.getvalue()

    def inline(self, narrow: bool) -> str:
        """SVG for the page: colours are its variables, identifiers are this picture's own."""
        svg = self._render(Canvas(Palette(True), narrow), "svg").decode()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
        for name in LIGHT:
            svg = svg.replace(token(name), f"var(--{name})")
        prefix = f"{self.key}-{'n' if narrow else 'w'}-"
        svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}", svg)
        svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" \1 aria-hidden="true">', svg, count=1)
        return re.sub(r"\n\s*", "\n", svg)

    def svg(self) -> bytes:
        return self._render(Canvas(Palette(False), False), "svg")

    def png(self) -> bytes:
        return self._render(Canvas(Palette(False), False), "png")

    def csv(self) -> str:
        return self.data.to_csv(index=False, lineterminator="\n", float_format="%.10g")


# --- axes ----------------------------------------------------------------------------------------------------------


def duration_axis(axis: Axes, which: str = "y", label: str = "latency") -> None:
    """Values in ns, on a log scale, labelled in ms and s."""
    getattr(axis, f"set_{which}scale")("log")
    target = getattr(axis, f"{which}axis")
    target.set_major_locator(LogLocator(10, subs=(1.0,), numticks=8))
    low, high = getattr(axis, f"get_{which}lim")()
    if high / max(low, 1e-9) < 80:
        target.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    target.set_major_formatter(FuncFormatter(lambda value, _: units.tick(units.duration(value))))
    target.set_minor_formatter(NullFormatter())
    getattr(axis, f"set_{which}label")(label)


def count_axis(axis: Axes, label: str, which: str = "y", *, whole: bool = False) -> None:
    target = getattr(axis, f"{which}axis")
    target.set_major_locator(MaxNLocator(5, min_n_ticks=1 if whole else 3, integer=whole))
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    getattr(axis, f"set_{which}label")(label)


def size_locator(low: float, high: float) -> MultipleLocator:
    """Steps of bytes that are round in KiB, MiB and so on."""
    return MultipleLocator(2.0 ** np.ceil(np.log2(max((high - low) / 4, 1))))


def rate_axis(axis: Axes, which: str = "x", label: str = "operations/s achieved") -> None:
    getattr(axis, f"set_{which}scale")("log")
    target = getattr(axis, f"{which}axis")
    low, high = getattr(axis, f"get_{which}lim")()
    target.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high / max(low, 1e-9) < 300 else (1.0,), numticks=12))
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    target.set_minor_formatter(NullFormatter())
    getattr(axis, f"set_{which}label")(label)


def seconds_axis(axis: Axes) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 3, 5, 6, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("seconds since the run began")


def tail_axis(axis: Axes, most: float) -> None:
    """1 in N operations, as percentiles."""
    axis.set_xscale("log")
    axis.set_xlim(1, max(most, 10) * 1.15)
    ticks = [2, *(10**power for power in range(1, 10) if 10**power <= max(most, 10) * 1.15)]
    axis.set_xticks(ticks, [f"{100 - 100 / tick:.10g}%" for tick in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()
    axis.set_xlabel("percentile")
