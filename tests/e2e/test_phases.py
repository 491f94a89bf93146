"""What a run costs beside its load, by phase: the table adds up, and no phase waits for one rank after another."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mockserver import Mock
from support import GOOD, Result, hpc, write_job

STARTING = ["open_watch", "read_job", "plan", "open_dataset", "open_server", "calibrate", "open_run"]
STAGE = ["begin_stage", "load", "judge_reads", "end_stage"]
ENDING = ["share_ledger", "audit", "trace", "reduce"]
WORKERS = 4
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]
JOB = {"dataset": {"synthetic": {"rows": 500, "dim": 8}},
       "collection": {"name": "phases", "replace": True, "fields": FIELDS, "index": {"type": "FLAT", "params": {}}},
       "stages": [{"name": name, "roles": [{"role": "writer", "count": WORKERS - 1, "rows": 100, "batch": 10},
                                           {"role": "searcher", "count": 1, "for": "1s", "rate": "20/s"}]} for name in ("one", "two")],
       "calibrate": "never", "verify": {"recheck": [], "vectors": "none"}}


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path) as mock:
        yield mock


def run(mock: Mock, folder: Path, np: int) -> tuple[Result, float]:
    output = folder / f"{np}.h5"
    began = time.monotonic()
    done = hpc("run", write_job(folder / "job.yaml", JOB), "--server", mock.uri, "--output", output, "--seed", 5, np=np, result=output)
    assert done.code == GOOD, str(done)
    assert "result written in " in done.err
    return done.result, time.monotonic() - began


def phases(result: Result) -> dict[str, dict]:
    return {row["phase"]: row for row in result.tables["phases"]}


def test_phases_add_up_to_the_run(mock: Mock, tmp_path: Path) -> None:
    np = WORKERS + 2  # two ranks have nothing to do but the heartbeat
    result, seconds = run(mock, tmp_path, np)
    table = phases(result)
    assert list(table) == [*STARTING, *STAGE, *ENDING, "heartbeat"]
    beat = table.pop("heartbeat")
    for row in table.values():
        assert 0 < row["wall_s"] <= row["wall_max_s"] <= seconds, row
        assert 0 <= row["cpu_s"] <= row["cpu_max_s"], row
        assert 0 <= row["waited_s"] <= row["wall_s"], row
    assert [table[name]["count"] for name in STAGE] == [2, 2, 2, 4]  # judging lies in the midst of the end
    assert table["open_server"]["count"] == 3 and table["calibrate"]["waits"] == table["load"]["waits"] == 0
    lasted = sum(row["wall_s"] for row in table.values())
    assert 0.8 * result.attributes["duration_s"] < lasted < seconds
    of_run = sum(table[name]["cpu_s"] for name in [*STAGE, *ENDING[:-1]]) * np  # the ranks' own sums are taken while it reduces
    assert of_run <= sum(row["cpu_s"] for row in result.tables["ranks"]) + 1e-6
    assert beat["count"] >= 2 * 5 and 0 < beat["wall_s"] <= table["load"]["wall_s"] + 1
    assert 0 < beat["cpu_s"] <= beat["cpu_max_s"] and beat["waits"] == 0


def test_more_ranks_wait_no_more_often(mock: Mock, tmp_path: Path) -> None:
    few, many = (phases(run(mock, tmp_path, np)[0]) for np in (WORKERS, 3 * WORKERS))
    assert {name: row["waits"] for name, row in few.items()} == {name: row["waits"] for name, row in many.items()}
    assert math.isnan(few["heartbeat"]["cpu_s"]) and not math.isnan(many["heartbeat"]["cpu_s"])
