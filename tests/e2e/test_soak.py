"""The soak on the real server: jobs/soak_quick.yaml, two cycles a worker of it; and with the server killed and started again in its midst."""

from __future__ import annotations

import os
from pathlib import Path

from support import GOOD, ROOT, Server, assert_books_balance, hpc

JOB = ROOT / "jobs" / "soak_quick.yaml"


def test_the_job_for_two_cycles_a_worker(server: Server, output: Path) -> None:
    """As it is but for the number of its cycles. Its own thresholds are judged and hold, and its audit is made; a rank with all these operations stays below 20 MiB of its own."""
    done = hpc("run", JOB, "--output", output, "--seed", 3, "--set", "stages.soak.lifecycle.cycles=2", np=2, timeout=300, result=output,
               env=os.environ | {"MILVUS_URI": server.uri})
    assert done.code == GOOD and done.result.attributes["audited"] and done.result.found == {}, str(done)
    assert_books_balance(done.result)
    figures = done.result.figures
    assert figures["cycles_begun"] == figures["cycles_whole"] == 8
    assert figures["cycles_unlooked"] == figures["collections_left"] == figures["count_star"] == 0
    held = {row["figure"]: (row["held"], row["undecided"]) for row in done.result.tables["thresholds"]}
    assert held == {"cycle.per_hour": (True, False), "cycle.errors": (True, False), "cycle.found": (True, False)}, held
    counts = [row for row in done.result.tables["operations"] if row["role"] == "lifecycle" and row["op"] == "count"]
    assert [row["ok"] for row in counts] == [3 * figures["cycles_whole"]]  # of all rows twice, and of the partition with none
    private = {row["rank"]: row["value"] for row in done.result.tables["rank_samples"] if row["name"] == "private_bytes"}  # the last ones
    assert private.keys() == {0, 1} and max(private.values()) < 20 * 2**20, private
    with server.client() as client:
        assert client.list_collections() == []


def test_soak_with_a_restart(server: Server, tmp_path: Path, output: Path) -> None:
    """It breaks calls of cycles under way: those last until it is over, or are broken, and their rows are looked at all the same. Cycles go on
    after it, under new names; what a broken one had made is gone; nothing acknowledged was lost."""
    command = f"{ROOT}/scripts/milvus-server kill --dir {server.home} && {ROOT}/scripts/milvus-server start --dir {server.home}"
    job = JOB.read_text().replace("    roles:", f'    chaos: [{{at: 4s, run: "{command}"}}]\n    roles:')
    (tmp_path / "job.yaml").write_text(job)
    done = hpc("run", tmp_path / "job.yaml", "--output", output, "--seed", 3, "--set", "stages.soak.lifecycle.for=15s", "--set",
               "verify.enabled=false", "--set", "thresholds={}", "--set", "server.timeout=20s", np=2, timeout=300, result=output, env=os.environ | {"MILVUS_URI": server.uri})
    assert done.code == GOOD and "truth/violations" not in done.result.tables, str(done)
    assert_books_balance(done.result)
    figures = done.result.figures
    assert figures["cycles_whole"] >= 2 and figures["cycles_begun"] == figures["cycles_whole"] + figures["cycles_broken"]
    events = {row["kind"]: row for row in done.result.tables["server/events"]}
    assert {"chaos", "outage", "restart"} <= set(events), events
    killed, cycle = events["chaos"], next(row for row in done.result.tables["operations"] if row["op"] == "cycle")
    assert figures["cycles_broken"] > 0 or cycle["due_max_ns"] >= events["outage"]["duration_ns"] > 0, str(done)
    assert ("rows not looked at" in done.result.attributes["verdict"]) == (figures["cycles_unlooked"] > 0), str(done)
    after = (killed["time_ns"] + killed["duration_ns"]) / 1e9
    assert sum(row["ok"] for row in done.result.tables["timeline"] if row["op"] == "cycle" and row["second"] > after) > 0
    with server.client() as client:
        assert client.list_collections() == []
