"""A TCP port that leads to a server: a proxy of a cluster that can go, freeze and come back."""

from __future__ import annotations

import select
import socket
import threading
from typing import Self


class Forwarder:
    """One thread moves all bytes. `freeze` keeps connections and moves nothing."""

    def __init__(self, uri: str):
        host, port = uri.removeprefix("http://").rsplit(":", 1)
        self.target = (host, int(port))
        self.frozen = False
        self.pairs: dict[socket.socket, socket.socket] = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.lock = threading.Lock()
        self.closing = False
        self.up = True
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _accept(self) -> None:
        client, _ = self.listener.accept()
        server = socket.create_connection(self.target)
        self.pairs[client], self.pairs[server] = server, client

    def _move(self, source: socket.socket) -> None:
        try:
            data = source.recv(1 << 16)
            if data:
                self.pairs[source].sendall(data)
                return
        except OSError:
            pass
        for end in (source, self.pairs.pop(source)):
            self.pairs.pop(end, None)
            end.close()

    def _serve(self) -> None:
        while not self.closing:
            with self.lock:
                if not self.up or self.frozen:
                    sockets = []
                else:
                    sockets = [self.listener, *self.pairs]
                for ready in select.select(sockets, [], [], 0.01 if sockets else 0)[0]:
                    if ready is self.listener:
                        self._accept()
                    elif ready in self.pairs:
                        self._move(ready)
            if not sockets:
                threading.Event().wait(0.01)

    def kill(self) -> None:
        """As when its process dies: connections break, new ones are refused."""
        with self.lock:
            self.up = False
            self.listener.close()
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))  # nobody else's until it is back
            for end in self.pairs:
                end.close()
            self.pairs.clear()

    def revive(self) -> None:
        with self.lock:
            self.listener.listen()
            self.up = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing = True
        self.thread.join()
        self.kill()
        self.listener.close()
