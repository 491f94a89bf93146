"""A lying proxy between the program and the real server: replies that are wrong in one place only, and calls that break after their effect."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from proxy import NAME, Counter, Forward, Lie, honest, load_through
from pymilvus.grpc_gen import milvus_pb2
from support import GOOD, UNUSABLE, VIOLATED, Done, Server


def run(server: Server, folder: Path, lie: Lie, *words: object) -> Done:
    return load_through(server.uri, folder, lie, *words)


def test_an_honest_proxy(server: Server, tmp_path: Path) -> None:
    done = run(server, tmp_path, honest, "--set", "verify.vectors=all")
    assert done.code == GOOD, str(done)


def test_refused_in_gRPCs_own_words_after_the_effect(server: Server, tmp_path: Path) -> None:
    """What gRPC says of a connection that never was, said by a peer, proves nothing: the write must not be sent again."""
    inserts = Counter()

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        reply = forward()
        if method == "Insert" and inserts.next() == 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: upstream")
        return reply

    done = run(server, tmp_path, lie)
    assert done.code == GOOD, str(done)
    assert done.result.figures["unknown_inserts"] == done.result.figures["unknown_present"] == 100
    assert done.result.figures["count_star"] == 2000 and inserts.count == 20


def test_bytes_behind_a_NUL(server: Server, tmp_path: Path) -> None:
    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        if method != "Query":
            return forward()
        reply = milvus_pb2.QueryResults.FromString(forward())
        for field in reply.fields_data:
            texts = field.scalars.string_data.data
            if texts:
                texts[0] += "\0junk"
        return reply.SerializeToString()

    done = run(server, tmp_path, lie)
    assert done.code == UNUSABLE and "no valid reply to query" in done.err, str(done)


def delete_after_scan(server: Server, number: int) -> Lie:
    """Rows 5 and 6 go right after the scan's reply of that number."""
    scans = Counter()

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        reply = forward()
        if method == "Query" and len(milvus_pb2.QueryRequest.FromString(request).output_fields) > 1 and scans.next() == number:
            with server.client() as client:
                client.delete(NAME, [5, 6])
        return reply

    return lie


@pytest.mark.parametrize("vectors", ["none", "all"])
def test_rows_that_go_during_the_audit(server: Server, tmp_path: Path, vectors: str) -> None:
    done = run(server, tmp_path, delete_after_scan(server, 1), "--set", f"verify.vectors={vectors}")
    assert done.code == VIOLATED and done.result.found == {"lost": {5, 6}}, str(done)
    assert "is kept, as evidence" in done.err
    with server.client() as client:
        assert client.has_collection(NAME)


def test_rows_that_go_during_the_audit_while_writes_are_in_doubt(server: Server, tmp_path: Path) -> None:
    """100 rows may be there or not; that does not excuse two others."""
    inserts, take_away = Counter(), delete_after_scan(server, 1)

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        reply = take_away(method, request, forward, context)
        if method == "Insert" and inserts.next() == 8:
            context.abort(grpc.StatusCode.UNAVAILABLE, "socket closed")
        return reply

    done = run(server, tmp_path, lie)
    assert done.code == VIOLATED and done.result.found == {"lost": {5, 6}}, str(done)
    assert done.result.figures["unknown_inserts"] == 100


def test_a_delete_that_counts_fewer_rows(server: Server, tmp_path: Path) -> None:
    deletes = Counter()

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        reply = milvus_pb2.MutationResult.FromString(forward()) if method == "Delete" else None
        if reply is None:
            return forward()
        if deletes.next() == 1:
            reply.delete_cnt -= 1
        return reply.SerializeToString()

    roles = "[{role: writer, count: 2, rows: 1000, batch: 100}, {role: deleter, batch: 50, share: 40%}]"
    done = run(server, tmp_path, lie, "--set", f"stages.load.roles={roles}")
    assert done.code == GOOD and done.result.figures["unknown_deletes"] == 50, str(done)


@pytest.mark.parametrize("rows", [1, 2])
def test_equal_vectors_are_no_other_version(server: Server, tmp_path: Path, rows: int) -> None:
    """Real data sets hold the same vector more than once."""
    roles = "[{role: writer, rows: 1000, batch: 100}, {role: upserter, batch: 50, share: 50%, versions: 3}]"
    done = run(server, tmp_path, honest, "--set", f"dataset.synthetic.rows={rows}", "--set", f"stages.load.roles={roles}",
               "--set", "verify.vectors=all")
    assert done.code == GOOD, str(done)
    assert done.result.figures["acknowledged_upserts"] > 0


def test_ids_that_were_planned_and_never_sent_cost_nothing(server: Server, tmp_path: Path) -> None:
    """The usual way to say "write for a second": far more rows than there is time for."""
    done = run(server, tmp_path, honest, "--set", "stages.load.writer.rows=1T", "--set", "stages.load.writer.for=1s",
               "--set", "stages.load.writer.count=1")
    assert done.code == GOOD, str(done)
    written = done.result.figures["acknowledged_inserts"]
    assert 0 < written < 10**6 and done.result.figures["scanned"] == written
    assert done.result.operations("verify", "query")["ok"] < 20 + written / 4096 * 3


def test_a_row_behind_the_last_that_was_sent(server: Server, tmp_path: Path) -> None:
    """Within the writer's ids, and never sent."""
    stray = 900_000

    def lie(method: str, request: bytes, forward: Forward, context: grpc.ServicerContext) -> bytes:
        if method == "Flush":
            with server.client() as client:
                [home] = [name for name in client.list_partitions(NAME) if name.startswith("load")]
                client.insert(NAME, [{"id": stray, "vector": [0.0] * 8, "varchar_field": "stray"}], partition_name=home)
        return forward()

    done = run(server, tmp_path, lie, "--set", "stages.load.writer.rows=1M", "--set", "stages.load.writer.for=1s",
               "--set", "stages.load.writer.count=1", "--set", "verify.recheck=flush")
    assert done.code == VIOLATED and done.result.found == {"unexpected": {stray}}, str(done)
