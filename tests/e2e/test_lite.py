"""Today's protocol, as the small server of the milvus-lite package speaks it.

Release 3.2.2 ignores the partition in a count(*) without a filter: it answers with the whole collection's. The audit must say so of
exactly those partitions where the server's own client sees it, too, and accuse no row.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient, MilvusException
from support import GOOD, ROOT, UNUSABLE, VIOLATED, Content, Done, assert_books_balance, assert_ledger_agrees, count, hpc, read_all

LITE = ROOT / ".cache" / "venv-lite" / "bin" / "milvus-lite"
SEED = 12

pytestmark = pytest.mark.skipif(not LITE.exists(), reason=f"NOT TESTED AGAINST TODAY'S PROTOCOL: {LITE} is missing; scripts/setup --tests installs it")


def is_ready(process: subprocess.Popen, uri: str) -> bool:
    """In the end. Not: it is there no more."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client = MilvusClient(uri=uri, timeout=5)
            client.list_collections()
            client.close()
            return True
        except MilvusException:
            pass
    return False


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def started(home: Path, port: int) -> Iterator[subprocess.Popen]:
    with (home / "log").open("a") as log:
        process = subprocess.Popen([LITE, "server", "--data-dir", home / "data", "--host", "127.0.0.1", "--port", str(port)],
                                   stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        yield process
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address."""
    home = tmp_path_factory.mktemp("lite")
    for _ in range(3):  # another may take the port before it does
        port = free_port()
        with started(home, port) as process:
            if is_ready(process, uri := f"http://127.0.0.1:{port}"):
                yield uri
                return
    pytest.fail((home / "log").read_text())


def crud(uri: str, output: Path, name: str, *settings: str, np_: int = 2) -> Done:
    sets = [word for setting in (f"collection.name={name}", "stages.crud.writer.rows=300", "stages.crud.writer.count=4",
                                 "stages.crud.writer.batch=50", "stages.crud.indexer.start_after_rows=500", *settings)
            for word in ("--set", setting)]
    return hpc("run", ROOT / "jobs" / "crud.yaml", "--server", uri, "--seed", SEED, "--keep", "--output", output, *sets, np=np_,
               result=output)


def assert_accounts_hold(done: Done, uri: str, name: str, content: Content) -> None:
    """Rows as the ledger says; accused are the partitions whose count the client finds wrong, and the sum over them, alone."""
    result = done.result
    assert_books_balance(result)
    assert_ledger_agrees(result)
    figures = result.figures
    numbers = {"_default": 0} | {part: number for number, part in result.partition_names.items()}
    assert figures["expected_live"] == figures["count_star"] == figures["scanned"] > 0
    client = MilvusClient(uri=uri, timeout=30)
    try:
        assert count(client, name) == figures["count_star"]
        miscounted = set()
        for part in client.list_partitions(name):
            expected = {key: content.varchar(key, row.version) for key, row in result.live().items()
                        if numbers[part] == row.partition}
            assert read_all(client, name, part) == expected
            if count(client, name, part) != len(expected):
                miscounted.add(-2 - numbers[part])
        assert result.found == ({"miscounted": miscounted | {-1}} if miscounted else {})
    finally:
        client.close()
    assert result.attributes["verdict"].startswith("VIOLATED" if miscounted else "GOOD")
    assert result.attributes["server_version"].startswith("milvus_lite")


def test_crud(lite: str, output: Path, mnist: np.ndarray) -> None:
    done = crud(lite, output, "crud", "stages.crud.indexer.recreate=false")
    assert done.code in (GOOD, VIOLATED), str(done)
    figures = done.result.figures
    assert figures["acknowledged_inserts"] == 1200 and figures["acknowledged_deletes"] > 0 and figures["acknowledged_upserts"] > 0
    assert_accounts_hold(done, lite, "crud", Content(SEED, mnist))


def test_what_it_refuses_is_named(lite: str, output: Path, mnist: np.ndarray) -> None:
    """It drops no index of a loaded collection: the run did not do what the job says, so it is not usable."""
    done = crud(lite, output, "recreated")
    assert done.code == UNUSABLE, str(done)
    assert "no drop_index of the indexer role succeeded" in done.result.attributes["verdict"]
    refused = [row for row in done.result.tables["errors"] if row["op"] == "drop_index"]
    assert [row["count"] for row in refused] == [1] and "loaded" in refused[0]["message"]
    assert_accounts_hold(done, lite, "recreated", Content(SEED, mnist))


def test_thousand_rows_a_batch(lite: str, output: Path, mnist: np.ndarray) -> None:
    """Bigger requests, and some ranks without a writer."""
    done = crud(lite, output, "bigger", "stages.crud.writer.rows=2000", "stages.crud.writer.batch=1000", "verify.recheck=[]",
                "stages.crud.indexer.recreate=false", "stages.crud.deleter.share=50%", np_=8)
    assert done.code in (GOOD, VIOLATED), str(done)
    assert_accounts_hold(done, lite, "bigger", Content(SEED, mnist))


def test_one_partition_is_good(lite: str, output: Path) -> None:
    """Where counts are right, nothing is accused."""
    job = output.with_name("plain.yaml")
    text = (ROOT / "jobs" / "crud.yaml").read_text()
    job.write_text("".join(line for line in text.splitlines(keepends=True) if "role: indexer" not in line))
    done = hpc("run", job, "--server", lite, "--output", output, "--set", "collection.name=plain", "--set", "stages.crud.writer.rows=100",
               "--set", "stages.crud.writer.batch=10", "--set", "stages.crud.writer.partition=_default", result=output)
    assert done.code == GOOD, str(done)


def test_existing_collection_is_not_touched(lite: str, output: Path) -> None:
    client = MilvusClient(uri=lite, timeout=30)
    try:
        client.create_collection("theirs", dimension=4, auto_id=False)
        client.insert("theirs", [{"id": i, "vector": [i, 0, 0, 1]} for i in range(5)])
        done = crud(lite, output, "theirs")
        assert done.code == UNUSABLE and len(done.errors) == 1 and "exists already" in done.errors[0], str(done)
        assert count(client, "theirs") == 5
    finally:
        client.close()
