"""A cluster with several proxies: workers spread over them, and one that goes away, freezes or comes back is survived, and said."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from forwarder import Forwarder
from mockserver import Mock
from proxy import behind
from support import (GOOD, UNUSABLE, Done, Running, Server, assert_books_balance, assert_ledger_agrees, hpc, ranks_of, running,
                     write_job)


def job_for(uris: list[str], rows: int = 4000, rate: str = "300/s", timeout: str = "20s", **verify: object) -> dict:
    fields = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
              {"name": "varchar_field", "type": "varchar", "max_length": 64}]
    roles = [{"role": "writer", "count": 4, "rows": rows, "batch": 10, "rate": rate},
             {"role": "deleter", "count": 2, "share": "10%"},
             {"role": "searcher", "count": 3, "for": "4s", "rate": "60/s"}]
    return {"server": {"uris": uris, "timeout": timeout}, "dataset": {"synthetic": {"rows": 2000, "dim": 8}},
            "collection": {"name": "proxied", "replace": True, "fields": fields, "index": {"type": "FLAT", "params": {}}},
            "stages": [{"name": "load", "roles": roles}],
            "verify": {"recheck": ["flush", "reload"], "vectors": "none", **verify}}


@contextmanager
def proxies(uri: str, count: int) -> Iterator[list[Forwarder]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Forwarder(uri)) for _ in range(count)]


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path) as mock:
        yield mock


def words(output: Path, job: dict) -> list[object]:
    return ["run", write_job(output.with_name("job.yaml"), job), "--output", output, "--seed", 7, "--progress", 1]


def assert_exact(done: Done) -> None:
    assert done.code == GOOD, str(done)
    result = done.result
    assert_books_balance(result)
    assert_ledger_agrees(result)
    figures = result.figures
    assert result.attributes["audited"] and result.found == {}
    assert figures["expected_live"] <= figures["count_star"] <= figures["expected_live"] + figures["expected_maybe"]
    assert figures["unknown_present"] + figures["unknown_absent"] == sum(
        figures[f"unknown_{what}s"] for what in ("insert", "upsert", "delete"))


def absences(done: Done) -> list[dict]:
    return [row for row in done.result.tables["server/events"] if row["kind"] == "proxy"]


def kill_and_revive(run: Running, proxy: Forwarder) -> None:
    run.wait_for_second("load", 1)
    proxy.kill()
    run.wait_for("moved to another proxy")
    proxy.revive()


def test_one_proxy_dies_under_load_and_comes_back(server: Server, output: Path) -> None:
    with proxies(server.uri, 2) as (steady, doomed):
        with running(*words(output, job_for([steady.uri, doomed.uri], rows=1500, rate="120/s", recheck=[])), np=3, result=output) as run:
            kill_and_revive(run, doomed)
            done = run.finish()
    assert_exact(done)
    inserts = done.result.operations("load", "insert")
    assert inserts["ok"] + inserts["unknown"] == inserts["planned"] and inserts["failed"] == inserts["unsent"] == 0
    [absence, *_] = absences(done)
    assert absence["stage"] == "load" and absence["role"] == "" and 1e9 < absence["duration_ns"] < 60e9
    assert f"proxy {doomed.uri}: no connection; " in absence["what"] and "used again" in absence["what"]
    assert int(re.search(r"; (\d+) connections? moved", absence["what"])[1]) >= 1
    assert all(steady.uri not in row["what"] for row in absences(done))
    assert absence["what"] in " ".join(done.out.split()), "the summary says it too"


def test_frozen_proxy_is_left_after_the_timeout(mock: Mock, output: Path) -> None:
    with proxies(mock.uri, 2) as (steady, frozen):
        job = job_for([steady.uri, frozen.uri], rate="100/s", timeout="1s", recheck=[])
        with running(*words(output, job), np=2, result=output) as run:
            run.wait_for_second("load", 1)
            frozen.frozen = True
            run.wait_for("moved to another proxy")
            run.wait_for(r"unknown [1-9]")
            run.wait_for_lines("load", 1)
            run.process.send_signal(signal.SIGUSR1)
            done = run.finish()
    assert_exact(done)
    what = [row["what"] for row in absences(done) if row["stage"] == "load"]
    assert what and all(text.startswith(f"proxy {frozen.uri}: no answer; ") and "not used again" in text for text in what)
    assert done.result.figures["unknown_inserts"] > 0


def test_proxy_gone_from_the_start(mock: Mock, output: Path) -> None:
    """Also what rank 0 alone asks goes through the others."""
    with proxies(mock.uri, 3) as (dead, deaf, alive):
        dead.kill()
        deaf.frozen = True
        job = job_for([dead.uri, deaf.uri, alive.uri], rows=200, timeout="3s", recheck=[])
        done = hpc(*words(output, job), np=2, result=output)
    assert_exact(done)
    assert done.result.figures["count_star"] > 0
    assert {re.search(r"proxy (\S+):", row["what"])[1] for row in absences(done)} == {dead.uri, deaf.uri}


def test_proxy_dies_during_the_audit(mock: Mock, output: Path) -> None:
    with proxies(mock.uri, 2) as (doomed, steady):
        job = job_for([doomed.uri, steady.uri], rows=3000, rate="3000/s")
        with running(*words(output, job), np=2, result=output) as run:
            run.wait_for("audit: reading every row")
            doomed.kill()
            done = run.finish()
    assert_exact(done)
    assert done.result.figures["passes"] == 3
    gone = [row for row in absences(done) if row["stage"] == "verify"]
    assert gone and all(doomed.uri in row["what"] for row in gone)


def test_a_killed_run_tells_who_was_cut_off(mock: Mock, output: Path) -> None:
    """One proxy is left and comes back; of the other the news is not all in when the ranks are killed."""
    with proxies(mock.uri, 2) as (first, second):
        job = job_for([first.uri, second.uri], rows=100_000)
        with running(*words(output, job), np=2) as run:
            kill_and_revive(run, first)
            run.wait_for_lines("load", 4)  # home again
            second.kill()
            run.wait_for("moved to another proxy")
            run.wait_for_lines("load")  # an interval
            for pid in ranks_of(run):
                os.kill(pid, signal.SIGKILL)
            run.finish(60)
    done = hpc("merge", f"{output}.journals", "-o", output, result=output)
    assert done.code == UNUSABLE and done.errors == [], str(done)
    [back, gone] = absences(done)
    assert first.uri in back["what"] and back["duration_ns"] > 0 and "used again" in back["what"], back
    assert second.uri in gone["what"] and gone["duration_ns"] == -1 and "not used again" in gone["what"], gone
    assert 0 < back["time_ns"] < gone["time_ns"] and back["stage"] == gone["stage"] == "load"
    outages = [row for row in done.result.tables["server/events"] if row["kind"] == "outage"]
    assert all(row["role"] and "calls broke" in row["what"] for row in outages)
    assert {row["role"] for row in outages} >= {"writer"}, outages


def test_all_proxies_gone_is_the_end(mock: Mock, output: Path) -> None:
    with proxies(mock.uri, 2) as both:
        with running(*words(output, job_for([proxy.uri for proxy in both], timeout="2s")), np=2, result=output) as run:
            run.wait_for_second("load", 1)
            for proxy in both:
                proxy.kill()
            began = time.monotonic()
            done = run.finish()
    assert done.code == UNUSABLE and time.monotonic() - began < 60, str(done)
    assert f"no connection to {both[0].uri}, or any other proxy, for 2 s" in done.err
    assert not done.result.attributes["audited"] and done.result.figures["acknowledged_inserts"] > 0
    assert_books_balance(done.result)


def test_rows_are_read_through_another_proxy_than_they_were_written(mock: Mock, output: Path) -> None:
    seen: list[list[tuple[str, bytes]]] = [[], [], []]

    def spy(number: int):
        def forward(method: str, request: bytes, honest, _context) -> bytes:
            seen[number].append((method, request))
            return honest()
        return forward

    with ExitStack() as stack:
        uris = [stack.enter_context(behind(mock.uri, spy(number))) for number in range(3)]
        done = hpc(*words(output, job_for(uris, rows=200, recheck=[])), np=3, result=output)
    assert_exact(done)
    writers = [worker for worker in done.result.tables["workers"] if worker["role"] == "writer"]
    checked = 0
    for number, calls in enumerate(seen):
        assert sum(method == "Insert" for method, _ in calls) > 0
        for _, request in (call for call in calls if call[0] == "Query"):
            scan = re.search(rb"id >= (\d+) and id < (\d+)", request)
            if scan:
                writer = next(worker for worker in writers if worker["first_id"] <= int(scan[1]) < worker["first_id"] + worker["rows"])
                assert number == (writer["worker"] + 1) % 3
                checked += 1
    assert checked >= 2 * len(writers)
