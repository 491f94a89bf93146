"""A lying proxy between the program and the real server: replies that are wrong in one place only, and calls that break after their effect."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2
from support import GOOD, UNUSABLE, VIOLATED, Done, Server, hpc

SERVICE = "/milvus.proto.milvus.MilvusService/"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
NAME = "proxied"
JOB = f"""dataset: {{synthetic: {{rows: 3000, dim: 8}}}}
collection:
  name: {NAME}
  replace: true
  fields:
    - {{name: id, type: int64, primary: true}}
    - {{name: vector, type: float_vector}}
    - {{name: varchar_field, type: varchar, max_length: 64}}
  index: {{type: FLAT, params: {{}}}}
stages:
  - name: load
    roles: [{{role: writer, count: 2, rows: 1000, batch: 100, inflight: 1}}]
verify: {{recheck: [], vectors: none, grace: 2s}}
"""

Forward = Callable[[], bytes]
Lie = Callable[[str, bytes, Forward, grpc.ServicerContext], bytes]


class Proxy(grpc.GenericRpcHandler):
    def __init__(self, uri: str, lie: Lie):
        self.channel = grpc.insecure_channel(uri.removeprefix("http://"), options=UNLIMITED)
        self.lie = lie

    def call(self, method: str, request: bytes) -> bytes:
        return self.channel.unary_unary(method)(request, timeout=60)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.lie(method.removeprefix(SERVICE), request, lambda: self.call(method, request), context))


@contextmanager
def behind(uri: str, lie: Lie) -> Iterator[str]:
    proxy = grpc.server(futures.ThreadPoolExecutor(16), options=UNLIMITED)
    proxy.add_generic_rpc_handlers((Proxy(uri, lie),))
    port = proxy.add_insecure_port("127.0.0.1:0")
    proxy.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        proxy.stop(grace=None).wait()


class Counter:
    """How many have come; safe in the proxy's threads."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0

    def next(self) -> int:
        with self.lock:
            self.count += 1
            return self.count


def run(server: Server, folder: Path, lie: Lie, *words: object) -> Done:
    (folder / "job.yaml").write_text(JOB)
    with behind(server.uri, lie) as uri:
        return hpc("run", "job.yaml", "--server", uri, "--seed", 1, "--output", "out.h5", *words, cwd=folder, result=folder / "out.h5")


def honest(_method: str, _request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
    return forward()


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
