"""A milvus-mock of a test's own, and pymilvus connected to it."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymilvus import MilvusClient

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("MILVUS_MOCK", ROOT / "build" / "release" / "src" / "mock" / "milvus-mock"))


class Mock:
    def __init__(self, *options: object):
        self.process = subprocess.Popen([str(PROGRAM), "--port", "0", *map(str, options)], stdout=subprocess.PIPE, text=True)
        ready = select.select([self.process.stdout], [], [], 10)[0]
        line = self.process.stdout.readline() if ready else ""
        self.uri = line.rpartition(" ")[2].strip()
        assert line.startswith("listening on http://127.0.0.1:"), line

    def client(self) -> MilvusClient:
        return MilvusClient(self.uri)

    def ended(self) -> int:
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        return code

    def stop(self) -> int:
        self.process.terminate()
        return self.ended()


@pytest.fixture
def start() -> Iterator[Callable[..., Mock]]:
    mocks: list[Mock] = []

    def begin(*options: object) -> Mock:
        mocks.append(Mock(*options))
        return mocks[-1]

    yield begin
    for mock in mocks:
        if mock.process.poll() is None:
            assert mock.stop() == 0


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[dict]]:
    """The fault log of a mock started with --fault-log tmp_path/faults.jsonl."""
    return lambda: [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
