"""Which runs stand on one line: those that differ in nothing but where on it they are (their ranks, or a rate), and in what goes with that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from hpc_analysis.result import Result

MOST_NAMED, LONGEST_VALUE = 3, 40
ABOUT = {"ranks": "np", "server_version": "server_version", "program_version": "program_version", "dataset": "dataset"}  # attributes that differ as options do
# What names things, or looks at the load from outside, changes nothing about it.
NO_SETTING = re.compile(r"(server\.(uri|token|tls\..*)|collection\.(name|replace)|calibrate|(verify|thresholds|observe)\..*)")


@dataclass(frozen=True)
class Point:
    """An operation of a run, and where on a line it belongs."""

    run: Result
    stage: str
    place: float


@dataclass(frozen=True)
class Series:
    """Of one point: the name of its series, empty where there is only one; and settings that differ with the place."""

    name: str
    following: tuple[str, ...]


def stages(run: Result) -> list[str]:
    return list(dict.fromkeys(option.split(".")[1] for option in run.options if option.startswith("stages.")))


def option(run: Result, stage: str, instance: str, name: str) -> str:
    """Of a role; of several of a name, the options of the first have no number."""
    role, _, number = instance.partition(".")
    return run.options.get(f"stages.{stage}.{role}{f'[{number}]' if number.strip('0') else ''}.{name}", "")


def settings(point: Point) -> dict[str, str]:
    """What an operation of this stage may depend on: not what comes after it."""
    every = stages(point.run)
    later = tuple(f"stages.{stage}." for stage in every[every.index(point.stage) + 1 :]) if point.stage in every else ()
    found = {name: value for name, value in point.run.options.items() if not NO_SETTING.fullmatch(name) and not name.startswith(later)}
    return found | {name: str(point.run.attribute(attribute)) for name, attribute in ABOUT.items()}


def labels(points: Sequence[Point]) -> list[str]:
    """Of each point its run's label, if each label stands for several places."""
    every = [str(point.run.attribute("label")) for point in points]
    places = pd.Series([point.place for point in points]).groupby(every).nunique()
    return every if len(places) > 1 and (places > 1).all() else [""] * len(points)


def short(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def _differing(table: pd.DataFrame) -> list[str]:
    return [name for name in table if table[name].nunique() > 1]


def _words(values: dict[str, str], first: str) -> list[str]:
    words = [f"{short(name)}={value[:LONGEST_VALUE]}" for name, value in values.items()]
    return words if len(words) <= MOST_NAMED else [f"as {first}"]


def _own(name: str, key: object, names: dict[str, object]) -> str:
    """A name that no other key has, even if shortened values or files' names are the same."""
    count, own = 1, name
    while names.setdefault(own, key) != key:
        count += 1
        own = f"{name} ({count})"
    return own


def _of_label(label: str, points: Sequence[Point], free: tuple[str, ...]) -> list[Series]:
    table, places = pd.DataFrame([settings(point) for point in points]).fillna(""), pd.Series([point.place for point in points])
    dividing = [name for name in _differing(table) if table[name].groupby(places).nunique().max() > 1]
    keys = pd.Series([tuple(row) for row in table[dividing].itertuples(index=False)], dtype=object)
    whole = places.groupby(keys).transform("nunique") > 1  # the others make no line: how they differ is no name for one
    named = [name for name in dividing if table.loc[whole, name].nunique() > 1]
    found, names = [], {}
    for at, key in enumerate(keys):
        alike = table[keys == key]
        following = tuple(name for name in _differing(alike) if not name.endswith(free))
        words = _words(alike[named if whole[at] else dividing].iloc[0].to_dict(), points[alike.index[0]].run.file)
        found.append(Series(_own(", ".join(filter(None, (label, *words))), key, names), following))
    return found


def series_of(points: Sequence[Point], free: tuple[str, ...]) -> list[Series]:
    """Of points of one operation. A setting with several values at the same place divides them; one with a value for each place goes with the place:
    names that end in one of `free` are meant to."""
    every, found = labels(points), {}
    for label in dict.fromkeys(every):
        where = [at for at, one in enumerate(every) if one == label]
        found |= zip(where, _of_label(label, [points[at] for at in where], free), strict=True)
    return [found[at] for at in range(len(points))]
