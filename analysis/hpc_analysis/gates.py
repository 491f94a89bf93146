"""Rules that a comparison must satisfy: "search.p99 <= 1.05x"."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpc_analysis import cli, units

PLAIN = ("errors", "recall", "violations", "duration")
FIGURES = ("p50", "p95", "p99", "p999", "max", "mean", "per_second", "rows_per_second")
SIZES = {"": 1.0, "x": 1.0, "%": 0.01, "ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "/s": 1.0}
HOLDS: dict[str, Callable[[float, float], bool]] = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
RULE = re.compile(r"\s*([\w.\-]+)\s*(<=|>=|<|>)\s*([0-9.]+)\s*(x|%|ns|us|µs|ms|s|/s|)\s*")


@dataclass(frozen=True)
class Rule:
    text: str
    figure: str
    words: tuple[str, ...]  # of [stage.][role.]operation; none: a figure of the run
    sign: str
    bound: float
    relative: bool


@dataclass(frozen=True)
class Held:
    text: str
    held: bool
    got: str


def _units_of(figure: str) -> tuple[str, ...]:
    if figure in ("per_second", "rows_per_second"):
        return ("x", "", "/s")
    if figure in ("errors", "recall"):
        return ("x", "", "%")
    return ("x", "") if figure == "violations" else ("x", "ns", "us", "µs", "ms", "s")


def parse(text: str) -> Rule:
    parts = RULE.fullmatch(text)
    if not parts:
        raise cli.Refused(f'--gate {text!r}: is not FIGURE <= NUMBER, such as "search.p99 <= 1.05x" or "errors <= 0.1%"')
    name, sign, number, unit = parts.groups()
    *words, figure = name.split(".")
    if figure not in (FIGURES if words else PLAIN):
        raise cli.Refused(f"--gate {text!r}: no figure {name!r}; there are {', '.join(PLAIN)} and OPERATION.{', .'.join(FIGURES)}")
    if unit not in _units_of(figure):
        raise cli.Refused(f"--gate {text!r}: {figure} wants a number with one of: {', '.join(unit or 'nothing' for unit in _units_of(figure))}")
    try:
        bound = float(number) * SIZES[unit]
    except ValueError as error:
        raise cli.Refused(f"--gate {text!r}: {number!r} is not a number") from error
    return Rule(text.strip(), figure, tuple(words), sign, bound, unit == "x")


def fits(words: tuple[str, ...], key: tuple[str, str, str]) -> bool:
    """The operation, and before it the role, the stage, or both; a role with or without its number, which has a dot itself."""
    stage, role, op = key
    roles = (role, role.split(".")[0])
    return ".".join(words) in {op, f"{stage}.{op}", *(f"{one}.{op}" for one in roles), *(f"{stage}.{one}.{op}" for one in roles)}


def _amount(figure: str, value: float) -> str:
    if figure in ("errors", "recall"):
        return units.percent(value) if figure == "errors" else units.recall(value)
    return units.duration(value) if figure in ("p50", "p95", "p99", "p999", "max", "mean", "duration") else units.digits(value)


def _outcome(rule: Rule, name: str, a: float | None, b: float | None) -> Held:
    if b is None or (rule.relative and a is None):
        raise cli.Refused(f"--gate {rule.text!r}: {rule.figure} was not measured")
    if not rule.relative:
        return Held(rule.text, HOLDS[rule.sign](b, rule.bound), f"{name}{_amount(rule.figure, b)}")
    share = b / a if a else (1.0 if not b else math.inf)  # both without any: unchanged
    return Held(rule.text, HOLDS[rule.sign](share, rule.bound), f"{name}{share:.3f}x, {_amount(rule.figure, a)} -> {_amount(rule.figure, b)}")


def check(rule: Rule, lines: Sequence[Any], plain_a: dict[str, float | None], plain_b: dict[str, float | None]) -> list[Held]:
    if not rule.words:
        return [_outcome(rule, "", plain_a[rule.figure], plain_b[rule.figure])]
    fitting = [line for line in lines if fits(rule.words, line.key)]
    if not fitting:
        there = ", ".join(dict.fromkeys(line.key[2] for line in lines))
        raise cli.Refused(f"--gate {rule.text!r}: no operation {'.'.join(rule.words)!r} was compared; there are {there}")
    return [_outcome(rule, f"{line.name} ", *line.figures[rule.figure]) for line in fitting]
