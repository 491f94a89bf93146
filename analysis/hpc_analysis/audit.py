"""The audit's equation, from the figures of /truth/summary: from what was acknowledged to what was counted."""

from __future__ import annotations

from dataclasses import dataclass

from hpc_analysis.result import Result
from hpc_analysis.units import integer

TERM, EQUAL, WITHIN, UNEQUAL, NOT_MEASURED = "term", "equal", "within", "unequal", "not measured"
SIGNS = {EQUAL: "=", WITHIN: "in", UNEQUAL: "≠", NOT_MEASURED: ""}
KINDS = ("lost", "late", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted", "wrong_distance",
         "wrong_order", "filter_ignored", "range_ignored", "surplus", "missed", "unread", "non_monotonic", "not_dropped")
OF_READS = (*KINDS[9:-1], "invisible")  # which reads under load alone can show
OF_CYCLES = ("not_dropped",)  # which life cycles alone can show
NO_VIOLATION = ("late", "invisible")


@dataclass(frozen=True)
class Line:
    relation: str
    sign: str
    value: int | None
    what: str


class _Sum:
    def __init__(self, truth: dict[str, int]):
        self.truth, self.lines = truth, []
        self.low = self.high = 0

    def add(self, relation: str, sign: str, value: int | None, what: str) -> None:
        self.lines.append(Line(relation if value is not None else NOT_MEASURED, sign, value, what))

    def terms(self) -> None:
        inserts, deletes = self.truth.get("acknowledged_inserts"), self.truth.get("acknowledged_deletes")
        hit = self.truth.get("deletes_hit_live")
        removed = deletes if hit is None else hit
        self.add(TERM, "", inserts, "acknowledged inserts")
        known = hit is not None and deletes is not None and hit != deletes
        self.add(TERM, "−", removed, f"acknowledged deletes of live rows (of {integer(deletes)})" if known else "acknowledged deletes")
        self.low = (inserts or 0) - (removed or 0)

    def live(self) -> None:
        live, maybe = self.truth.get("expected_live"), self.truth.get("expected_maybe", 0)
        doubt = self.low - live if live is not None else 0
        if live is None:
            self.add(NOT_MEASURED, "", None, "live")
            return
        explained = 0 <= doubt <= maybe
        if explained and doubt:
            self.add(TERM, "−", doubt, "rows whose delete has no known outcome")
        what = f"live for certain; up to {integer(live + maybe)} with {integer(maybe)} of unknown outcome" if maybe else "live"
        self.add(EQUAL if explained else UNEQUAL, "=" if explained else "≠", live, what)
        self.low, self.high = live, live + maybe

    def count(self, name: str, what: str) -> None:
        value = self.truth.get(name)
        if value is None:
            self.add(NOT_MEASURED, "", None, what)
            return
        relation = UNEQUAL if not self.low <= value <= self.high else EQUAL if self.low == self.high else WITHIN
        self.add(relation, SIGNS[relation], value, what)
        self.low = self.high = value


def is_empty(result: Result) -> bool:
    """Nobody wrote to the job's collection, as in a run of life cycles: an equation of zeros would look like rows that were compared."""
    zeros = ("acknowledged_inserts", "unknown_inserts", "refused_inserts", "count_star", "partition_sum", "scanned")
    return all(result.truth.get(name) == 0 for name in zeros)


def of_cycles_alone(result: Result) -> bool:
    """Were life cycles all that wrote? Then the job's collection has nothing to lose."""
    written = ("acknowledged_inserts", "unknown_inserts", "count_star")
    return result.truth.get("cycles_begun", 0) > 0 and not any(result.truth.get(name) for name in written)


def equation(result: Result) -> list[Line]:
    """Of the job's collection. None where life cycles wrote to theirs alone and nobody looked at the job's."""
    if of_cycles_alone(result) and "count_star" not in result.truth:
        return []
    if is_empty(result):
        return [Line(EQUAL, "", 0, "rows: nobody wrote to the job's collection, and it is empty")]
    total = _Sum(result.truth)
    total.terms()
    total.live()
    total.count("count_star", "count(*) of the collection")
    total.count("partition_sum", "count(*) of its partitions, added up")
    total.count("scanned", "scanned, key by key")
    return total.lines


def cycles(result: Result) -> list[Line]:
    """Of life cycles: from those begun to those that were gone through, and the rows that these wrote."""
    truth = result.truth
    if not truth.get("cycles_begun"):
        return []
    whole = truth["cycles_whole"]
    unlooked = truth.get("cycles_unlooked", 0)
    unseen = f", {integer(unlooked)} of them without a look at their rows" if unlooked else ""
    equal = truth["cycles_begun"] - truth["cycles_broken"] - truth["cycles_cut"] == whole
    return [Line(TERM, "", truth["cycles_begun"], "lives of collections begun"), Line(TERM, "−", truth["cycles_broken"], f"broken by a step that failed{unseen}"),
            Line(TERM, "−", truth["cycles_cut"], "cut by a stop"),
            Line(EQUAL if equal else UNEQUAL, "=" if equal else "≠", whole, f"whole, with {integer(truth['cycle_rows'])} rows inserted")]


def looked_at(result: Result) -> list[str]:
    """What else than the audit's passes can have shown violations, in words. Of a rank that died nobody knows what was on its way to be found."""
    if result.missing_ranks:
        return []
    lives, reads = result.truth.get("cycles_begun", 0), result.truth.get("reads_judged", 0)
    return ([f"{integer(lives)} li{'fe' if lives == 1 else 'ves'} of collections"] if lives else []) + (
        [f"{integer(reads)} read{'s' * (reads != 1)} under load"] if reads else [])


def kinds_found(result: Result) -> dict[str, int]:
    """Each word of what can be wrong, with the number of rows; those that were looked for, found or not."""
    every = {kind: result.truth[kind] for kind in (*KINDS, "invisible") if kind in result.truth}
    seen = {**dict.fromkeys(OF_READS, result.truth.get("reads_judged")), **dict.fromkeys(OF_CYCLES, result.truth.get("cycles_begun"))}
    return {kind: count for kind, count in every.items() if count or seen.get(kind, True)}


def violations(result: Result) -> int:
    return sum(count for kind, count in kinds_found(result).items() if kind not in NO_VIOLATION)
