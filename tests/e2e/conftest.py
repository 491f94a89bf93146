from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from support import MNIST, PROGRAM, Server


def pytest_sessionstart() -> None:
    for needed in (PROGRAM, MNIST):
        if not needed.exists():
            pytest.exit(f"{needed} is needed: ./test builds it", returncode=3)


@pytest.fixture(scope="module")
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts a server with the settings given; all are killed at the end of the file."""
    servers: list[Server] = []

    def start(*settings: str) -> Server:
        servers.append(Server(tmp_path_factory.mktemp("server") / "instance"))
        servers[-1].start(*settings)
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="module")
def server(new_server: Callable[..., Server]) -> Server:
    return new_server()


@pytest.fixture(scope="session")
def mnist() -> np.ndarray:
    with h5py.File(MNIST, "r") as file:
        return file["train"][()]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "result.h5"
