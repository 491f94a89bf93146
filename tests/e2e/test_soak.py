"""The soak on the real server: jobs/soak_quick.yaml, two cycles a worker of it; and with the server killed and started again in its midst."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from pymilvus import MilvusClient
from support import GOOD, ROOT, Server, assert_books_balance, hpc, running

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


def cycles(client: MilvusClient) -> dict[str, int]:
    """Of each worker the one under way, as the names of the collections tell."""
    names = (re.fullmatch(r".*_w(\d+)_c(\d+)", name) for name in client.list_collections())
    return {name[1]: int(name[2]) for name in names if name}


def test_soak_with_a_restart(new_server: Callable[..., Server], tmp_path: Path, output: Path) -> None:
    """It breaks calls of cycles under way: those last until it is over, or are broken, and their rows are looked at all the same. Cycles go on
    after it, under new names; what a broken one had made is gone; nothing acknowledged was lost."""
    server = new_server("common.session.ttl=10")  # for so long after its death it refuses calls
    command = f"{ROOT}/scripts/milvus-server kill --dir {server.home} && {ROOT}/scripts/milvus-server start --dir {server.home}"
    job = JOB.read_text().replace("    roles:", f'    chaos: [{{at: 4s, run: "{command}"}}]\n    roles:')
    (tmp_path / "job.yaml").write_text(job)
    words = ("run", tmp_path / "job.yaml", "--output", output, "--seed", 3, "--set", "verify.enabled=false", "--set", "thresholds={}")
    with running(*words, np=2, result=output, env={"MILVUS_URI": server.uri}) as run:
        run.wait_for("chaos: ended with exit code 0")
        with server.client() as client:
            before = cycles(client)
            assert run.read_until(lambda: any(cycles(client).get(worker, 0) > cycle + 1 for worker, cycle in before.items()), 90), run.err
        run.process.send_signal(signal.SIGUSR1)
        done = run.finish()
    assert done.code == GOOD and "truth/violations" not in done.result.tables, str(done)
    assert_books_balance(done.result)
    figures = done.result.figures
    assert figures["cycles_whole"] >= 2 and figures["cycles_begun"] == sum(figures[f"cycles_{end}"] for end in ("whole", "broken", "cut"))
    events = {row["kind"]: row for row in done.result.tables["server/events"]}
    assert {"chaos", "outage", "restart"} <= set(events), events
    killed, cycle = events["chaos"], next(row for row in done.result.tables["operations"] if row["op"] == "cycle")
    assert figures["cycles_broken"] > 0 or cycle["due_max_ns"] >= events["outage"]["duration_ns"] > 0, str(done)
    assert ("rows not looked at" in done.result.attributes["verdict"]) == (figures["cycles_unlooked"] > 0), str(done)
    after = (killed["time_ns"] + killed["duration_ns"]) / 1e9
    assert sum(row["ok"] for row in done.result.tables["timeline"] if row["op"] == "cycle" and row["second"] > after) > 0
    with server.client() as client:
        assert client.list_collections() == []
