"""The detection matrix: a server that lies in one way, on rows that it names in a log, and an audit that does not know of it. The audit
must report the rows of that log, id by id and kind by kind, and no other. Beside it, servers that are merely slow, busy, or break off in
mid-word: nothing may be reported of those.

A row of the table is a fault, what the job has beside a plain load, and what must come of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mockserver import Found, Mock, expected
from support import GOOD, UNUSABLE, VIOLATED, Done, Row, assert_books_balance, assert_ledger_agrees, hpc, running, write_job

SEED, WRITERS, ROWS, BATCH = 31, 4, 600, 50
WRONG = ("lost", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted")
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "number", "type": "int64"}, {"name": "varchar_field", "type": "varchar", "max_length": 64}]
WRITER = {"role": "writer", "count": WRITERS, "rows": ROWS, "batch": BATCH, "inflight": 2, "partition": "own"}
DELETER = {"role": "deleter", "count": 2, "batch": 20, "share": "30%"}
UPSERTER = {"role": "upserter", "count": 2, "batch": 20, "share": "30%"}
INDEXER = {"role": "indexer", "start_after_rows": WRITERS * ROWS // 2, "recreate": True}
SLOW_WRITER = WRITER | {"rate": "50/s"}  # so that what happens in a third of a second happens before the audit
ALL_ROLES = [WRITER, DELETER, UPSERTER, INDEXER]


def in_partition(name: str) -> list[dict]:
    return [WRITER | {"partition": name}, DELETER, UPSERTER]


def job_for(roles: list[dict], verify: dict, timeout: str = "20s") -> dict:
    return {
        "server": {"uri": "", "timeout": timeout},
        "dataset": {"synthetic": {"rows": 3000, "dim": 8}},
        "collection": {"name": "matrix", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}},
        "retry": {"max": 20, "backoff": "1ms..20ms"},
        "stages": [{"name": "load", "roles": roles}],
        "verify": {"recheck": ["flush", "reload"], "vectors": "all", "grace": "300ms"} | verify,
    }


def words(folder: Path, mock: Mock, job: dict) -> list[object]:
    return ["run", write_job(folder / "job.yaml", job), "--server", mock.uri, "--seed", SEED, "--output", folder / "result.h5"]


def run(folder: Path, mock: Mock, job: dict) -> Done:
    return hpc(*words(folder, mock, job), np=2, result=folder / "result.h5", timeout=120)


@dataclass
class Case:
    faults: str  # one or more, with blanks between them
    kinds: tuple[str, ...] = ()  # that must come of them
    roles: list[dict] = field(default_factory=lambda: ALL_ROLES)
    verify: dict = field(default_factory=dict)
    timeout: str = "20s"

    def run(self, folder: Path) -> tuple[Done, list[dict]]:
        """And the mock's log."""
        with Mock(folder, self.faults.split()) as mock:
            done = run(folder, mock, job_for(self.roles, self.verify, self.timeout))
        return done, mock.log()


def assert_found(done: Done, wanted: Found) -> None:
    result = done.result
    assert result.found == wanted, str(done)
    for name in WRONG:
        assert result.figures[name] == len(wanted.get(name, ())), name
    assert result.attributes["exit_code"] == done.code and result.attributes["audited"]
    assert_books_balance(result)
    assert_ledger_agrees(result)


# --- rows ------------------------------------------------------------------------------------------------------------

# Rates where later writes of a row may put it right again: some are left.
ROW_FAULTS = [
    Case("lose=5", ("lost",), roles=[WRITER]),
    Case("lose=5,after=1000", ("lost",), roles=[WRITER]),
    Case("lose=5,op=insert", ("lost",), roles=[WRITER], verify={"vectors": "none"}),
    Case("lose=1%", ("lost",)),
    Case("lose=1%,op=upsert", ("lost",)),
    Case("lose=1%,at=flush", ("lost",)),
    Case("lose=1%,at=reload", ("lost",)),
    Case("lose=5,at=later:0.3", ("lost",), roles=[SLOW_WRITER]),
    Case("lose_batch=1", ("lost",), roles=[WRITER]),
    Case("lose_batch=2,op=upsert", ("stale",), roles=[WRITER, UPSERTER]),
    Case("lose_batch=2,op=delete", ("resurrected",)),
    Case("lose_concurrent=7", ("lost",), roles=[WRITER | {"inflight": 8}]),
    Case("duplicate=5", ("duplicated",), roles=[WRITER]),
    Case("duplicate=1%", ("duplicated",)),
    Case("duplicate=2%,op=upsert", ("duplicated",)),
    Case("upsert_both=2%", ("duplicated",)),
    Case("upsert_lost=2%", ("stale",)),
    Case("upsert_half_deleted=2%", ("lost",)),
    Case("keep_deleted=5", ("resurrected",)),
    Case("resurrect=5", ("resurrected",)),
    Case("resurrect=5,at=flush", ("resurrected",)),
    Case("resurrect=5,at=reload", ("resurrected",)),
    Case("resurrect=5,at=later:0.3", ("resurrected",), roles=[SLOW_WRITER, DELETER]),
    Case("misplace=1%", ("misplaced",)),
    Case("misplace=2%,op=upsert", ("misplaced",)),
    Case("flip_vector=1%", ("corrupted",)),
    Case("flip_vector=2%,op=upsert", ("corrupted",)),
    Case("flip_scalar=1%", ("corrupted",)),
    Case("flip_scalar=2%,op=upsert", ("corrupted",)),
    Case("unexpected=5", ("unexpected",)),
    Case("late=1%,seconds=60", ("lost",)),
    Case("lose=5", ("lost",), roles=[WRITER | {"partition": "_default"}]),
    Case("lose=1%", ("lost",), roles=in_partition("common"), verify={"recheck": []}),
    Case("duplicate=1%", ("duplicated",), roles=in_partition("common")),
    Case("misplace=1%", ("misplaced",), roles=in_partition("common")),
    Case("keep_deleted=5", ("resurrected",), roles=in_partition("common")),
    # the count is right
    Case("lose=5 unexpected=5", ("lost", "unexpected"), roles=[WRITER]),
    Case("lose=5 duplicate=5,after=100", ("lost", "duplicated"), roles=[WRITER]),
    Case("keep_deleted=5 upsert_half_deleted=2%", ("lost", "resurrected")),
]


PASSES = {"at=flush": 1, "at=reload": 2}  # the first that can see it


@pytest.mark.parametrize("case", ROW_FAULTS, ids=lambda case: case.faults)
def test_wrong_rows_are_named(tmp_path: Path, case: Case) -> None:
    done, log = case.run(tmp_path)
    assert done.code == VIOLATED, str(done)
    assert {row["first_pass"] for row in done.result.violations} == {PASSES.get(case.faults.rpartition(",")[2], 0)}
    wanted = expected(done.result, log)
    assert set(case.kinds) == set(wanted), log
    assert_found(done, wanted)


def test_vectors_of_rows_in_doubt_are_read(tmp_path: Path) -> None:
    """With an upsert in doubt its vector is the old one or the new one, and no third."""
    done, log = Case("flip_vector=100%,op=upsert reset=2,op=upsert,when=after").run(tmp_path)
    flipped = [entry for entry in log if entry["fault"] == "flip_vector"]
    assert done.code == VIOLATED and done.result.figures["unknown_upserts"] > 0, str(done)
    assert_found(done, expected(done.result, flipped))


# --- calls whose end tells nothing, or the truth too late -------------------------------------------------------------

A_SECOND = "1s"


def in_doubt(fault: str, op: str, **more: object) -> Case:
    return Case(f"{fault},op={op}", roles=[WRITER] if op == "insert" else [WRITER, DELETER, UPSERTER], **more)


# Of a write that was broken off before it was applied nothing is there; after it, all is.
IN_DOUBT = [in_doubt(fault, op, timeout=timeout)
            for op in ("insert", "upsert", "delete")
            for fault, timeout in [("reset=2,when=before", "20s"), ("reset=2,when=after", "20s"), ("grpc_status=2,status=14,when=before", "20s"),
                                   ("grpc_status=2,status=14,when=after", "20s"), ("grpc_status=2,status=13,when=after", "20s"),
                                   ("reply_code=2,code=65535,legacy=1,when=before", "20s"),
                                   ("reply_code=2,code=65535,legacy=1,when=after", "20s"), ("hang=2", A_SECOND), ("garbage=2", "20s"),
                                   ("truncate=2", "20s"), ("huge=2,bytes=1000000", "20s")]]


@pytest.mark.parametrize("case", IN_DOUBT, ids=lambda case: case.faults)
def test_writes_in_doubt_are_no_violations(tmp_path: Path, case: Case) -> None:
    done, log = case.run(tmp_path)
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    figures = done.result.figures
    unknown = sum(figures[f"unknown_{write}s"] for write in ("insert", "upsert", "delete"))
    assert unknown > 0 and len(log) == 2, str(done)
    assert figures["unknown_present"] + figures["unknown_absent"] == unknown
    if "when=before" in case.faults:
        assert figures["unknown_present"] == 0
    if "when=after" in case.faults:
        assert figures["unknown_absent"] == 0


HARMLESS = [
    Case("late=1%,seconds=1", verify={"grace": "10s"}),
    Case("reply_code=5,code=8,legacy=49,op=insert"),
    Case("reply_code=5,code=8,legacy=49,op=upsert"),
    Case("reply_code=5,code=8,legacy=49,op=delete"),
    Case("reply_code=20,code=8,legacy=49,op=query"),
    Case("reply_code=20,code=65535,op=query"),
    Case("reply_code=2,code=8,legacy=49,op=flush"),
    Case("reply_code=2,code=8,legacy=49,op=load"),
    Case("grpc_status=5,status=14,op=query"),
    Case("reset=5,op=query"),
    Case("hang=2,op=query", timeout=A_SECOND),
    Case("delay=1%,ms=200"),
    Case("delay=10%,ms=20,op=insert"),
    Case("goaway=3,op=insert"),
    Case("goaway=1%"),
    Case("count_off=2,by=5"),
    Case("reset=2,op=flush"),
    Case("reset=2,op=load"),
    Case("hang=1,op=flush", timeout=A_SECOND),
    Case("hang=1,op=load", timeout=A_SECOND),
    Case("statistics_off"),
]


@pytest.mark.parametrize("case", HARMLESS, ids=lambda case: case.faults)
def test_harmless_faults_are_no_violations(tmp_path: Path, case: Case) -> None:
    done, log = case.run(tmp_path)
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    assert log, "the fault never took effect"


# What was read then says nothing about rows, and a read that was answered so is not asked again.
UNREADABLE = [Case(fault) for fault in ("garbage=1,op=query", "truncate=1,op=query", "huge=1,op=query", "huge=1,op=query,bytes=300000000",
                                        "garbage=1,op=flush", "reply_code=1,code=1100,op=query", "grpc_status=1,status=13,op=query")]


@pytest.mark.parametrize("case", UNREADABLE, ids=lambda case: case.faults)
def test_replies_that_mean_nothing_are_no_verdict(tmp_path: Path, case: Case) -> None:
    done, log = case.run(tmp_path)
    assert done.code == UNUSABLE and len(log) == 1, str(done)
    result = done.result
    assert result.attributes["verdict"].startswith("INCOMPLETE") and not result.attributes["audited"]
    assert_books_balance(result)
    assert_ledger_agrees(result)


def test_busy_server_that_did_it_all_the_same(tmp_path: Path) -> None:
    """It says that it had no time for two batches, and has stored them: sent again, they are there twice."""
    done, _ = Case("reply_code=2,code=8,legacy=49,op=insert,when=after", roles=[WRITER]).run(tmp_path)
    assert done.code == VIOLATED, str(done)
    doubled = done.result.found["duplicated"]
    assert doubled == {key // BATCH * BATCH + i for key in doubled for i in range(BATCH)} and len(doubled) == 2 * BATCH
    assert_found(done, {"duplicated": doubled})


def test_no_fault_no_violation(tmp_path: Path) -> None:
    with Mock(tmp_path) as mock:
        done = run(tmp_path, mock, job_for(ALL_ROLES, {}))
        assert mock.stop() == 0
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    assert done.result.figures["acknowledged_deletes"] > 0 and done.result.figures["acknowledged_upserts"] > 0


# --- a server that dies ----------------------------------------------------------------------------------------------


def finish_with_heir(folder: Path, fault: str, job: dict) -> Done:
    """The run with a mock that dies, and another one in its place with what data it left."""
    with Mock(folder, [fault], ["--data", folder / "mock.data"]) as mock:
        with running(*words(folder, mock, job), np=2, result=folder / "result.h5") as hpc_run:
            assert mock.ended(60) == 137
            with mock.heir():
                return hpc_run.finish(120)


@pytest.mark.parametrize(("op", "when"), [("insert", "before"), ("insert", "after"), ("upsert", "after"), ("delete", "after")])
def test_server_dies_in_mid_write_and_comes_back(tmp_path: Path, op: str, when: str) -> None:
    job = job_for([WRITER, DELETER, UPSERTER], {"grace": "5s"}) | {"retry": {"max": 20, "backoff": "100ms..1s"}}
    done = finish_with_heir(tmp_path, f"die=1,op={op},after=10,when={when},data=keep", job)
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    assert sum(done.result.figures[f"unknown_{write}s"] for write in ("insert", "upsert", "delete")) > 0, str(done)


def test_server_dies_for_good(tmp_path: Path) -> None:
    with Mock(tmp_path, ["die=1,op=insert,after=10,data=lose"]) as mock:
        done = run(tmp_path, mock, job_for([WRITER, DELETER, UPSERTER], {}, "3s"))
        assert mock.ended(10) == 137
    assert done.code == UNUSABLE, str(done)
    result = done.result
    assert result.attributes["exit_code"] == UNUSABLE and not result.attributes["audited"]
    assert result.figures["unknown_inserts"] > 0
    assert_books_balance(result)


def test_server_dies_and_comes_back_empty(tmp_path: Path) -> None:
    """After the load, before the audit reads: all that was acknowledged is lost, and it is said of every row."""
    done = finish_with_heir(tmp_path, "die=1,op=flush,data=lose", job_for([WRITER, DELETER], {}))
    assert done.code == VIOLATED, str(done)
    assert_found(done, {"lost": set(done.result.live())})


# --- what is about no single row --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["flush", "reload"])
def test_partition_vanishes(tmp_path: Path, at: str) -> None:
    done, log = Case(f"drop_partition=1,partition=load_0_00001,at={at}").run(tmp_path)
    assert done.code == VIOLATED, str(done)
    assert [entry["partition"] for entry in log] == ["load_0_00001"]
    wanted = {"lost": {key for key, row in done.result.live().items() if partition_of(done, row) == "load_0_00001"}}
    assert_found(done, wanted)


def partition_of(done: Done, row: Row) -> str:
    return done.result.partition_names[row.partition]


def test_wrong_count(tmp_path: Path) -> None:
    done, _ = Case("count_off=100%,by=3").run(tmp_path)
    assert done.code == VIOLATED, str(done)
    assert set(done.result.found) == {"miscounted"}, str(done)


def test_all_reads_are_stale(tmp_path: Path) -> None:
    """From before there was a row: each is lost, as far as anybody can see."""
    done, _ = Case("stale_read=100%,seconds=60").run(tmp_path)
    assert done.code == VIOLATED, str(done)
    assert_found(done, {"lost": set(done.result.live())})


def test_audit_reads_at_strong(tmp_path: Path) -> None:
    """Weaker reads would see nothing of all that."""
    with Mock(tmp_path, options=["--staleness", "60s"]) as mock:
        done = run(tmp_path, mock, job_for([WRITER], {}))
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    assert done.result.figures["late"] == 0


def test_statistics_are_shown_as_they_are(tmp_path: Path) -> None:
    done, log = Case("statistics_off=100%,by=7", roles=[WRITER]).run(tmp_path)
    assert done.code == GOOD and log, str(done)
    figures = done.result.figures
    assert figures["statistics_row_count"] == figures["count_star"] + 7 == WRITERS * ROWS + 7


@pytest.mark.parametrize("allowed", [False, True])
def test_half_an_upsert_in_doubt(tmp_path: Path, allowed: bool) -> None:
    """Rows that an upsert without an end deleted, and did not put back. Only the job may excuse that."""
    case = Case("upsert_half_deleted=5 grpc_status=1,status=14,op=upsert,when=after",
                roles=[WRITER, UPSERTER | {"count": 1, "inflight": 1}], verify={"allow": ["upsert_not_atomic"] if allowed else []})
    done, log = case.run(tmp_path)
    halves = {entry["key"] for entry in log if "key" in entry}
    assert len(halves) == 5 and done.code == (GOOD if allowed else VIOLATED), str(done)
    assert_found(done, {} if allowed else {"lost": halves})
    assert done.result.figures["allowed_anomalies"] == (5 if allowed else 0)


def test_some_reads_are_stale(tmp_path: Path) -> None:
    """Rows that were not to be seen at first were late, and no worse."""
    done, log = Case("stale_read=2,seconds=60", verify={"grace": "10s"}).run(tmp_path)
    assert done.code == GOOD, str(done)
    assert_found(done, {})
    assert done.result.figures["late"] > 0 and len(log) == 2
