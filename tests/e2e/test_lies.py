"""Lies that no fault of the mock's tells: a proxy in front of an honest one changes a single reply, or all of one sort. Each is what one
check of the audit is there for, and no other check would name it so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from mockserver import Mock
from proxy import Counter, Forward, Lie, honest, load_through
from pymilvus.grpc_gen import milvus_pb2
from support import GOOD, UNUSABLE, VIOLATED, Done

Query, Reply = milvus_pb2.QueryRequest, milvus_pb2.QueryResults
ALL = -1  # id of what is about the whole collection; partition p's is ALL - 1 - p
KEY, STRANGER, ROWS = 7, 777_777, 1000


def counts(query: Query) -> bool:
    return list(query.output_fields) == ["count(*)"]


def counts_all(query: Query) -> bool:
    return counts(query) and not query.expr and not query.partition_names


def counts_first_writer(query: Query) -> bool:
    return counts(query) and not query.expr and list(query.partition_names) == ["load_0_00000"]


def counts_first_slice(query: Query) -> bool:
    """All of it: not its halves."""
    return counts(query) and query.expr == f"id >= 0 and id < {ROWS}"


def scans(query: Query) -> bool:
    """Writer 0's rows, that is."""
    return "varchar_field" in query.output_fields and "id >= 0 " in query.expr


def reads_vectors(query: Query) -> bool:
    return "vector" in query.output_fields and list(query.partition_names) == ["load_0_00000"]


def lie_about(which: Callable[[Query], bool], *changes: Callable[[Reply], None], numbers: tuple[int, ...] | None = None) -> Lie:
    """Changes the replies to such queries; only the 1st, 2nd, ... if numbers are given; of several changes, each once, one after the other."""
    asked = Counter()

    def lie(method: str, request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
        reply = forward()
        if method != "Query" or not which(Query.FromString(request)):
            return reply
        number = asked.next()
        if numbers and number not in numbers or number > len(changes) > 1:
            return reply
        changed = Reply.FromString(reply)
        changes[number - 1 if len(changes) > 1 else 0](changed)
        return changed.SerializeToString()

    return lie


def reads_key(query: Query) -> bool:
    """The row's, by the scan and by each later look at it."""
    return scans(query) or ("varchar_field" in query.output_fields and f"in [{KEY}]" in query.expr)


def one_more(reply: Reply) -> None:
    reply.fields_data[0].scalars.long_data.data[0] += 1


def rows_of(field: object) -> tuple[object, int]:
    """A column's values, and how many make a row."""
    kind = field.WhichOneof("field")
    if kind == "vectors":
        return field.vectors.float_vector.data, field.vectors.dim
    return getattr(field.scalars, field.scalars.WhichOneof("data")).data, 1


def keys(reply: Reply) -> list[int]:
    return list(next(rows_of(field)[0] for field in reply.fields_data if field.field_name == "id"))


def copy_row(reply: Reply) -> None:
    at = keys(reply).index(KEY)
    for field in reply.fields_data:
        values, width = rows_of(field)
        values.extend(values[at * width:(at + 1) * width])


def add_stranger(reply: Reply) -> None:
    copy_row(reply)
    next(rows_of(field)[0] for field in reply.fields_data if field.field_name == "id")[-1] = STRANGER


def leave_out(reply: Reply) -> None:
    at = keys(reply).index(KEY)
    for field in reply.fields_data:
        values, width = rows_of(field)
        del values[at * width:(at + 1) * width]


def change_text(reply: Reply) -> None:
    at = keys(reply).index(KEY)
    next(rows_of(field)[0] for field in reply.fields_data if field.field_name == "varchar_field")[at] = "something else"


def run(folder: Path, lie: Lie, *words: object) -> Done:
    with Mock(folder) as mock:
        return load_through(mock.uri, folder, lie, "--set", "verify.vectors=all", "--set", "verify.grace=200ms", *words)


def test_no_lie(tmp_path: Path) -> None:
    done = run(tmp_path, honest)
    assert done.code == GOOD and done.result.found == {}, str(done)


LIES = {
    "collection_count": (lie_about(counts_all, one_more), {"miscounted": {ALL}}),
    "idle_count_moves": (lie_about(counts_all, one_more, numbers=(2,)), {"miscounted": {ALL}}),
    "partition_count": (lie_about(counts_first_writer, one_more), {"miscounted": {ALL, ALL - 2}}),
    "slice_count": (lie_about(counts_first_slice, one_more), {"miscounted": {0, ALL - 2}}),
    "row_twice_in_a_reply": (lie_about(scans, copy_row), {"duplicated": {KEY}}),
    "row_not_asked_for": (lie_about(scans, add_stranger), {"unexpected": {STRANGER}}),
    "wrong_once": (lie_about(scans, change_text, numbers=(1,)), {"corrupted": {KEY}}),
    "vector_missing": (lie_about(reads_vectors, leave_out), {"lost": {KEY}}),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_named(tmp_path: Path, name: str) -> None:
    lie, wanted = LIES[name]
    done = run(tmp_path, lie)
    assert done.code == VIOLATED, str(done)
    assert done.result.found == wanted, str(done)


def test_wrong_and_then_absent_is_wrong(tmp_path: Path) -> None:
    """To be right in the end makes it neither late alone nor two rows, which a count(*) of one too many would agree with."""
    shows, count = lie_about(reads_key, change_text, leave_out), lie_about(counts_first_slice, one_more)

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        return shows(method, request, lambda: count(method, request, forward, context), context)

    done = run(tmp_path, lie)
    assert done.code == VIOLATED and done.result.found == {"corrupted": {KEY}, "miscounted": {0, ALL - 2}}, str(done)


def test_count_wrong_twice_is_asked_again(tmp_path: Path) -> None:
    done = run(tmp_path, lie_about(counts_first_slice, one_more, numbers=(1, 2)), "--set", "verify.grace=30s")
    assert done.code == GOOD and done.result.found == {}, str(done)


def test_absent_once_is_late(tmp_path: Path) -> None:
    done = run(tmp_path, lie_about(scans, leave_out, numbers=(1,)))
    assert done.code == GOOD and done.result.found == {}, str(done)
    assert [(row["kind"], row["id"]) for row in done.result.violations] == [("late", KEY)]
    assert done.result.figures["scanned"] == done.result.figures["count_star"] == 2 * ROWS


# --- what is said to be gone, and is there ----------------------------------------------------------------------------

WRITER = "load_0_00000"  # partition of the first writer
AUDITED = "GetCollectionStatistics"  # what a pass asks last but one
Has, Partitions = milvus_pb2.BoolResponse, milvus_pb2.ShowPartitionsResponse


def deny(reply: Has) -> None:
    reply.value = False


def leave_partition_out(reply: Partitions) -> None:
    at = list(reply.partition_names).index(WRITER)
    for field in (reply.partition_names, reply.partitionIDs, reply.created_timestamps, reply.created_utc_timestamps):
        del field[at:at + 1]


def keep_status_alone(reply: Partitions) -> None:
    for field in reply.DESCRIPTOR.fields:
        if field.name != "status":
            reply.ClearField(field.name)


class Denial:
    """Changes such replies from the audit's begin on (its load), or from the end of its first pass on; all, or the first."""

    def __init__(self, method: str, kind: type, change: Callable[[object], None], once: bool, after: str = "LoadCollection"):
        self.method, self.kind, self.change, self.once, self.after = method, kind, change, once, after
        self.calls: list[str] = []

    def __call__(self, method: str, _request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
        reply, armed = forward(), self.after in self.calls
        first = method not in self.calls[self.calls.index(self.after):] if armed else False
        self.calls.append(method)
        if method != self.method or not armed or (self.once and not first):
            return reply
        changed = self.kind.FromString(reply)
        self.change(changed)
        return changed.SerializeToString()


def found_nothing(done: Done) -> bool:
    """Of an audit that did not end: no table, and figures that are not known (-1)."""
    return not done.result.tables.get("truth/violations") and done.result.figures["lost"] <= 0


DENIALS = {
    "collection": ("HasCollection", Has, deny, "CreateCollection", ("has_collection", "describe_collection")),
    "partition": ("ShowPartitions", Partitions, leave_partition_out, "LoadCollection", ("show_partitions", WRITER, "load_state")),
    "all_partitions": ("ShowPartitions", Partitions, keep_status_alone, "LoadCollection", ("show_partitions", "_default", "load_state")),
}


@pytest.mark.parametrize("name", DENIALS)
def test_said_to_be_gone_once(tmp_path: Path, name: str) -> None:
    method, kind, change, after, _ = DENIALS[name]
    denial = Denial(method, kind, change, True, after)
    done = run(tmp_path, denial)
    assert done.code == GOOD and done.result.found == {}, str(done)
    assert denial.calls[denial.calls.index(after):].count(method) > 1 and "was said to be gone; asked again, it is there" in done.err, str(done)


@pytest.mark.parametrize("name", DENIALS)
def test_said_to_be_gone_to_the_end(tmp_path: Path, name: str) -> None:
    """What another question contradicts is no loss: the run cannot tell."""
    method, kind, change, after, words = DENIALS[name]
    done = run(tmp_path, Denial(method, kind, change, False, after))
    assert done.code == UNUSABLE and found_nothing(done), str(done)
    assert all(word in done.result.attributes["verdict"] for word in words), str(done)


@pytest.mark.parametrize("once", [True, False])
def test_a_step_is_not_skipped(tmp_path: Path, once: bool) -> None:
    denial = Denial("HasCollection", Has, deny, once, AUDITED)
    done = run(tmp_path, denial, "--set", "verify.recheck=[flush]")
    assert (done.code, denial.calls.count("Flush")) == ((GOOD, 1) if once else (UNUSABLE, 0)), str(done)
    assert found_nothing(done) and done.result.figures["passes"] == 1 + once, str(done)


@pytest.mark.parametrize("place", [None, "_default"])
def test_a_row_that_is_not_at_home_is_not_lost(tmp_path: Path, place: str | None) -> None:
    """Its partition does not show it, nor count it, while the collection shows it; and so does `place`, the first that is asked."""
    asked = []

    def count_less(reply: Reply) -> None:
        reply.fields_data[0].scalars.long_data.data[0] -= 1

    hidden = lie_about(lambda query: list(query.partition_names) == [WRITER] and not counts(query) and reads_key(query), leave_out)
    counted = lie_about(lambda query: list(query.partition_names) == [WRITER] and counts(query), count_less)

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        query = Query.FromString(request) if method == "Query" else Query()
        if f"in [{KEY}]" in query.expr:
            asked.extend(query.partition_names or ["everywhere"])
            if place and list(query.partition_names) == [place]:
                del query.partition_names[:]
                return forward(query.SerializeToString())
        return hidden(method, request, lambda: counted(method, request, forward, context), context)

    done = run(tmp_path, lie, "--set", "verify.vectors=none")
    assert done.code == VIOLATED and done.result.found == {"misplaced": {KEY}, "miscounted": {ALL}}, str(done)
    assert [row["seen_partition"] for row in done.result.violations if row["kind"] == "misplaced"] == [place or ""]
    others = asked[asked.index("everywhere") + 1:]
    assert others == [WRITER, "_default"] + ([] if place else ["load_0_00001"]), asked
