"""Servers that die or freeze, ranks that die, signals, rate limits: what was measured is kept, and no write is called what it is not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from journals import DONE, INTENT, RECORD, places
from pymilvus import MilvusClient, MilvusException
from support import (GOOD, MNIST, UNUSABLE, Done, Result, Row, Running, Server, assert_books_balance, assert_ledger_agrees, count, hpc,
                     load, named, ranks_of, read_all, running, write_job)

WRITERS, ROWS, BATCH = 4, 100_000, 50
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]


def job_for(name: str, roles: list[dict], **verify: object) -> dict:
    return {
        "server": {"uri": "", "timeout": "5s"},
        "dataset": {"synthetic": {"rows": 5000, "dim": 32}},
        "collection": {"name": name, "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2"}},
        "stages": [{"name": "load", "roles": roles}],
        "verify": {"recheck": [], "grace": "2s"} | verify,
    }


def endless(rate: str = "60/s") -> list[dict]:
    """More than a test waits for, and slow enough for small collections."""
    return [{"role": "writer", "count": WRITERS, "rows": ROWS, "batch": BATCH, "inflight": 4, "rate": rate, "partition": "own"},
            {"role": "deleter", "count": 1, "batch": 20, "share": "20%"},
            {"role": "upserter", "count": 1, "batch": 20, "share": "20%"}]


def words(server: Server, output: Path, job: dict) -> list[object]:
    path = write_job(output.with_name("job.yaml"), job)
    return ["run", path, "--server", server.uri, "--progress", 1, "--seed", 5, "--output", output]


def insist(action: Callable[[], object], seconds: float) -> None:
    """A server that was killed refuses its collections until its dead predecessor's session has ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except MilvusException:
            assert time.monotonic() < deadline


def rows_on(server: Server, name: str) -> dict[str, set[int]]:
    """Keys by partition."""
    with server.client() as client:
        make_readable(client, name)
        parts = {part: set(read_all(client, name, part)) for part in client.list_partitions(name)}
        assert sum(map(len, parts.values())) == count(client, name)
        return parts


def make_readable(client: MilvusClient, name: str) -> None:
    if not client.list_indexes(name):
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="L2")
        insist(lambda: client.create_index(name, index), 60)
    insist(lambda: load(client, name), 120)
    insist(lambda: count(client, name), 60)


def assert_ledger_bounds(result: Result, parts: dict[str, set[int]]) -> None:
    """Every row that must be there is, in its partition; and there is none that may not be."""
    present = {(part, key) for part, keys in parts.items() for key in keys}

    def place(key: int, row: Row) -> tuple[str, int]:
        return result.partition_names[row.partition], key

    certain = {place(key, row) for key, row in result.ledger.items() if row.certain}
    possible = {place(key, row) for key, row in result.ledger.items() if row.possible}
    assert certain and certain <= present <= possible, (len(certain - present), len(present - possible))


def assert_kept(done: Done) -> Result:
    result = done.result
    assert_books_balance(result)
    assert_ledger_agrees(result)
    assert not result.path.with_name("result.h5.journals").exists()
    return result


# --- signals --------------------------------------------------------------------------------------------------------


def assert_stopped_early(done: Done, name: str, server: Server) -> None:
    """An orderly end: what was acknowledged has been audited, the rest was never sent."""
    assert done.code == GOOD, str(done)
    result = assert_kept(done)
    assert "stopped early by a signal" in result.attributes["verdict"] and result.attributes["verdict"].startswith("GOOD")
    assert result.attributes["audited"] and not result.attributes["whole"]
    inserts = result.operations("load", "insert")
    assert inserts["planned"] == WRITERS * ROWS // BATCH and inserts["unsent"] > 0 and inserts["ok"] > 0
    figures = result.figures
    assert 0 < figures["expected_live"] <= figures["count_star"] <= figures["expected_live"] + figures["expected_maybe"]
    with server.client() as client:
        assert name not in client.list_collections()


def signal_ranks(number: int) -> Callable[[Running], None]:
    return lambda run: [os.kill(pid, number) for pid in ranks_of(run)]


@pytest.mark.parametrize("send", [
    pytest.param(signal_ranks(signal.SIGTERM), id="SIGTERM-to-ranks"),
    pytest.param(lambda run: os.kill(ranks_of(run)[-1], signal.SIGUSR1), id="SIGUSR1-to-one-rank"),
    pytest.param(lambda run: os.kill(run.process.pid, signal.SIGUSR1), id="SIGUSR1-to-mpirun"),
])
def test_signal_ends_a_run_in_order(server: Server, output: Path, send: Callable[[Running], None]) -> None:
    with running(*words(server, output, job_for("signalled", endless())), np=4, result=output) as run:
        run.wait_for_second("load", 2)
        assert len(ranks_of(run)) == 4
        send(run)
        assert_stopped_early(run.finish(60), "signalled", server)


def test_signal_that_reaches_a_rank_late(server: Server, output: Path) -> None:
    """In the audit, when the stage has ended since by the others' copy: it is the same signal, and no reason to cut the audit."""
    with running(*words(server, output, job_for("late", endless())), np=2, result=output) as run:
        run.wait_for_second("load", 2)
        early, late = ranks_of(run)
        os.kill(early, signal.SIGUSR1)
        run.wait_for("audit: reading every row")
        os.kill(late, signal.SIGUSR1)
        assert_stopped_early(run.finish(60), "late", server)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_to_a_process_without_mpirun(server: Server, output: Path, number: int) -> None:
    with running(*words(server, output, job_for("single", endless())), result=output) as run:
        run.wait_for_second("load", 2)
        run.process.send_signal(number)
        assert_stopped_early(run.finish(60), "single", server)


def test_signal_during_the_audit(server: Server, output: Path) -> None:
    """The load is whole, the audit is not: nobody may call that good."""
    roles = [{"role": "writer", "count": WRITERS, "rows": 200, "batch": 50, "partition": "own"}]
    job = job_for("unaudited", roles, recheck=["flush", "reload"])
    with running(*words(server, output, job), np=2, result=output) as run:
        run.wait_for("audit, first pass")
        run.process.send_signal(signal.SIGUSR1)
        done = run.finish(60)
    assert done.code == UNUSABLE, str(done)
    result = assert_kept(done)
    assert result.attributes["verdict"].startswith("INCOMPLETE") and "signal" in result.attributes["verdict"]
    assert not result.attributes["audited"] and not result.attributes["whole"]
    assert result.figures["acknowledged_inserts"] == WRITERS * 200


# --- the server -----------------------------------------------------------------------------------------------------


def test_server_killed_in_mid_load(new_server: Callable[..., Server], output: Path) -> None:
    """The run ends by itself and keeps what it knows; the server, back again, has every acknowledged row."""
    own = new_server("common.session.ttl=10")
    with running(*words(own, output, job_for("killed", endless("200/s"))), np=2, result=output) as run:
        run.wait_for_second("load", 2)
        own.kill()
        began = time.monotonic()
        done = run.finish(90)
    assert time.monotonic() - began < 45
    assert done.code == UNUSABLE, str(done)
    result = assert_kept(done)
    assert result.attributes["verdict"].startswith("INCOMPLETE")
    assert not result.attributes["audited"] and not result.attributes["whole"]
    inserts = result.operations("load", "insert")
    assert inserts["ok"] > 0 and inserts["unsent"] > 0 and inserts["in_flight"] == 0
    assert result.figures["unknown_inserts"] + result.figures["unknown_upserts"] + result.figures["unknown_deletes"] > 0
    assert result.figures["count_star"] < 0 and "lost" in result.figures
    assert result.tables["errors"]
    own.start()
    assert_ledger_bounds(result, rows_on(own, "killed"))


def test_frozen_server_leaves_writes_in_doubt(new_server: Callable[..., Server], output: Path) -> None:
    """It stops for longer than the timeout and goes on: writes whose fate is unknown are counted apart and then looked up."""
    own = new_server()
    pid = own.pid()
    with running(*words(own, output, job_for("frozen", endless("200/s"), grace="10s")), np=2, result=output) as run:
        run.wait_for_second("load", 2)
        os.kill(pid, signal.SIGSTOP)
        try:
            run.wait_for("unknown [1-9]")
        finally:
            os.kill(pid, signal.SIGCONT)
        run.wait_for(r"rows/s .*unknown [1-9]")
        run.process.send_signal(signal.SIGUSR1)
        done = run.finish(120)
    assert done.code == GOOD, str(done)
    result = assert_kept(done)
    figures, ops = result.figures, [result.operations("load", op) for op in ("insert", "upsert", "delete")]
    assert sum(op["timed_out"] for op in ops) > 0 and sum(op["unknown"] for op in ops) >= sum(op["timed_out"] for op in ops)
    assert figures["unknown_inserts"] > 0 and figures["unknown_present"] + figures["unknown_absent"] > 0
    assert figures["expected_live"] <= figures["count_star"] <= figures["expected_live"] + figures["expected_maybe"]
    assert result.found == {}
    assert {row["grpc_status"] for row in result.tables["errors"]} >= {"DEADLINE_EXCEEDED"}


# --- a rank ---------------------------------------------------------------------------------------------------------

INSERT, UPSERT, DELETE = range(3)


def journal_sums(folder: Path) -> Counter[str]:
    """Rows by what the journals alone say of them."""
    sums: Counter[str] = Counter()
    names = ("inserts", "upserts", "deletes")
    for path in folder.glob("rank-*.journal"):
        data, begun = path.read_bytes(), {}
        for at in places(data):
            kind_of_record, kind, outcome, _, _, _, worker, *_ = record = RECORD.unpack_from(data, at)
            rows, sequence = record[13], record[15]
            if kind_of_record == INTENT:
                begun[worker, sequence] = (kind, rows)
            elif kind_of_record == DONE and kind <= DELETE:
                del begun[worker, sequence]
                sums[f"{('acknowledged', 'refused', 'refused', 'unknown')[outcome]}_{names[kind]}"] += rows
        for kind, rows in begun.values():
            sums[f"unknown_{names[kind]}"] += rows
            sums["in_flight"] += 1
    return sums


def test_killed_rank(server: Server, output: Path) -> None:
    """The launcher ends the others. What they did is in their journals, and merge makes a result of it."""
    journals = output.with_name("result.h5.journals")
    watchers = [{"role": "searcher", "count": 1, "for": "600s", "rate": "40/s"}, {"role": "prober", "count": 1, "for": "600s", "rate": "20/s"}]
    job = job_for("bereft", endless("100/s") + watchers)
    job["stages"][0]["chaos"] = [{"at": "0s", "run": "true"}]
    with running(*words(server, output, job), np=4, result=output) as run:
        for watcher in ("searcher", "prober"):
            run.wait_for(rf"^load .*\| {watcher} [1-9]")
        run.wait_for_lines("load")  # the journals are told once a second
        pids = ranks_of(run)
        os.kill(pids[2], signal.SIGKILL)
        done = run.finish(60)
    assert done.code != GOOD and not output.exists(), str(done)
    assert sorted(path.name for path in journals.iterdir()) == [
        *(f"rank-{rank:05d}.{kind}" for rank in range(4) for kind in ("journal", "samples")), "run.json"]

    merged = hpc("merge", journals, "-o", output.with_name("merged.h5"), result=output.with_name("merged.h5"))
    assert merged.code == UNUSABLE and merged.errors == [], str(merged)
    result = merged.result
    assert_books_balance(result)
    assert_ledger_agrees(result)
    assert not result.attributes["whole"] and not result.attributes["audited"]
    assert result.attributes["verdict"].startswith("INCOMPLETE") and named(result.attributes["verdict"]) == {2}, result.attributes["verdict"]
    assert result.attributes["np"] == 4 and result.attributes["seed"] == 5 and result.attributes["collection"] == "bereft"
    assert [row["missing"] for row in result.tables["ranks"]] == [1, 1, 1, 1]
    sums = journal_sums(journals)
    for op in ("inserts", "upserts", "deletes"):
        for outcome in ("acknowledged", "refused", "unknown"):
            assert result.figures[f"{outcome}_{op}"] == sums[f"{outcome}_{op}"], (outcome, op)
    assert sum(row["in_flight"] for row in result.tables["operations"]) == sums["in_flight"]
    assert_ledger_bounds(result, rows_on(server, "bereft"))
    assert result.figures["reads_unjudged"] == result.operations("load", "search")["ok"] > 0 == result.figures["reads_judged"]
    assert sum(row["count"] for row in result.tables["visibility"]) > 0
    [event] = [row for row in result.tables["server/events"] if row["kind"] == "chaos"]
    assert event["what"].startswith("ended with exit code 0")

    again = hpc("merge", journals, "-o", output.with_name("merged.h5"))
    assert again.code == UNUSABLE and len(again.errors) == 1 and "exists already" in again.errors[0]
    check_damaged_journals(journals, output, result)


def check_damaged_journals(journals: Path, output: Path, whole: Result) -> None:
    """A journal cut off in the middle of a record, and one that is gone: merged, and said."""
    damaged = output.with_name("damaged")
    shutil.copytree(journals, damaged)
    torn = damaged / "rank-00001.journal"
    torn.write_bytes(torn.read_bytes()[:-50])
    (damaged / "rank-00003.journal").unlink()
    done = hpc("merge", damaged, "-o", output.with_name("rest.h5"), result=output.with_name("rest.h5"))
    assert done.code == UNUSABLE and done.errors == [] and "rank-00003.journal" in done.err, str(done)
    assert "1 left none" in done.result.attributes["verdict"]
    assert 0 < done.result.figures["acknowledged_inserts"] < whole.figures["acknowledged_inserts"]
    assert_books_balance(done.result)


# --- rate limits ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(new_server: Callable[..., Server]) -> Server:
    """1 MB/s of inserts, once its quota centre has seen the collection."""
    return new_server("quotaAndLimits.dml.enabled=true", "quotaAndLimits.dml.insertRate.max=1")


def throttled_job(name: str, retries: int) -> dict:
    job = job_for(name, [{"role": "writer", "count": 2, "rows": 800, "batch": 100, "inflight": 1}])
    job["dataset"] = {"path": str(MNIST)}
    job["retry"] = {"max": retries, "backoff": "50ms..500ms"}
    # A new collection is not limited before the quota centre's next round, 3 s at most.
    job["stages"].insert(0, {"name": "noticed", "roles": [{"role": "writer", "rows": 6, "batch": 1, "rate": "1/s"}]})
    return job


def test_throttled_writes_are_tried_again(narrow: Server, output: Path) -> None:
    done = hpc(*words(narrow, output, throttled_job("patient", 1000)), np=2, result=output)
    assert done.code == GOOD, str(done)
    result = assert_kept(done)
    inserts = result.operations("load", "insert")
    assert inserts["throttled"] > 0 and inserts["ok"] == inserts["planned"] == 16
    assert inserts["failed"] == inserts["unknown"] == 0
    assert result.figures["count_star"] == 1606


def test_throttled_writes_given_up_are_refused_ones(narrow: Server, output: Path) -> None:
    """Certain to have had no effect: none of their rows may be there, and the audit looks."""
    done = hpc(*words(narrow, output, throttled_job("impatient", 0)), "--keep", np=2, result=output)
    assert done.code == GOOD, str(done)
    result = assert_kept(done)
    inserts, figures = result.operations("load", "insert"), result.figures
    assert inserts["failed"] > 0 and inserts["failed"] == inserts["throttled"]
    assert inserts["planned"] == inserts["ok"] + inserts["failed"] == 16
    assert figures["refused_inserts"] == 100 * inserts["failed"]
    assert figures["acknowledged_inserts"] == figures["count_star"] == 1606 - figures["refused_inserts"]
    assert any(re.search("rate limit", row["message"]) for row in result.tables["errors"])
    assert_ledger_bounds(result, rows_on(narrow, "impatient"))
