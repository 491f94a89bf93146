"""The soak on the real server: jobs/soak_quick.yaml, shortened, with the server killed and started again in its midst."""

from __future__ import annotations

import os
from pathlib import Path

from support import GOOD, ROOT, Server, assert_books_balance, hpc

JOB = (ROOT / "jobs" / "soak_quick.yaml").read_text()


def test_soak_with_a_restart(server: Server, tmp_path: Path, output: Path) -> None:
    """It breaks calls of cycles under way: those last until it is over, or are broken, and their rows are looked at all the same. Cycles go on
    after it, under new names; what a broken one had made is gone; nothing acknowledged was lost."""
    command = f"{ROOT}/scripts/milvus-server kill --dir {server.home} && {ROOT}/scripts/milvus-server start --dir {server.home}"
    job = JOB.replace("    roles:", f'    chaos: [{{at: 5s, run: "{command}"}}]\n    roles:')
    (tmp_path / "job.yaml").write_text(job)
    done = hpc("run", tmp_path / "job.yaml", "--output", output, "--seed", 3, "--set", "stages.soak.lifecycle.for=20s", "--set",
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
