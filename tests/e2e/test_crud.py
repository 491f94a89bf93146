"""The main job, scaled down: what the result file says against what the server's own client counts and reads."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import (GOOD, ROOT, UNUSABLE, Content, Done, Result, Server, assert_books_balance, assert_ledger_agrees, count, hpc,
                     read_all, read_vectors)

SEED, WRITERS, ROWS = 4711, 20, 500
SMALL = [f"stages.crud.writer.rows={ROWS}", "stages.crud.writer.batch=100", "stages.crud.indexer.start_after_rows=5000"]
ACCOUNTS = ["acknowledged_inserts", "acknowledged_upserts", "acknowledged_deletes", "expected_live", "expected_maybe", "count_star",
            "partition_sum", "scanned", "deletes_hit_live", "upserts_hit_live"]
WRONG = ["lost", "late", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted"]


def crud(server: Server, output: Path, name: str, *words: object, np_: int = 1, sets: tuple[str, ...] = ()) -> Done:
    settings = [word for setting in (*SMALL, f"collection.name={name}", *sets) for word in ("--set", setting)]
    return hpc("run", ROOT / "jobs" / "crud.yaml", "--server", server.uri, "--seed", SEED, "--output", output, *settings, *words,
               np=np_, result=output)


@pytest.fixture(scope="module")
def bystander(server: Server) -> str:
    """A collection that belongs to somebody else."""
    with server.client() as client:
        client.create_collection("bystander", dimension=4, auto_id=False)
        client.insert("bystander", [{"id": i, "vector": [i, 0, 0, 1]} for i in range(7)])
        assert count(client, "bystander") == 7
    return "bystander"


@pytest.fixture(scope="module")
def kept(server: Server, bystander: str, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("kept")
    done = crud(server, folder / "result.h5", "kept", "--keep", "--label", "kept one", "--json", folder / "summary.json", np_=4)
    assert done.code == GOOD, str(done)
    return done


@pytest.fixture(scope="module")
def result(kept: Done) -> Result:
    return kept.result


def test_every_acknowledged_row_is_accounted_for(result: Result) -> None:
    figures = result.figures
    assert figures["acknowledged_inserts"] == WRITERS * ROWS
    assert figures["acknowledged_deletes"] > 0 and figures["acknowledged_upserts"] > 0
    live = figures["acknowledged_inserts"] - figures["acknowledged_deletes"]
    for name in ("expected_live", "count_star", "partition_sum", "scanned"):
        assert figures[name] == live, name
    assert figures["deletes_hit_live"] == figures["acknowledged_deletes"]
    assert figures["upserts_hit_live"] == figures["acknowledged_upserts"]
    assert figures["passes"] == 3
    assert {name: figures[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    assert result.violations == []


def test_client_counts_what_the_result_says(server: Server, result: Result) -> None:
    expected: dict[str, int] = {}
    for row in result.live().values():
        name = result.worker(row.worker)["partition"]
        expected[name] = expected.get(name, 0) + 1
    with server.client() as client:
        assert count(client, "kept") == result.figures["count_star"] == sum(expected.values())
        names = client.list_partitions("kept")
        assert set(names) == set(expected) | {"_default"}
        for name in names:
            assert count(client, "kept", name) == expected.get(name, 0), name


def test_client_reads_the_ledgers_rows(server: Server, result: Result, mnist: np.ndarray) -> None:
    """Keys, partitions and texts of all rows; vectors of some in each version."""
    content, live = Content(SEED, mnist), result.live()
    with server.client() as client:
        for name in client.list_partitions("kept"):
            expected = {key: content.varchar(key, row.version) for key, row in live.items()
                        if result.worker(row.worker)["partition"] == name}
            assert read_all(client, "kept", name) == expected, name
        for version in (0, 1):
            keys = random.Random(version).sample([key for key, row in live.items() if row.version == version], 200)
            vectors = read_vectors(client, "kept", keys)
            assert sorted(vectors) == sorted(keys)
            for key, vector in vectors.items():
                assert np.array_equal(vector, content.vector(key, version)), (key, version)


def test_deleted_and_upserted_rows(server: Server, result: Result) -> None:
    deleted = [key for key, row in result.ledger.items() if row.deleted]
    assert len(deleted) == result.figures["acknowledged_deletes"]
    with server.client() as client:
        assert read_vectors(client, "kept", deleted) == {}
    versions = {row.version for row in result.ledger.values()}
    assert versions == {0, 1}


def test_books(result: Result) -> None:
    assert_books_balance(result)
    assert_ledger_agrees(result)
    workers = result.tables["workers"]
    assert [row["worker"] for row in workers] == list(range(WRITERS + 11))
    assert sum(row["rows"] for row in workers) == len(result.ledger) == WRITERS * ROWS
    assert {row["rank"] for row in workers} == set(range(4)) == {row["rank"] for row in result.tables["ranks"]}
    assert result.operations("crud", "insert")["planned"] == WRITERS * ROWS // 100
    assert result.operations("crud", "drop_index")["ok"] == 1 and result.operations("crud", "create_index")["ok"] == 2


def test_timeline_and_histograms_add_up(result: Result) -> None:
    for row in result.tables["operations"]:
        moments = [m for m in result.tables["timeline"] if all(m[k] == row[k] for k in ("stage", "role", "op"))]
        for name in ("ok", "failed", "unknown", "throttled", "rows"):
            assert sum(m[name] for m in moments) == row[name], (row["op"], name)
        for moment in ("due", "sent"):
            assert result.histograms[f"latency/{row['stage']}/{row['latency']}/{moment}"] == row["latency_count"]
        assert 0 < row["due_p50_ns"] <= row["due_p99_ns"] <= row["due_max_ns"]


def test_layout(result: Result) -> None:
    attributes = result.attributes
    for name in ("format", "format_version", "run_id", "label", "started_utc", "duration_s", "exit_code", "verdict", "server_version",
                 "collection", "seed", "np", "program_version"):
        assert name in attributes, name
    assert (attributes["exit_code"], attributes["seed"], attributes["np"]) == (0, SEED, 4)
    assert (attributes["label"], attributes["collection"]) == ("kept one", "kept")
    assert attributes["verdict"].startswith("GOOD") and attributes["server_version"].startswith("v2.3.5")
    for path in ("job/options", "ranks", "workers", "operations", "timeline", "errors", "truth/summary", "truth/violations",
                 "truth/ledger", "server/events"):
        assert path in result.tables, path
        assert len(result.units[path]) > 0
    job = (ROOT / "jobs" / "crud.yaml").read_text()
    assert result.job_text == re.sub(r"\$\{(\w+):-(.*?)\}", lambda match: os.environ.get(match[1]) or match[2], job)
    options = {row["option"]: row for row in result.tables["job/options"]}
    assert options["collection.name"]["value"] == "kept" and "--set" in options["collection.name"]["origin"]


def test_h5dump_reads_it(result: Result) -> None:
    done = subprocess.run(["h5dump", result.path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for word in ('DATASET "violations"', 'DATASET "ledger"', 'ATTRIBUTE "verdict"', "GOOD"):
        assert word in done.stdout, word


def test_json_and_report_say_the_same(kept: Done, result: Result) -> None:
    summary = json.loads((result.path.parent / "summary.json").read_text())
    assert summary["truth"]["summary"] == {name: None if value == -1 else value for name, value in result.figures.items()}
    assert summary["verdict"] == result.attributes["verdict"] and summary["exit_code"] == 0
    assert [row["planned"] for row in summary["operations"]] == [row["planned"] for row in result.tables["operations"]]
    again = hpc("report", result.path)
    assert again.code == GOOD and again.out == kept.out
    numbers = [int(n.replace(",", "")) for n in re.findall(r"^   [ =-] +([\d,]+)  ", kept.out, re.M)]
    figures = result.figures
    assert numbers == [figures["acknowledged_inserts"], figures["acknowledged_deletes"], *[figures["count_star"]] * 4]


def test_no_journals_are_left(result: Result) -> None:
    assert sorted(path.name for path in result.path.parent.iterdir()) == ["result.h5", "summary.json"]


@pytest.mark.parametrize("np_", [1, 32])
def test_same_seed_same_accounts_on_any_number_of_ranks(server: Server, output: Path, result: Result, bystander: str, np_: int) -> None:
    done = crud(server, output, f"on_{np_}", np_=np_, sets=("verify.recheck=[flush]",))
    assert done.code == GOOD, str(done)
    other = done.result
    assert {name: other.figures[name] for name in ACCOUNTS} == {name: result.figures[name] for name in ACCOUNTS}
    assert other.attributes["verdict"] == result.attributes["verdict"]
    fates = {key: (row.insert, row.version, row.deleted) for key, row in result.ledger.items()}
    assert {key: (row.insert, row.version, row.deleted) for key, row in other.ledger.items()} == fates
    assert_books_balance(other)
    assert_ledger_agrees(other)
    assert other.attributes["np"] == np_ == len(other.tables["ranks"])
    with server.client() as client:
        assert sorted(client.list_collections()) == [bystander, "kept"]
        assert count(client, bystander) == 7


def test_another_seed_changes_other_rows(server: Server, output: Path, result: Result) -> None:
    settings = ("stages.crud.writer.count=4", "verify.recheck=[]")
    done = crud(server, output, "seeded", "--seed", SEED + 1, sets=settings)
    assert done.code == GOOD, str(done)
    ours = {key for key, row in done.result.ledger.items() if row.deleted}
    theirs = {key for key, row in result.ledger.items() if row.deleted and key in done.result.ledger}
    assert ours != theirs


def test_without_an_index_role_the_audit_makes_one(server: Server, output: Path) -> None:
    job = (ROOT / "jobs" / "crud.yaml").read_text()
    bare = output.with_name("bare.yaml")
    bare.write_text("".join(line for line in job.splitlines(keepends=True) if "role: indexer" not in line))
    done = hpc("run", bare, "--server", server.uri, "--output", output, "--set", f"stages.crud.writer.rows={ROWS}", "--set",
               "stages.crud.writer.count=3", "--set", "stages.crud.writer.batch=20", "--set", "verify.recheck=[]",
               "--seed", SEED, result=output)  # enough batches for each role to get its share
    assert done.code == GOOD, str(done)
    assert "has no index" in done.err
    assert done.result.figures["count_star"] == done.result.figures["expected_live"] > 0


def test_a_deleter_that_deletes_nothing_is_no_good_run(server: Server, output: Path) -> None:
    """A run whose deleters had nothing to delete has not tested deletes, and says so."""
    settings = ("stages.crud.writer.count=1", "stages.crud.writer.rows=1", "stages.crud.upserter.share=0",
                "stages.crud.deleter.share=0.0001", "verify.recheck=[]")
    done = crud(server, output, "idle", sets=settings)
    assert done.code == UNUSABLE, str(done)
    assert "no delete hit a live row" in done.result.attributes["verdict"]
