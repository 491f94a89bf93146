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
from support import GOOD, VIOLATED, Done

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
