"""Numbers as people read them: three significant digits and a unit."""

from __future__ import annotations

import math
import re


def digits(value: float) -> str:
    """Three significant digits, thousands apart, never an exponent."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{min(places, 9)}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown and abs(value) < 1 else shown


def scaled(value: float, steps: list[tuple[float, str]]) -> str:
    for size, unit in steps:
        if abs(value) >= size * 0.9995:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value)} {steps[-1][1]}" if value == 0 else f"{digits(value / steps[-1][0])} {steps[-1][1]}"


def duration(ns: float) -> str:
    if ns is None or not math.isfinite(ns):
        return "–"
    if ns == 0:
        return "0 s"
    return scaled(ns, [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")]) if abs(ns) < 120e9 else minutes(ns / 1e9)


def signed(value: float, unit: str) -> str:
    """A change: +1.20 MiB."""
    if not math.isfinite(value):
        return "–"
    amount = size(abs(value)) if unit == "bytes" else duration(abs(value)) if unit == "ns" else f"{digits(abs(value))}{unit}"
    return f"{'−' if value < 0 else '+' if value > 0 else ''}{amount}"


def minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{digits(seconds)} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


def size(count: float) -> str:
    return scaled(count, [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")])


def integer(value: float) -> str:
    return f"{int(value):,}"


def tick(shown_text: str) -> str:
    """Of an axis: 10.0 ms as 10 ms."""
    return re.sub(r"(\.\d*?)0+(?= |$)", lambda zeros: zeros[1].rstrip("."), shown_text)


def recall(share: float) -> str:
    """Four decimals, and 1.0000 only where nothing at all was missed."""
    return "–" if not math.isfinite(share) else "0.9999" if 0.9999 < share < 1 else f"{share:.4f}"


def percent(share: float) -> str:
    return f"{digits(share * 100)}%" if math.isfinite(share) else "–"


def shown(value: object, unit: str) -> str:
    """A cell of a table whose field has this unit."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    number = float(value)
    if unit == "recall":
        return recall(number if number >= 0 else math.nan)  # -1: it was not measured
    if unit.startswith("found"):  # 0: nothing was found
        unit, number = unit.removeprefix("found").strip(), number if number > 0 else math.nan
    if not math.isfinite(number):
        return "–"
    if unit == "share":
        return percent(number)
    if unit == "ns":
        return duration(number) if number >= 0 else "–"
    if unit == "s":
        return minutes(number)
    if unit == "bytes":
        return size(number)
    return integer(number) if number == int(number) and abs(number) < 2**63 else digits(number)
