"""A proxy between the program and a server, whose replies are wrong in one place only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
from support import Done, hpc

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
Forward = Callable[..., bytes]  # of the request as it came, or of another
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
            lambda request, context: self.lie(method.removeprefix(SERVICE), request,
                                              lambda changed=None: self.call(method, request if changed is None else changed), context))


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


def honest(_method: str, _request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
    return forward()


def load_through(uri: str, folder: Path, lie: Lie, *words: object) -> Done:
    """Runs JOB on the server at `uri`, with the proxy between."""
    (folder / "job.yaml").write_text(JOB)
    with behind(uri, lie) as proxy:
        return hpc("run", "job.yaml", "--server", proxy, "--seed", 1, "--output", "out.h5", *words, cwd=folder, result=folder / "out.h5")
