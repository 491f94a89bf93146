"""Searches and queries under load against the real server: nothing is accused that is right, what is known to be wrong is found, recall is what
another client finds, and what the server refuses is said once.
"""

from __future__ import annotations

import re
from pathlib import Path
from threading import Lock

import h5py
import numpy as np
import pytest
from proxy import Forward, behind
from pymilvus import MilvusClient
from readjobs import CHURN, COUNTER, FILTERED, QUERIER, RANGE, SEARCHER, SEED, TELLING, job_for, kinds_of
from support import GOOD, ROOT, UNUSABLE, VIOLATED, Done, Server, hpc, write_job


def test_the_real_server_under_churn_is_not_accused(tmp_path, server: Server):
    writer, deleter, _ = CHURN  # rows upserted and then deleted: see test_stale_search
    roles = [writer, deleter, FILTERED | {"ops": 400, "consistency": "bounded"}, RANGE | {"ops": 200, "nq": 10, "consistency": "bounded"},
             TELLING | {"ops": 20}, QUERIER | {"ops": 20}, COUNTER | {"ops": 20}]
    job = job_for(roles, recall=200)
    job["collection"]["index"] = {"type": "HNSW", "metric": "L2", "params": {"M": 16, "efConstruction": 100}}
    for role in job["stages"][1]["roles"]:
        if role["role"] == "searcher":
            role["params"] = {"ef": 256}
    path = write_job(tmp_path / "job.yaml", job)
    done = hpc("run", path, "--server", server.uri, "--seed", SEED, "--output", tmp_path / "result.h5", np=3, result=tmp_path / "result.h5",
               timeout=300)
    assert done.code == GOOD, str(done)
    figures = done.result.figures
    assert figures["reads_judged"] == figures["reads"] > 7000
    assert figures["true_neighbors_found"] / figures["true_neighbors"] > 0.95, str(done)


def run_job(folder: Path, server: Server, name: str, *sets: str, np: int = 4) -> Done:
    words = [word for option in sets for word in (["--set", option] if "=" in option else [option])]
    return hpc("run", ROOT / "jobs" / name, "--server", server.uri, "--output", folder / "result.h5", *words, np=np,
               result=folder / "result.h5", timeout=400)


def test_search_churn(tmp_path, server: Server):
    done = run_job(tmp_path, server, "search_churn.yaml", "stages.fill.writer.rows=500", "stages.load_up.searcher.for=10s",
                   "stages.load_up.querier.for=10s", "stages.load_up.writer.for=10s", "verify.recheck=[]")
    assert done.code == GOOD, str(done)
    figures = done.result.figures
    assert figures["reads_judged"] == figures["reads"] > 500 and figures["true_neighbors_found"] > 0.8 * figures["true_neighbors"] > 0


def test_aggressive(tmp_path, server: Server):
    done = run_job(tmp_path, server, "aggressive.yaml", "stages.crud.writer.rows=500", "stages.crud.writer.batch=100", "stages.crud.indexer.start_after_rows=5000",
                   "stages.load_up.searcher.for=10s", "stages.load_up.querier.for=10s", "stages.load_up.churn.for=10s",
                   "collection.index={field: vector, type: HNSW, metric: L2, params: {M: 16, efConstruction: 100}}",
                   'stages.load_up.searcher.mix=[{topk: 10, params: {ef: 200}}, {topk: 50, radius: random, params: {ef: 200}}]', "verify.recheck=[]")
    assert done.code == GOOD, str(done)
    figures = done.result.figures
    assert figures["reads_judged"] == figures["reads"] > 500 and figures["true_neighbors_found"] > 0.9 * figures["true_neighbors"] > 0
    assert not [row for row in done.result.tables["operations"] if row["failed"] or row["unknown"]]


def test_stale_search(tmp_path, server: Server):
    """What a search of this server may show of upserted rows that are being deleted: docs/findings.md. Nothing else is wrong."""
    done = run_job(tmp_path, server, "stale_search.yaml", "stages.both.searcher.for=15s", "stages.both.churn.for=15s", np=2)
    assert done.code in (GOOD, VIOLATED) and kinds_of(done) <= {"stale"}, str(done)
    assert all(row["seen_by"] == "search" for row in done.result.violations), str(done)
    assert done.result.figures["hits_judged"] > 10000


def test_strong_upserts(tmp_path, server: Server):
    """What reads of this server at strong may show among upserts: docs/findings.md. No row is lost by it, and nothing else is wrong."""
    done = run_job(tmp_path, server, "strong_upserts.yaml", *(f"stages.both.{role}.for=5s" for role in ("churn", "querier", "searcher")), np=2)
    assert done.code in (GOOD, VIOLATED) and kinds_of(done) <= {"stale", "wrong_distance", "missed", "non_monotonic", "resurrected"}, str(done)
    assert not [row for row in done.result.violations if row["seen_by"] == "audit"], str(done)
    assert done.result.figures["query_rows_judged"] > 1000


def test_recall_is_what_an_independent_client_finds(tmp_path, server: Server):
    done = run_job(tmp_path, server, "recall.yaml", "dataset.rows=6000", "stages.fill.writer.rows=300", "collection.index.params={nlist: 64}",
                   "--keep", *(f"stages.effort_{i}.searcher.ops=25" for i in (1, 2, 3, 4)))
    assert done.code == GOOD, str(done)
    with h5py.File(ROOT / "data" / "mnist-784-euclidean.hdf5") as file:
        train, test = file["train"][:6000].astype(np.float32), file["test"][:].astype(np.float32)
    truth = ((train ** 2).sum(1) - 2 * test @ train.T).argsort(1)[:, :10]
    client = MilvusClient(server.uri)
    for stage, nprobe in (("effort_1", 1), ("effort_2", 4), ("effort_3", 16), ("effort_4", 64)):
        hits = [row for at in range(0, len(test), 1000) for row in client.search(
            "hpc_recall", data=test[at:at + 1000].tolist(), limit=10, search_params={"metric_type": "L2", "params": {"nprobe": nprobe}})]
        found = np.array([len(np.intersect1d([hit["id"] for hit in row], right)) for row, right in zip(hits, truth, strict=True)])
        points = [row for row in done.result.tables["recall"] if row["stage"] == stage]
        theirs = found[[row["query"] for row in points]].mean() / 10
        assert len(points) == 1000
        ours = sum(row["found"] for row in points) / sum(row["wanted"] for row in points)
        assert abs(ours - theirs) < 0.001, f"{stage}: {ours} against {theirs}"
    client.drop_collection("hpc_recall")
    client.close()


def test_the_real_servers_refusals_come_once_with_a_count(tmp_path, server: Server):
    """A field that is none, no expression, too many hits: each in its words, and exit code 3."""
    bad = SEARCHER | {"count": 2, "ops": 100000, "nq": 1}
    job = job_for([bad | {"filter": "nofield > 3"}, bad | {"filter": "id >"}, bad | {"topk": 20000}, QUERIER | {"ops": 100000, "expression": "id >>> 3"}], enabled=False)
    job["stages"][0] = {"name": "fill", "roles": [{"role": "writer", "count": 1, "rows": 300, "batch": 100}]}
    path = write_job(tmp_path / "job.yaml", job)
    done = hpc("run", path, "--server", server.uri, "--seed", SEED, "--output", tmp_path / "result.h5", np=2, result=tmp_path / "result.h5")
    assert done.code == UNUSABLE and "no search of the searcher role succeeded" in done.out, str(done)
    for words in (r"field nofield not exist", r"cannot parse expression: id > *,", r"topk \[#\] is invalid", r"cannot parse expression: id >>> #"):
        rows = [row for row in done.result.tables["errors"] if re.search(words, row["message"])]
        assert len(rows) == 1 and rows[0]["count"] > 10 and rows[0]["outcome"] == "failed", f"{words}: {rows}\n{done}"


@pytest.mark.parametrize(("released_at", "verdict"), [(1, "no search of the searcher role succeeded"), (30, "3 workers gave up, as the server refused all that they asked")])
def test_an_unloaded_collection_is_said_once_with_a_count(tmp_path, server: Server, released_at: int, verdict: str):
    """Another client releases it, before the first read or after some: the server's words, and exit code 3."""
    turn, searches = Lock(), []
    with server.client() as client:
        def release(called: str, _request: bytes, forward: Forward, _context: object) -> bytes:
            with turn:
                if called == "Search":
                    searches.append(called)
                    if len(searches) == released_at:
                        client.release_collection("reads")
            return forward()

        job = job_for([{key: value for key, value in SEARCHER.items() if key != "ops"} | {"for": "60s", "nq": 1}], enabled=False)
        job["server"] = job.get("server", {}) | {"timeout": "3s"}
        job["stages"][0] = {"name": "fill", "roles": [{"role": "writer", "count": 1, "rows": 300, "batch": 100}]}
        with behind(server.uri, release) as uri:
            done = hpc("run", write_job(tmp_path / "job.yaml", job), "--server", uri, "--seed", SEED, "--output", tmp_path / "result.h5",
                       result=tmp_path / "result.h5")
    assert done.code == UNUSABLE and verdict in " ".join(done.out.split()), str(done)
    rows = [row for row in done.result.tables["errors"] if "collection not loaded" in row["message"]]
    assert [row["op"] for row in rows] == ["search"] and rows[0]["count"] >= 300 and rows[0]["code"] == 101, str(done)
    assert len(re.findall("gives up: .*collection not loaded", done.err)) == 1, str(done)
    assert done.result.attributes["duration_s"] < 55, "they give up long before their time is over"
