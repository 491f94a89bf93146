"""Rows that are inserted, upserted and deleted by the same worker, mixed at random: on the mock, which says what it did wrong, and on the
real server."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from mockserver import Mock, expected
from support import GOOD, ROOT, VIOLATED, Done, Server, assert_books_balance, assert_ledger_agrees, count, hpc, read_all, running, write_job

CHURN = {"role": "churn", "count": 3, "rows": 1200, "batch": 20, "inflight": 4, "weights": {"insert": 3, "delete": 1, "upsert": 2}}
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]


def job_for(roles: list[dict]) -> dict:
    return {
        "server": {"uri": "", "timeout": "20s"},
        "dataset": {"synthetic": {"rows": 3000, "dim": 8}},
        "collection": {"name": "churn", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}},
        "stages": [{"name": "churn", "roles": roles}],
        "verify": {"recheck": ["flush", "reload"], "vectors": "all", "grace": "1s"},
    }


def run(folder: Path, uri: str, roles: list[dict], np: int, *words: object) -> Done:
    path = folder / "result.h5"
    done = hpc("run", write_job(folder / "job.yaml", job_for(roles)), "--server", uri, "--output", path, *words, np=np, result=path)
    if path.exists():
        assert_books_balance(done.result)
        assert_ledger_agrees(done.result)
    return done


def assert_equation(done: Done) -> None:
    """What is live by the ledger is what three countings found, and all three kinds of write had a part in it."""
    figures = done.result.figures
    live = figures["acknowledged_inserts"] - figures["acknowledged_deletes"]
    assert live == figures["expected_live"] == figures["count_star"] == figures["partition_sum"] == figures["scanned"]
    assert figures["deletes_hit_live"] == figures["acknowledged_deletes"] > 0
    assert figures["upserts_hit_live"] == figures["acknowledged_upserts"] > 0


@pytest.mark.parametrize("np", [1, 3])
@pytest.mark.parametrize("partition", ["own", "_default"])
def test_clean(tmp_path: Path, np: int, partition: str) -> None:
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, [CHURN | {"partition": partition}], np)
    assert done.code == GOOD, str(done)
    assert_equation(done)
    assert done.result.figures["acknowledged_inserts"] == 3 * 1200
    assert max(row.version for row in done.result.ledger.values()) > 1


def test_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """After as many operations as it was given, of which the weights are the mix; or when no row is left."""
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, [CHURN | {"ops": 500, "batch": 1, "rows": 1000}], 2)
        operations = {op: done.result.operations("churn", op)["planned"] for op in ("insert", "upsert", "delete")}
    assert done.code == GOOD and sum(operations.values()) == 3 * 500, str(done)
    assert 600 < operations["insert"] < 900 and 350 < operations["upsert"] < 650 and 150 < operations["delete"] < 350, operations
    (tmp_path / "result.h5").unlink()
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, [CHURN | {"for": "1h"}], 2)
    assert done.code == GOOD and done.result.figures["expected_live"] == 0, str(done)
    assert_equation(done)


# Each row is upserted once: then the mock's log says which of a row's writes a fault struck. The first upserts are of few rows, which may
# all be deleted next.
@pytest.mark.parametrize("fault", ["lose=1%", "lose=1%,op=upsert", "lose_batch=2,op=upsert,after=9", "lose_batch=2,op=delete", "resurrect=1%",
                                   "keep_deleted=2%", "upsert_half_deleted=2%", "upsert_both=2%", "upsert_lost=2%", "duplicate=1%",
                                   "misplace=1%", "flip_vector=1%", "lose=1%,at=flush", "resurrect=2%,at=reload"])
@pytest.mark.parametrize("np", [1, 3])
def test_wrong_rows_are_named(tmp_path: Path, np: int, fault: str) -> None:
    with Mock(tmp_path, [fault]) as mock:
        done = run(tmp_path, mock.uri, [CHURN | {"versions": 1}], np)
    assert done.result.found == expected(done.result, mock.log()) != {}, str(done)
    assert done.code == VIOLATED, str(done)


@pytest.mark.parametrize("fault", ["reset=2,op=upsert,when=after", "reset=2,op=delete,when=before", "garbage=2,op=insert", "garbage=2,op=upsert",
                                   "grpc_status=2,status=13,op=delete,when=after"])
def test_rows_in_doubt_are_left_alone(tmp_path: Path, fault: str) -> None:
    with Mock(tmp_path, [fault]) as mock:
        done = run(tmp_path, mock.uri, [CHURN], 2)
    assert done.code == GOOD and len(mock.log()) == 2, str(done)
    figures = done.result.figures
    unknown = sum(figures[f"unknown_{write}s"] for write in ("insert", "upsert", "delete"))
    assert unknown > 0 and figures["unknown_present"] + figures["unknown_absent"] == unknown


def test_beside_others(tmp_path: Path) -> None:
    """Nobody waits for a churn that goes on when writers and those who live on their rows have ended."""
    others = [{"role": "writer", "rows": 1000, "batch": 10}, {"role": "deleter"}, {"role": "upserter"}, {"role": "indexer"}]
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock.uri, [*others, CHURN | {"for": "1s", "rate": "300/s"}], 2)
    assert done.code == GOOD, str(done)
    assert_equation(done)


def test_real_server(tmp_path: Path, server: Server) -> None:
    done = run(tmp_path, server.uri, [CHURN], 2, "--keep")
    assert done.code == GOOD, str(done)
    assert_equation(done)
    result = done.result
    with server.client() as client:
        assert count(client, "churn") == len(result.live())
        for number in result.partition_names:
            name = result.partition_names[number]
            wanted = {key: row.version for key, row in result.live().items() if row.partition == number}
            seen = {key: int(text.rpartition("_v")[2]) for key, text in read_all(client, "churn", name).items()}
            assert seen == wanted


def test_the_job(tmp_path: Path, server: Server) -> None:
    """jobs/churn.yaml, shorter: all three kinds of write by churn and probers, every level of visibility measured."""
    roles = ["churn", "prober", *(f"prober[{i}]" for i in range(1, 5))]
    sets = [word for role in roles for word in ("--set", f"stages.churn.{role}.for=60s")]
    path = tmp_path / "result.h5"
    words = ("run", ROOT / "jobs" / "churn.yaml", "--server", server.uri, "--output", path, *sets, "--set", "stages.churn.churn.count=2", "--progress", 1)
    with running(*words, np=3, result=path) as going:
        for before in range(5):
            going.wait_for(rf"^churn [^|\n]*\| churn [^|\n]*(\| prober [^|\n]*){{{before}}}\| prober [1-9]")
        going.wait_for_lines("churn")
        going.process.send_signal(signal.SIGUSR1)
        done = going.finish()
    assert done.code == GOOD and done.result.found == {}, str(done)
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)
    assert_equation(done)
    seen = {(row["consistency"], row["read"]) for row in done.result.tables["visibility"] if row["count"] > 0}
    assert seen == {("strong", "query"), ("strong", "search"), ("session", "query"), ("bounded", "search"), ("eventually", "query")}
