"""Lifecycles against a mock: collections made, filled, read and dropped again and again by a server that lies in one way and logs it, by one
that is slow, busy or breaks off, and by one that has other work beside it. What is wrong must be found in its cycle, under its name; what is
only broken must be counted; and no collection may be left.
"""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from mockserver import Mock, kind_of
from proxy import Counter, Forward, Lie, behind
from pymilvus import MilvusClient, MilvusException
from pymilvus.grpc_gen import common_pb2, milvus_pb2
from support import (GOOD, MISSED, UNUSABLE, VIOLATED, Done, assert_books_balance, assert_ledger_agrees, hpc, private_bytes, ranks_of,
                     running, write_job)

FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "number", "type": "int64"}, {"name": "varchar_field", "type": "varchar", "max_length": 64}]
ROWS, FIRST_ID, BITS = 200, 1 << 47, 21
PLAN = ("create_collection", "create_partition", "insert", "create_index", "load", "search", "query", "release", "drop_index", "delete",
        "drop_partition", "drop_collection")
LOOKS = ("count", "describe_index", "show_partitions", "show_collections")
READ_LAST = ["create_collection", "insert", "create_index", "load", "delete", "search", "query", "release", "drop_collection"]


def life(**options: object) -> dict:
    return {"role": "lifecycle", "count": 2, "rows": ROWS, "batch": 70, "cycles": 4, "recheck": "100%", "poll": "5ms"} | options


def job_for(roles: list[dict], **parts: dict) -> dict:
    job = {
        "server": {"uri": "http://127.0.0.1:1", "timeout": "20s"},
        "dataset": {"synthetic": {"rows": 3000, "dim": 8}},
        "collection": {"name": "lives", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}},
        "retry": {"max": 20, "backoff": "1ms..20ms"},
        "stages": [{"name": "soak", "roles": roles}],
        "verify": {"enabled": False, "recheck": [], "vectors": "all", "grace": "300ms"},
    }
    return {name: part | parts.get(name, {}) if isinstance(part, dict) else part for name, part in job.items()} | {
        name: part for name, part in parts.items() if name not in job}


def words(folder: Path, mock: Mock, job: dict) -> list[object]:
    return ["run", write_job(folder / "job.yaml", job), "--server", mock.uri, "--seed", 5, "--output", folder / "result.h5"]


def collections(mock: Mock) -> list[str]:
    """Of lifecycles; the job's own stays as evidence after violations. A mock with faults may strike this client, too."""
    for attempt in range(20):
        client = None
        try:
            client = MilvusClient(uri=mock.uri, timeout=2)
            return [name for name in client.list_collections() if name != "lives"]
        except MilvusException:
            assert attempt < 19
        finally:
            if client is not None:
                client.close()
    raise AssertionError("never reached")


def run(folder: Path, faults: str, job: dict, np: int = 1, options: tuple = ()) -> tuple[Done, Mock, list[str]]:
    with Mock(folder, faults.split(), options) as mock:
        done = hpc(*words(folder, mock, job), np=np, result=folder / "result.h5", timeout=120)
        left = collections(mock)
    assert_books_balance(done.result)
    assert_ledger_agrees(done.result)
    return done, mock, left


def violations(done: Done) -> list[dict]:
    """A run without an audit has that table when it found some."""
    return done.result.tables.get("truth/violations", [])


def of_role(done: Done, op: str) -> dict:
    [row] = [row for row in done.result.tables["operations"] if row["role"] == "lifecycle" and row["op"] == op]
    return row


def assert_provenance(done: Done) -> None:
    """Each violation names its cycle, that cycle's worker and collection; its id lies in that cycle's range."""
    workers = len(done.result.tables["workers"])
    for row in done.result.violations:
        tag = done.result.attributes["run_id"].rpartition("-")[2]
        assert row["cycle"] >= 0 and row["collection"] == f"lives_{tag}_w{row['reader']:04}_c{row['cycle']}", row
        if row["kind"] != "unexpected":
            assert (row["id"] - FIRST_ID) >> BITS == row["cycle"] * workers + row["reader"], row


# --- a server that does what it says ---------------------------------------------------------------------------------

@pytest.mark.parametrize("np", [1, 3])
def test_clean(tmp_path: Path, np: int) -> None:
    done, _, left = run(tmp_path, "", job_for([life()], verify={"enabled": True}), np, ("--load-time", "50ms", "--build-time", "30ms"))
    assert done.code == GOOD and violations(done) == [], str(done)
    assert left == []
    figures = done.result.figures
    assert [figures[f"cycles_{what}"] for what in ("begun", "whole", "broken", "cut")] == [8, 8, 0, 0]
    assert figures["cycle_rows"] == 8 * ROWS and figures["acknowledged_inserts"] == 0 and figures["count_star"] == 0
    operations = {row["op"]: row for row in done.result.tables["operations"] if row["role"] == "lifecycle"}
    assert set(operations) == {*PLAN, *LOOKS, "cycle"}
    again = {"insert": 3, "query": 6, "delete": 2, "load": 2, "release": 2, "create_index": 2, "drop_index": 2, "count": 3}
    assert {op: row["ok"] for op, row in operations.items()} == {op: 8 * again.get(op, 1) for op in operations}
    assert operations["insert"]["rows"] == 8 * ROWS and operations["delete"]["rows"] == 8 * ROWS // 2
    assert operations["query"]["rows"] == 8 * (ROWS + ROWS // 2)
    # until it is done, not until the reply
    for op, least in (("load", 50e6), ("create_index", 30e6), ("cycle", 160e6)):
        assert least <= operations[op]["due_p50_ns"], operations[op]
        assert done.result.histograms[f"latency/soak/{op}/due"] == operations[op]["ok"]
    assert sum(row["ok"] for row in done.result.tables["timeline"] if row["op"] == "cycle") == 8
    said = " ".join(done.out.split())
    assert "CYCLES" in said and "8 of 8 cycles whole" in said
    assert "nobody wrote to the job's collection, and it is empty" in said and "every acknowledged row" not in said


def test_other_roles_beside_it(tmp_path: Path) -> None:
    """They know nothing of one another: not the ledger, not the judge of reads, not the indexer that waits for rows."""
    roles = [{"role": "writer", "count": 2, "rows": 2000, "batch": 50, "rate": "60/s"}, {"role": "deleter", "batch": 20},
             {"role": "searcher", "count": 2, "for": "500ms"}, {"role": "prober", "rows": 5}, life(cycles=6, steps=READ_LAST)]
    done, _, left = run(tmp_path, "", job_for(roles, verify={"enabled": True, "recheck": ["flush", "reload"]}), 2)
    assert done.code == GOOD and violations(done) == [] and left == [], str(done)
    assert done.result.figures["cycles_whole"] == 12
    assert done.result.figures["acknowledged_inserts"] == 4000 + 5
    assert done.result.figures["reads"] == of_stage(done, "searcher")


def of_stage(done: Done, role: str) -> int:
    return sum(row["ok"] for row in done.result.tables["operations"] if row["role"] == role and row["op"] == "search")


def test_it_lasts_as_long_as_it_is_told(tmp_path: Path) -> None:
    """A cycle that has begun by then is gone through to its end."""
    job = job_for([life(cycles=10**6, **{"for": "700ms"})], thresholds={"cycle.count": ">= 2", "cycle.per_hour": "> 100000"})
    done, _, left = run(tmp_path, "", job, options=("--load-time", "60ms"))
    assert done.code == MISSED and left == [], str(done)
    figures = done.result.figures
    assert figures["cycles_begun"] == figures["cycles_whole"] >= 2 and figures["cycles_cut"] == 0
    held = {row["figure"]: row["held"] for row in done.result.tables["thresholds"]}
    assert held == {"cycle.count": True, "cycle.per_hour": False}


def test_without_partition_index_or_drop(tmp_path: Path) -> None:
    """Whatever the steps are, the collection goes."""
    done, _, left = run(tmp_path, "", job_for([life(steps=["create_collection", "insert", "delete"])]))
    assert done.code == GOOD and left == [], str(done)
    assert of_role(done, "drop_collection")["ok"] == of_role(done, "show_collections")["ok"] == 8
    assert of_role(done, "load")["ok"] == 8, "the recheck of the delete"


# --- a server that lies ----------------------------------------------------------------------------------------------

FAULTS = ["lose=7", "lose=1%,at=reload", "lose_batch=2,op=insert", "lose_batch=2,op=delete", "duplicate=5", "keep_deleted=9", "resurrect=4",
          "flip_scalar=3", "flip_vector=3", "unexpected=2", "late=4,seconds=5", "misplace=5"]


@pytest.mark.parametrize("fault", FAULTS)
def test_rows(tmp_path: Path, fault: str) -> None:
    done, mock, left = run(tmp_path, fault, job_for([life()]))
    # of a row in the log: what is told of a deleted one, that it was lost, cannot be seen
    wanted: dict[str, set[int]] = {}
    for entry in mock.log():
        wanted.setdefault(kind_of(entry), set()).add(entry["key"])
    assert wanted and done.code == VIOLATED, str(done)
    if fault.startswith("lose=1%"):  # some of them are deleted before the collection is loaded again
        assert set(done.result.found) == set(wanted) and done.result.found["lost"] <= wanted["lost"], str(done)
    else:
        assert done.result.found == wanted, str(done)
    assert left == []
    assert_provenance(done)
    for row in done.result.violations:
        assert row["write"] == ("delete" if row["kind"] == "resurrected" else "" if row["kind"] == "unexpected" else row["write"])
        assert row["kind"] == "unexpected" or (row["worker"] == row["reader"] and 0 < row["acknowledged_ns"] < row["first_seen_ns"]), row
    told = hpc("report", tmp_path / "result.h5", "--violations")
    assert done.result.violations[0]["collection"] in told.out and "cycle" in told.out


def test_more_than_is_kept(tmp_path: Path) -> None:
    """Beyond 100,000 sightings a rank it is not known which rows they are of: then the verdict does not say how many."""
    done, mock, _ = run(tmp_path, "lose=100%", job_for([life(count=1, rows=40000, batch=8000, cycles=2)]))
    lost = len({entry["key"] for entry in mock.log() if kind_of(entry) == "lost"})
    assert done.code == VIOLATED and 0 < done.result.figures["lost"] <= lost, str(done)
    said = re.search(r"about at least (\d+) rows \(and (\d+) sightings more, of these or of others\)", done.result.attributes["verdict"])
    assert said and int(said[1]) <= lost and int(said[2]) > 0, done.result.attributes["verdict"]


@pytest.mark.parametrize("fault, kind", [
    ("search_dead=1", "resurrected"), ("search_repeat=1", "duplicated"), ("search_short=100%", "missed"),
    ("search_distance=3", "wrong_distance"), ("search_order=2", "wrong_order"),
    ("count_off=100%,by=3", "miscounted"), ("count_off=100%,by=-2", "miscounted"), ("partitions_ignored=100%", "duplicated"),
])
def test_answers(tmp_path: Path, fault: str, kind: str) -> None:
    steps = {} if fault.startswith("partitions") else {"steps": READ_LAST}
    roles = [life(count=1, cycles=2, **steps)]
    done, _, left = run(tmp_path, fault, job_for(roles, verify={"grace": "0s"}))
    assert done.code == VIOLATED and set(done.result.found) == {kind} and left == [], str(done)
    assert_provenance(done)


@pytest.mark.parametrize("index, params, missed", [
    ({"type": "IVF_FLAT", "params": {"nlist": 16}}, {}, True), ({"type": "IVF_FLAT", "params": {"nlist": 16}}, {"nprobe": 10}, True),
    ({"type": "IVF_FLAT", "metric": "COSINE", "params": {"nlist": 16}}, {"nprobe": 4}, True),
    ({"type": "IVF_FLAT", "params": {"nlist": 16}}, {"nprobe": 1}, False), ({"type": "HNSW", "params": {"M": 8, "efConstruction": 64}}, {"ef": 32}, False),
])
def test_rows_that_searches_do_not_find(tmp_path: Path, index: dict, params: dict, missed: bool) -> None:
    """What an index must find is a violation; what it may miss is a figure, and a threshold's."""
    roles = [life(count=1, cycles=4, steps=READ_LAST, topk=1, params=params)]
    job = job_for(roles, thresholds={"cycle.found": ">= 0.9"})
    job["collection"]["index"] = {"metric": "L2"} | index
    done, _, _ = run(tmp_path, "search_short=100%,after=10", job)
    figures, held = done.result.figures, [row["held"] for row in done.result.tables["thresholds"]]
    if missed:
        assert done.code == VIOLATED and set(done.result.found) == {"missed"}, str(done)
    else:
        assert done.code == MISSED and violations(done) == [] and held == [False], str(done)
    assert 0 < figures["cycle_rows_found"] < 0.9 * figures["cycle_rows_searched"]


def test_all_rows_are_found(tmp_path: Path) -> None:
    done, _, _ = run(tmp_path, "", job_for([life()], thresholds={"cycle.found": ">= 100%"}), 2)
    assert done.code == GOOD, str(done)
    assert done.result.figures["cycle_rows_found"] == done.result.figures["cycle_rows_searched"] == 8 * 10


@pytest.mark.parametrize("op, stands_for", [("drop_collection", 1), ("drop_partition", 2), ("drop_index", 3)])
def test_what_is_not_dropped(tmp_path: Path, op: str, stands_for: int) -> None:
    done, mock, left = run(tmp_path, f"keep_dropped=1,op={op}", job_for([life()]))
    assert len(mock.log()) == 1 and done.code == VIOLATED, str(done)
    [row] = done.result.violations
    assert row["kind"] == "not_dropped" and row["id"] - FIRST_ID & (1 << BITS) - 1 == (1 << BITS) - stands_for
    assert row["seen_by"] == {1: "show_collections", 2: "show_partitions", 3: "describe_index"}[stands_for]
    assert_provenance(done)
    assert left == [], "it is dropped once more"
    told = hpc("report", tmp_path / "result.h5", "--violations")
    assert "not_dropped" in told.out and row["collection"] in told.out


def test_what_a_broken_cycle_did_not_drop(tmp_path: Path) -> None:
    """Nobody but the look behind it sees that its drop, which was acknowledged, was not done."""
    done, mock, left = run(tmp_path, "reply_code=1,code=65535,op=load keep_dropped=1,op=drop_collection", job_for([life(count=1, cycles=2)]))
    assert done.code == VIOLATED and [entry["fault"] for entry in mock.log()].count("keep_dropped") == 1, str(done)
    [row] = done.result.violations
    assert row["kind"] == "not_dropped" and row["cycle"] == 0 and row["seen_by"] == "show_collections", row
    assert_provenance(done)
    figures = done.result.figures
    assert left == [] and (figures["cycles_broken"], figures["cycles_whole"], figures["collections_left"]) == (1, 1, 0)


def test_copies_do_not_hide_behind_rows_in_doubt(tmp_path: Path) -> None:
    """An insert without a known outcome never lands; the count(*) has room for as many second copies of other rows."""
    steps = ["create_collection", "create_partition", "insert", "create_index", "load", "query"]
    job = job_for([life(count=1, cycles=1, batch=20, steps=steps)], server={"timeout": "500ms"})
    done, mock, _ = run(tmp_path, "hang=1,op=insert,when=before duplicate=15,after=30", job)
    twice = {entry["key"] for entry in mock.log() if entry["fault"] == "duplicate"}
    assert len(twice) == 15 and done.result.found == {"duplicated": twice}, str(done)
    assert done.code == UNUSABLE and done.result.figures["cycles_broken"] == 1, str(done)  # no cycle was whole, too
    assert_provenance(done)


def test_what_comes_late_is_late(tmp_path: Path) -> None:
    done, _, _ = run(tmp_path, "late=3,seconds=2", job_for([life()], verify={"grace": "20s"}))
    assert done.code == GOOD and done.result.found == {} and done.result.figures["late"] >= 1, str(done)


# --- a server that is slow, busy, or breaks off ----------------------------------------------------------------------

TROUBLES = [  # and what of it must have been counted
    ("reply_code=5%,code=8,legacy=49 reply_code=5%,code=0,legacy=49 delay=2%,ms=50", {"throttled"}), ("reply_code=1%,code=65535 grpc_status=3%,status=14", set()),
    ("reset=2%", set()), ("garbage=1% truncate=1%", set()),
    ("hang=3,op=insert,after=3,when=after hang=3,op=insert,after=9,when=before hang=2,op=delete hang=2,op=load", {"unknown", "timed_out"}),
    ("hang=2,op=create_collection,after=1,when=after hang=2,op=drop_collection grpc_status=3,status=4,op=drop_collection", {"timed_out"}),
]
CALLS = {"throttled": ("reply_code",), "timed_out": ("hang",), "unknown": ("hang",)}  # of which faults each is


@pytest.mark.parametrize("trouble, counted", TROUBLES)
def test_trouble_is_counted_and_survived(tmp_path: Path, trouble: str, counted: set[str]) -> None:
    done, mock, left = run(tmp_path, trouble, job_for([life(cycles=12)], server={"timeout": "1s"}))
    assert mock.log() and done.code == GOOD and violations(done) == [], str(done)
    figures = done.result.figures
    assert figures["cycles_begun"] == figures["cycles_whole"] + figures["cycles_broken"] == 24 and figures["cycles_whole"] > 0
    assert left == []
    broken = [row for row in done.result.tables["errors"] if row["op"] == "cycle"]
    assert sum(row["count"] for row in broken) == figures["cycles_broken"]
    for row in broken:
        assert row["message"].rpartition(" ")[2] in PLAN + LOOKS, row
    assert_trouble_is_counted(done, mock, counted)


def assert_trouble_is_counted(done: Done, mock: Mock, counted: set[str]) -> None:
    """Operation by operation, as the mock's log has it; a poll's is its operation's, and the client's own look at the start has none."""
    struck: dict[str, dict[str, int]] = {what: {} for what in counted}
    for entry in mock.log():
        for what in counted:
            write = entry["op"] in ("insert", "delete")
            if entry["fault"] in CALLS[what] and (what != "unknown" or write):
                struck[what][entry["op"]] = struck[what].get(entry["op"], 0) + 1
    for what, calls in struck.items():
        assert calls, what
        for op in set(calls) & set(PLAN) - {"query", "load", "create_index", "create_collection", "drop_collection"}:
            assert of_role(done, op)[what] == calls[op], (what, op, calls)
        assert sum(row[what] for row in done.result.tables["operations"] if row["role"] == "lifecycle") > 0


def test_nothing_but_broken_cycles_is_no_test(tmp_path: Path) -> None:
    done, _, left = run(tmp_path, "reply_code=100%,code=65535,op=create_partition", job_for([life()]))
    assert done.code == UNUSABLE and left == [], str(done)
    assert "no cycle of the lifecycle role succeeded" in done.result.attributes["verdict"]
    assert done.result.figures["cycles_broken"] == 8


# --- a server that comes back with less ------------------------------------------------------------------------------

def with_heir(folder: Path, fault: str, job: dict) -> Done:
    """The run with a mock that dies, and another one in its place with what data it left."""
    with Mock(folder, [fault], ["--data", folder / "mock.data"]) as mock:
        with running(*words(folder, mock, job), result=folder / "result.h5") as going:
            assert mock.ended(60) == 137
            with mock.heir() as heir:
                done = going.finish(120)
                assert collections(heir) == []
    assert_books_balance(done.result)
    return done


PATIENT = {"retry": {"max": 20, "backoff": "50ms..200ms"}}


@pytest.mark.parametrize("op, owed", [("create_index", ROWS), ("release", ROWS), ("delete", ROWS // 2)])
def test_collections_that_vanish_lose_their_rows(tmp_path: Path, op: str, owed: int) -> None:
    """Acknowledged and not deleted: they are lost, each of them, and not only their cycle broken."""
    job = job_for([life(count=1, cycles=2, batch=ROWS, recheck="0%")], **PATIENT)
    done = with_heir(tmp_path, f"die=1,op={op},data=lose", job)
    assert done.code == VIOLATED and set(done.result.found) == {"lost"} and len(done.result.found["lost"]) == owed, str(done)
    assert_provenance(done)
    for row in done.result.violations:
        assert row["cycle"] == 0 and row["seen_by"] == "show_collections" and row["write"] == "insert", row
        assert 0 < row["acknowledged_ns"] < row["first_seen_ns"] and row["last_seen_ns"] - row["first_seen_ns"] >= 300e6, row
    figures = done.result.figures
    assert (figures["cycles_broken"], figures["cycles_unlooked"], figures["cycles_whole"]) == (1, 0, 1)


def test_a_collection_that_vanishes_without_a_row_is_lost_itself(tmp_path: Path) -> None:
    """A drop of the partition may have taken all of them; the collection it cannot take."""
    done = with_heir(tmp_path, "die=1,op=drop_partition,data=lose", job_for([life(count=1, cycles=2, recheck="0%")], **PATIENT))
    assert done.code == VIOLATED and set(done.result.found) == {"lost"}, str(done)
    [row] = done.result.violations
    assert row["id"] - FIRST_ID == (1 << BITS) - 1 and row["seen_by"] == "show_collections" and row["write"] == "", row
    assert_provenance(done)
    assert done.result.figures["cycles_unlooked"] == 0


def test_collections_that_stay_lose_nothing(tmp_path: Path) -> None:
    """Whatever step a cycle breaks at, and whether that step was done or not, an inquest finds all rows, or owes none."""
    failing = [f"reply_code=1,code=65535,op={op},after={at}" for at, op in enumerate(PLAN[3:])]
    unanswered = [f"hang=1,op={op},after=12,when=after" for op in ("release", "drop_index", "delete", "drop_partition", "drop_collection")]
    job = job_for([life(count=2, cycles=20, recheck="20%")], server={"timeout": "1s"})
    done, mock, left = run(tmp_path, " ".join(failing + unanswered), job)
    assert done.code == GOOD and violations(done) == [] and left == [] and len(mock.log()) == len(failing) + len(unanswered), str(done)
    figures = done.result.figures
    assert figures["cycles_broken"] >= len(failing) and figures["cycles_unlooked"] == 0
    assert figures["cycles_whole"] + figures["cycles_broken"] == 40


def test_a_server_that_comes_back_with_all_it_had_lost_nothing(tmp_path: Path) -> None:
    done = with_heir(tmp_path, "die=1,op=insert,after=4,when=after,data=keep", job_for([life(count=3)], **PATIENT))
    assert done.code == GOOD and violations(done) == [], str(done)
    figures = done.result.figures
    assert figures["cycles_whole"] + figures["cycles_broken"] == 12 and figures["cycles_unlooked"] == 0 < figures["cycles_broken"]


@pytest.mark.parametrize("fault, kind", [("lose=3", "lost"), ("duplicate=3", "duplicated"), ("flip_scalar=3", "corrupted")])
def test_rows_of_broken_cycles_are_looked_at(tmp_path: Path, fault: str, kind: str) -> None:
    """Each cycle breaks before any of its own looks."""
    done, mock, left = run(tmp_path, f"{fault} reply_code=1,code=65535,op=create_index", job_for([life(count=1, cycles=1)]))
    assert done.code in (VIOLATED, UNUSABLE) and left == [], str(done)
    assert done.result.found == {kind: {entry["key"] for entry in mock.log() if "key" in entry}}, str(done)
    assert done.result.figures["cycles_broken"] == 1 and done.result.figures["cycles_unlooked"] == 0


def test_rows_that_nobody_looked_at_are_named(tmp_path: Path) -> None:
    """No load succeeds for longer than server.timeout: some cycles' rows are never seen, and the verdict does not cover them."""
    job = job_for([life(count=1, cycles=3, recheck="0%")], server={"timeout": "1s"})
    done, _, left = run(tmp_path, "reply_code=100%,code=65535,op=load,after=1", job)
    figures = done.result.figures
    assert done.code == GOOD and left == [] and violations(done) == [], str(done)
    assert figures["cycles_unlooked"] == figures["cycles_broken"] == 2 and figures["cycles_whole"] == 1
    verdict = done.result.attributes["verdict"]
    assert "1 of 3 cycles whole" in verdict and verdict.endswith("cycles broken, rows not looked at: 2"), verdict
    [row] = [row for row in done.result.tables["errors"] if row["op"] == "cycle"]
    assert row["outcome"] == "unknown" and row["message"] == "ended by the step load"


# --- answers that could not be asked again ---------------------------------------------------------------------------

def run_behind(folder: Path, lie: Lie, job: dict) -> Done:
    with Mock(folder) as mock:
        with behind(mock.uri, lie) as between:
            done = hpc(*words(folder, mock, job), "--server", between, result=folder / "result.h5")
        assert collections(mock) == []
    assert_books_balance(done.result)
    return done


def answer_as(pattern: str, then: str) -> Lie:
    """To the second cycle's strong reads, one by one: "l", a row less; "r", refused; " ", the truth."""
    reads = Counter()

    def lie(method: str, request: bytes, forward: Forward, _context: object) -> bytes:
        answer = forward()
        if method != "Query" or not milvus_pb2.QueryRequest.FromString(request).collection_name.endswith("c1"):
            return answer
        number = reads.next()
        what = pattern[number - 1] if number <= len(pattern) else then
        if what == "r":
            return milvus_pb2.QueryResults(status=common_pb2.Status(code=65535, error_code=1, reason="not now")).SerializeToString()
        reply = milvus_pb2.QueryResults.FromString(answer)
        if what == "l":
            reply.fields_data[0].scalars.long_data.data[0] -= 1
        return reply.SerializeToString()

    return lie


TWO = {"server": {"timeout": "1s"}, "verify": {"grace": "60s"}}


def test_a_contradiction_that_is_not_asked_again_is_not_good(tmp_path: Path) -> None:
    """A count(*) lacks a row; from then on no read of that collection succeeds."""
    done = run_behind(tmp_path, answer_as("l", "r"), job_for([life(count=1, cycles=2)], **TWO))
    figures = done.result.figures
    assert done.code == UNUSABLE and violations(done) == [], str(done)
    assert (figures["cycles_whole"], figures["cycles_contradicted"], figures["cycles_unlooked"]) == (1, 1, 1)
    assert "UNDECIDED: 1 cycle ended with an answer that contradicted" in done.result.attributes["verdict"], str(done)


@pytest.mark.parametrize("answers", ["lr", "lrlr", "lrrlr", "r"])
def test_an_inquest_settles_what_was_contradicted(tmp_path: Path, answers: str) -> None:
    """The cycle's own answer or that of an inquest which then failed, too: the last one's reads find all rows, so they were late."""
    done = run_behind(tmp_path, answer_as(answers, " "), job_for([life(count=1, cycles=2)], **TWO))
    figures = done.result.figures
    assert done.code == GOOD and [row["kind"] for row in violations(done)] == ["late"] * ("l" in answers), str(done)
    assert (figures["cycles_broken"], figures["cycles_contradicted"], figures["cycles_unlooked"]) == (1, 0, 0)


def test_an_inquest_does_not_settle_what_it_does_not_ask(tmp_path: Path) -> None:
    """A search that missed a row and could not be repeated: that all rows are there says nothing of it."""
    searches = Counter()

    def lie(method: str, _request: bytes, forward: Forward, _context: object) -> bytes:
        answer = forward()
        if method != "Search":
            return answer
        if searches.next() > 1:
            return milvus_pb2.SearchResults(status=common_pb2.Status(code=65535, error_code=1, reason="not now")).SerializeToString()
        reply = milvus_pb2.SearchResults.FromString(answer)
        found = reply.results
        found.ids.int_id.data[:] = found.ids.int_id.data[1:]  # the first query's nearest row, which is its own
        found.scores[:] = found.scores[1:]
        found.topks[0] -= 1
        return reply.SerializeToString()

    done = run_behind(tmp_path, lie, job_for([life(count=1, cycles=1)], **TWO))
    figures = done.result.figures
    assert done.code == UNUSABLE and violations(done) == [], str(done)
    assert (figures["cycles_broken"], figures["cycles_contradicted"]) == (1, 1), str(done)


def refuse(wanted: str, code: int) -> Lie:
    """It is done, and the answer says that it was not."""
    def lie(method: str, _request: bytes, forward: Forward, _context: object) -> bytes:
        answer = forward()
        return answer if method != wanted else common_pb2.Status(code=code, error_code=1, reason="not found").SerializeToString()

    return lie


def test_a_partition_that_is_missing_when_it_is_dropped_proves_nothing(tmp_path: Path) -> None:
    """Something on the way sent its drop twice, and the second copy's answer comes; or the server had lost it before. Neither good nor lost."""
    done = run_behind(tmp_path, refuse("DropPartition", 200), job_for([life(count=1, cycles=2)]))
    figures = done.result.figures
    assert done.code == UNUSABLE and violations(done) == [], str(done)
    assert (figures["cycles_broken"], figures["cycles_contradicted"]) == (2, 2)
    assert "UNDECIDED: 2 cycles ended with an answer that contradicted" in done.result.attributes["verdict"], str(done)


def test_a_collection_that_is_missing_when_it_is_dropped_is_not_left(tmp_path: Path) -> None:
    done = run_behind(tmp_path, refuse("DropCollection", 100), job_for([life(count=1, cycles=2)]))
    assert done.result.figures["cycles_broken"] == 2 and "left on the server" not in done.err, str(done)


def test_a_server_that_refuses_all_is_not_flooded(tmp_path: Path) -> None:
    """Broken cycles are followed by pauses, each twice as long as the one before."""
    job = job_for([life(count=1, cycles=10**6, **{"for": "2s"})])
    done, mock, _ = run(tmp_path, "reply_code=100%,code=65535,op=create_collection,after=1", job)
    assert done.code == UNUSABLE and 2 <= done.result.figures["cycles_begun"] <= 8 and len(mock.log()) <= 20, str(done)


# --- stopped ---------------------------------------------------------------------------------------------------------

def test_stopped_in_mid_cycle(tmp_path: Path) -> None:
    """Nothing is left behind, and cycles cut short are neither whole nor broken."""
    job = job_for([life(cycles=10**6, count=4)], thresholds={"cycle.errors": "<= 0%"})  # to be cut is none
    with Mock(tmp_path, ["hang,op=load,after=16,count=4"]) as mock:  # each worker in one of its cycles
        with running(*words(tmp_path, mock, job), "--grace", 8, np=2, result=tmp_path / "result.h5") as going:
            assert going.read_until(lambda: len(mock.log()) == 4, 60), going.err
            going.process.send_signal(signal.SIGUSR1)
            done = going.finish()
        left = collections(mock)
    assert done.code == GOOD and left == [] and violations(done) == [], str(done)
    figures = done.result.figures
    assert "cycles cut before they were whole: 4" in done.result.attributes["verdict"]
    assert figures["cycles_cut"] == 4 and figures["cycles_broken"] == figures["collections_left"] == 0
    assert figures["cycles_begun"] == figures["cycles_whole"] + 4
    assert_books_balance(done.result)


def test_stopped_before_the_grace_is_over(tmp_path: Path) -> None:
    """Rows that a stop leaves without an answer may be late, or lost: a run that ends so is not good."""
    with Mock(tmp_path, ["lose=5", "delay,op=query,ms=1"]) as mock:  # what is delayed is logged
        with running(*words(tmp_path, mock, job_for([life(count=1)], verify={"grace": "60s"})), result=tmp_path / "result.h5") as going:
            assert going.read_until(lambda: [entry["fault"] for entry in mock.log()].count("delay") > 2, 60), going.err  # the first count came
            going.process.send_signal(signal.SIGTERM)
            done = going.finish()
    figures = done.result.figures
    assert (figures["cycles_contradicted"], figures["cycles_unlooked"], figures["cycles_cut"]) == (1, 1, 0)
    assert done.code == UNUSABLE and "UNDECIDED: 1 cycle ended with an answer that contradicted" in done.result.attributes["verdict"], str(done)
    assert_books_balance(done.result)


def test_stopped_after_nothing_but_broken_cycles(tmp_path: Path) -> None:
    """However it ends: no cycle of it was whole."""
    job = job_for([life(cycles=10**6, count=1)], server={"timeout": "1s"})
    with Mock(tmp_path, ["reply_code=100%,code=65535,op=load"]) as mock:
        with running(*words(tmp_path, mock, job), result=tmp_path / "result.h5") as going:
            going.wait_for(r"^milvus-hpc: calibration")
            assert going.read_until(lambda: len(mock.log()) > 2, 20)
            going.process.send_signal(signal.SIGUSR1)
            done = going.finish()
    figures = done.result.figures
    assert figures["cycles_broken"] > 0 == figures["cycles_whole"]
    assert done.code == UNUSABLE and "no cycle of the lifecycle role succeeded" in done.result.attributes["verdict"], str(done)


def test_builds_that_never_end(tmp_path: Path) -> None:
    """Each wait ends with the job's patience: cycles are broken, counted, and followed by others, and the audit gives up, too."""
    roles = [life(count=2, patience="1s", cycles=2)]
    job = job_for(roles, server={"timeout": "1s", "patience": "500ms"}, verify={"enabled": True}, observe={"enabled": False})
    done, _, left = run(tmp_path, "", job, options=("--build-time", "1h"))
    assert done.code == UNUSABLE and left == [], str(done)
    assert "building the index took longer than 0.5 s (server.patience)" in done.err, str(done)
    figures = done.result.figures
    assert (figures["cycles_begun"], figures["cycles_broken"], figures["cycles_unlooked"]) == (4, 4, 4)
    [row] = [row for row in done.result.tables["errors"] if row["op"] == "create_index"]
    assert row["count"] == of_role(done, "create_index")["failed"] >= 4 and "not done in time" in row["message"], row


def test_stopped_while_an_index_is_built(tmp_path: Path) -> None:
    """No patience outlasts a stop: the cycles are cut, the audit ends with the grace that the signal leaves."""
    with Mock(tmp_path, (), ("--build-time", "1h")) as mock:
        words_of = words(tmp_path, mock, job_for([life(count=2, patience="1h")], verify={"enabled": True}))
        with running(*words_of, "--grace", 4, result=tmp_path / "result.h5") as going:
            going.wait_for(r"^milvus-hpc: calibration")
            assert going.read_until(lambda: len(collections(mock)) == 2, 20)
            began = time.monotonic()
            going.process.send_signal(signal.SIGTERM)
            done = going.finish(60)
        assert collections(mock) == []
    assert done.code == UNUSABLE and time.monotonic() - began < 30, str(done)  # of 15 minutes, or an hour
    assert done.result.figures["cycles_cut"] == 2 and not done.result.attributes["audited"]
    assert_books_balance(done.result)


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    """A server that answers no drop: the stop ends all the same."""
    job = job_for([life(cycles=10**6, count=1)], server={"timeout": "1s"})
    with Mock(tmp_path, ["hang=100%,op=drop_collection"], ("--load-time", "300ms")) as mock:
        with running(*words(tmp_path, mock, job), "--grace", 16, result=tmp_path / "result.h5") as going:
            going.wait_for(r"^milvus-hpc: calibration")
            assert going.read_until(lambda: False, 0.5) is False
            going.process.send_signal(signal.SIGUSR1)
            done = going.finish(60)
        left = collections(mock)
    [name] = left
    assert f"collection {name} is left on the server" in done.err, str(done)
    figures = done.result.figures
    assert figures["cycles_begun"] == figures["cycles_broken"] + figures["cycles_cut"] == figures["collections_left"] == 1, figures
    verdict = done.result.attributes["verdict"]
    assert done.code == UNUSABLE and "no cycle of the lifecycle role succeeded" in verdict, str(done)  # its rows were looked at by nobody
    assert "collections of cycles that may be left on the server: 1" in verdict, verdict
    assert_books_balance(done.result)


def test_drops_that_hang_take_no_more_than_the_grace(tmp_path: Path) -> None:
    """Neither the audit's time, in the stage, nor the exit code, at the end."""
    roles = [life(cycles=10**6, count=1), {"role": "writer", "count": 1, "rows": ROWS}]
    job, grace = job_for(roles, server={"timeout": "60s"}, verify={"enabled": True}), 8
    with Mock(tmp_path, ["hang=100%,op=drop_collection,after=1"], ("--load-time", "300ms")) as mock:  # the first cycle is whole
        with running(*words(tmp_path, mock, job), "--grace", grace, np=2, result=tmp_path / "result.h5") as going:
            going.wait_for(r"^milvus-hpc: calibration")
            assert going.read_until(lambda: mock.log() != [], 20)
            began = time.monotonic()
            going.process.send_signal(signal.SIGUSR1)
            done = going.finish(100)
    assert time.monotonic() - began < 2 * grace, str(done)  # not the 60 s of a call
    result = done.result
    assert result.attributes["audited"] and result.figures["count_star"] == ROWS, str(done)
    assert done.code == result.attributes["exit_code"] == GOOD, str(done)
    assert done.err.count("collection lives was not dropped within --grace") == 1, str(done)


def killed_after(tmp_path: Path, mock: Mock, job: dict, sign: str) -> tuple[str, Done]:
    """What it had said by a second after that, and what merge makes of it."""
    output = tmp_path / "result.h5"
    with running(*words(tmp_path, mock, job), "--progress", 1, np=2) as going:
        going.wait_for(rf"^soak \d+ s.*{sign}")
        going.wait_for_lines("soak")
        for pid in ranks_of(going):
            os.kill(pid, signal.SIGKILL)
        said = going.finish().err
    merged = hpc("merge", f"{output}.journals", "-o", output, result=output)
    assert merged.code == UNUSABLE, str(merged)
    assert_ledger_agrees(merged.result)
    return said, merged


def test_a_killed_run_tells_its_cycles(tmp_path: Path) -> None:
    """Whole and broken ones are in the journals, up to the last summary; none of their rows is in the ledger."""
    job = job_for([life(cycles=10**6, count=2), {"role": "writer", "rows": 100000, "batch": 10, "rate": "100/s"}])
    with Mock(tmp_path) as mock:
        said, merged = killed_after(tmp_path, mock, job, r"\| lifecycle [1-9]")
    figures = merged.result.figures
    assert figures["cycles_whole"] > 0 and figures["cycle_rows"] == figures["cycles_whole"] * ROWS
    assert figures["cycle_rows_searched"] == figures["cycle_rows_found"] > 0
    assert max(merged.result.ledger) < FIRST_ID
    verdict = merged.result.attributes["verdict"]
    assert "cycles whole" in verdict and "as it had to be" not in verdict and "violation" not in said.lower()
    assert verdict.count("audited") == 1 and "not judged" not in verdict, verdict  # there was nobody's read to judge


def test_a_killed_run_tells_what_it_had_found(tmp_path: Path) -> None:
    """Each violation is in the journal as soon as it is seen, and was told while the run went on."""
    with Mock(tmp_path, ["lose=7"]) as mock:
        said, merged = killed_after(tmp_path, mock, job_for([life(cycles=10**6, count=2)]), r"sightings of wrong rows ([7-9]|\d\d)")
        lost = {entry["key"] for entry in mock.log() if kind_of(entry) == "lost"}
    assert re.search(r"violation: lost: id \d{15}, seen by (query|count|search) of worker \d in cycle \d+ after \d", said), said
    told = int(re.findall(r"sightings of wrong rows (\d+)", said)[-1])
    assert merged.result.attributes["verdict"].startswith("VIOLATED") and "INCOMPLETE" in merged.result.attributes["verdict"]
    found = {row["id"] for row in merged.result.violations if row["kind"] == "lost"}
    assert found == lost and len(lost) == 7 and told >= merged.result.figures["lost"] == 7, (told, found, lost)
    assert_provenance(merged)
    assert all(row["rank"] >= 0 and 0 < row["acknowledged_ns"] < row["first_seen_ns"] for row in merged.result.violations)


def test_memory_does_not_grow_with_cycles(tmp_path: Path) -> None:
    with Mock(tmp_path) as mock, running(*words(tmp_path, mock, job_for([life(cycles=10**6, count=4)]))) as going:

        def memory_after(cycles: int) -> int:
            def begun() -> int:
                return max((int(name.rpartition("_c")[2]) for name in collections(mock)), default=0)
            assert going.read_until(lambda: begun() >= cycles, 60), going.err
            return private_bytes(going.process.pid)

        first, last = memory_after(20), memory_after(120)  # of each worker
        going.process.send_signal(signal.SIGUSR1)
        done = going.finish()
    assert done.code == GOOD, str(done)
    assert first > 8 << 20 and last < first + (1 << 20), (first, last)


# --- words of a job --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("steps, said", [
    (["create_collection", "insert", "search"], "search stands as number 3, but it needs load before it"),
    (["create_collection", "load"], "load stands as number 2, but it needs create_index before it"),
    (["insert"], "insert stands as number 1, but there is no collection yet"),
    (["create_collection", "inset"], "'inset' is no step; known: create_collection,"),
    (["create_collection", "create_index", "load", "drop_index"], "drop_index stands as number 4, but it needs release before it"),
    (["create_collection", "drop_collection", "insert"], "insert stands as number 3, but the collection is dropped by then"),
])
def test_steps_that_cannot_be(tmp_path: Path, steps: list[str], said: str) -> None:
    (tmp_path / "job.yaml").write_text(write_job(tmp_path / "x.json", job_for([life(steps=steps)])).read_text())
    done = hpc("check", "job.yaml", cwd=tmp_path)
    assert done.code == UNUSABLE and len(done.errors) == 1, str(done)
    line = 1 + (tmp_path / "job.yaml").read_text()[:(tmp_path / "job.yaml").read_text().index('"steps"')].count("\n")
    assert f"stages.soak.lifecycle: steps (job.yaml:{line}:" in done.errors[0] and said in done.errors[0], done.errors[0]


def test_not_within_a_search_for_the_rate(tmp_path: Path) -> None:
    job = job_for([life(), {"role": "searcher"}])
    job["stages"][0]["find_max"] = {"role": "searcher", "from": "10/s", "to": "100/s", "within": "60s", "p99": "50ms"}
    write_job(tmp_path / "job.yaml", job)
    done = hpc("check", "job.yaml", cwd=tmp_path)
    assert done.code == UNUSABLE and "a lifecycle wants a stage without" in done.errors[0], str(done)
