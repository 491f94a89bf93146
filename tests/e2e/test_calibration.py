"""The client's own speed: the table beside h2load, and the verdict on the client in every run."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mockserver import MOCK, Mock
from support import ENVIRONMENT, GOOD, MISSED, PROGRAM, ROOT, Done, hpc, write_job

LEAST_RATIO = 0.4  # far below the goals: a machine that is busy with other things passes, a client that lost its speed does not


def test_the_table_beside_h2load(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / "scripts" / "calibrate", "--binary", PROGRAM, "--mock", MOCK, "--rounds", "3", "--seconds", "1", "--json",
                           tmp_path / "table.json"], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "table.json").read_text())
    lines = [line for line in done.stdout.splitlines() if not line.startswith("note:")][1:]
    assert len(lines) == len(rows) >= 2
    for line, row in zip(lines, rows):
        assert line.startswith(row["case"]) and ("NOT MET" in line) == (row["ratio"] < row["goal"])
        assert row["ratio"] >= LEAST_RATIO, line
        assert row["ours_cpu_us"] > 0 and row["h2load_cpu_us"] > 0
    by_bytes = [row for row in rows if row["by_bytes"]]
    assert by_bytes and all(row["request_bytes"] > 500_000 for row in by_bytes)


# --- in a run ----------------------------------------------------------------------------------------------------


def job_file(folder: Path, role: dict, texts: int = 0, **more: object) -> Path:
    fields = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"}]
    fields += [{"name": f"text{i}", "type": "varchar", "max_length": 64} for i in range(texts)]
    return write_job(folder / "job.yaml", {
        "dataset": {"synthetic": {"rows": 2000, "dim": 16}},
        "collection": {"name": "calibrated", "replace": True, "fields": fields, "index": {"type": "FLAT", "params": {}}},
        "stages": [{"name": "load", "roles": [role]}], "verify": {"enabled": False}, **more})


def run(folder: Path, server: Mock, job: Path, np: int = 1, result: str = "out.h5") -> tuple[Done, dict]:
    """And the calibration of its one role."""
    done = hpc("run", job, "--server", server.uri, "--output", folder / result, "--json", folder / "out.json", np=np,
               result=folder / result, env={"XDG_CACHE_HOME": str(folder / "cache")})
    assert done.code in (GOOD, MISSED), str(done)
    (row,) = done.result.tables["calibration"]
    (same,) = json.loads((folder / "out.json").read_text())["calibration"]
    assert row["client_limited"] == same["client_limited"] and row["reason"] == same["reason"]
    return done, row


WRITER = {"role": "writer", "rows": 100_000_000, "for": "1s"}
# With some texts a row, which cost this side more than the other; so long that a pause of the machine of 0.1 s is not taken for idleness.
BUSY = WRITER | {"batch": 1000, "inflight": 32, "for": "3s"}
CALM = WRITER | {"batch": 1, "inflight": 4, "rate": "50/s"}


@pytest.fixture
def null_server(tmp_path: Path) -> Iterator[Mock]:
    with Mock(tmp_path, options=["--null"]) as server:
        yield server


def test_a_client_at_its_limit_says_so_on_every_line(tmp_path: Path, null_server: Mock) -> None:
    job = job_file(tmp_path, BUSY, texts=4, thresholds={"insert.p99": "< 10s", "errors": "<= 0.1%"})
    for attempt in range(5):  # longer pauses of the machine are
        done, row = run(tmp_path, null_server, job, result=f"{attempt}.h5")
        if row["client_limited"]:
            break
    assert row["client_limited"] and "rank 0 used" in row["reason"] and row["share"] > 0.3, str(row) + str(done)
    assert "CLIENT-LIMITED" in done.out
    assert f"* client-limited: load writer: {row['reason'][:30]}" in done.out
    lines = [line for line in done.out.splitlines() if "writer" in line and "insert" in line]
    assert len(lines) == 2 and all("insert *" in line for line in lines), done.out
    assert all(entry["client_limited"] for name in ("operations", "timeline") for entry in done.result.tables[name] if entry["stage"] == "load")
    marks = {entry["figure"]: entry["client_limited"] for entry in done.result.tables["thresholds"]}
    assert marks == {"insert.p99": True, "errors": False}


def test_a_calm_client_is_no_limit(tmp_path: Path, null_server: Mock) -> None:
    job = job_file(tmp_path, CALM)
    for attempt in range(5):  # a machine that is busy with other things does hold a client up, and is told so
        done, row = run(tmp_path, null_server, job, result=f"{attempt}.h5")
        if not row["client_limited"]:
            break
    if os.getloadavg()[0] > 1 and row["client_limited"]:
        assert re.fullmatch(r"1 of 100 operations left [^;]*", row["reason"]), row
        pytest.skip("others load this machine")
    assert not row["client_limited"] and row["reason"] == "", row
    assert 0 < row["share"] < 0.2 and row["blocked"] < 0.05 and row["busiest_cpu"] < 0.5, row
    assert "not client-limited" in done.out and " *" not in done.out


def test_full_slots_at_a_rate_are_named(tmp_path: Path) -> None:
    with Mock(tmp_path, ["delay=100%,ms=50,op=insert"], ["--null"]) as server:
        _, row = run(tmp_path, server, job_file(tmp_path, CALM | {"inflight": 1}, calibrate="never"))
    assert row["client_limited"] and "no slot was free for" in row["reason"] and row["blocked"] > 0.5, row


def test_a_calibration_is_reused(tmp_path: Path, null_server: Mock) -> None:
    job = job_file(tmp_path, CALM)
    _, first = run(tmp_path, null_server, job)
    _, second = run(tmp_path, null_server, job, result="second.h5")
    assert first["source"] == "measured" and second["source"].startswith("reused: measured 20")
    assert first["ceiling_per_second"] == second["ceiling_per_second"]
    _, other = run(tmp_path, null_server, job, np=2, result="other.h5")
    assert other["source"] == "measured"
    (tmp_path / "cache" / "milvus-hpc" / "calibration.json").write_text("[{]")
    _, damaged = run(tmp_path, null_server, job, result="damaged.h5")
    assert damaged["source"] == "measured"
    always = job_file(tmp_path, CALM, calibrate="always")
    _, again = run(tmp_path, null_server, always, result="again.h5")
    assert again["source"] == "measured"


def test_without_calibration_the_run_goes_on(tmp_path: Path, null_server: Mock) -> None:
    done, row = run(tmp_path, null_server, job_file(tmp_path, CALM, calibrate="never"))
    assert math.isnan(row["ceiling_per_second"]) and math.isnan(row["share"])
    assert "not calibrated (none: the job says calibrate: never)" in " ".join(done.out.split())


def test_no_null_server_is_said_in_a_line(tmp_path: Path, null_server: Mock) -> None:
    """A program that was copied without its companion."""
    alone = shutil.copy(PROGRAM, tmp_path / "milvus-hpc")
    done = subprocess.run([alone, "run", job_file(tmp_path, CALM), "--server", null_server.uri, "--output", tmp_path / "out.h5"],
                          capture_output=True, text=True, timeout=60, check=False,
                          env=ENVIRONMENT | {"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert done.returncode == GOOD, done.stderr
    assert len(re.findall("calibration: none: .*no milvus-mock there", done.stderr)) == 1, done.stderr
