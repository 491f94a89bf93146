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
from support import GOOD, UNUSABLE, VIOLATED, Done, assert_books_balance, assert_ledger_agrees, hpc, write_job

SEED, WRITERS, ROWS, BATCH = 31, 4, 600, 50
WRONG = ("lost", "stale", "duplicated", "resurrected", "unexpected", "misplaced", "corrupted", "miscounted")
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "number", "type": "int64"}, {"name": "varchar_field", "type": "varchar", "max_length": 64}]
WRITER = {"role": "writer", "count": WRITERS, "rows": ROWS, "batch": BATCH, "inflight": 2, "partition": "own"}
DELETER = {"role": "deleter", "count": 2, "batch": 20, "share": "30%"}
UPSERTER = {"role": "upserter", "count": 2, "batch": 20, "share": "30%"}
INDEXER = {"role": "indexer", "start_after_rows": WRITERS * ROWS // 2, "recreate": True}


def job_for(roles: list[dict], verify: dict, timeout: str = "20s") -> dict:
    return {
        "server": {"uri": "", "timeout": timeout},
        "dataset": {"synthetic": {"rows": 3000, "dim": 8}},
        "collection": {"name": "matrix", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}},
        "retry": {"max": 20, "backoff": "1ms..20ms"},
        "stages": [{"name": "load", "roles": roles}],
        "verify": {"recheck": ["flush", "reload"], "vectors": "all", "grace": "1s"} | verify,
    }


def run(folder: Path, mock: Mock, job: dict, *words: object) -> Done:
    result = folder / "result.h5"
    return hpc("run", write_job(folder / "job.yaml", job), "--server", mock.uri, "--seed", SEED, "--output", result, *words, np=2,
               result=result, timeout=120)


@dataclass
class Case:
    fault: str
    kinds: tuple[str, ...] = ()  # that must come of it
    roles: list[dict] = field(default_factory=lambda: [WRITER, DELETER, UPSERTER, INDEXER])
    verify: dict = field(default_factory=dict)
    timeout: str = "20s"
    code: int = GOOD


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
    Case("lose=1%", ("lost",)),
    Case("lose=1%,op=upsert", ("lost",)),
    Case("lose=1%,at=flush", ("lost",)),
    Case("lose=1%,at=reload", ("lost",)),
    Case("lose=5,at=later:0.3", ("lost",), roles=[WRITER]),
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
    Case("resurrect=5,at=later:0.3", ("resurrected",)),
    Case("misplace=1%", ("misplaced",)),
    Case("misplace=2%,op=upsert", ("misplaced",)),
    Case("flip_vector=1%", ("corrupted",)),
    Case("flip_vector=2%,op=upsert", ("corrupted",)),
    Case("flip_scalar=1%", ("corrupted",)),
    Case("flip_scalar=2%,op=upsert", ("corrupted",)),
    Case("unexpected=5", ("unexpected",)),
    Case("late=1%,seconds=60", ("lost",)),
]


@pytest.mark.parametrize("case", ROW_FAULTS, ids=lambda case: case.fault)
def test_wrong_rows_are_named(tmp_path: Path, case: Case) -> None:
    with Mock(tmp_path, [case.fault]) as mock:
        done = run(tmp_path, mock, job_for(case.roles, case.verify))
    assert done.code == VIOLATED, str(done)
    wanted = expected(done.result, mock.log())
    assert set(case.kinds) == set(wanted), mock.log()
    assert_found(done, wanted)
