"""Jobs of slurm/ that start the real Milvus in their own allocation."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import Lab
from support import GOOD

SMALLER = [word for option in ("stages.crud.writer.rows=400", "stages.crud.writer.batch=100", "stages.crud.deleter.batch=20", "stages.crud.upserter.batch=20",
                               "stages.crud.indexer.start_after_rows=4000", "verify.recheck=[]", "calibrate=never") for word in ("--set", option)]


def servers_in(folder: Path) -> list[int]:
    """Pids of processes that work there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(os.readlink(f"/proc/{pid}/cwd")) == folder:
                found.append(int(pid))
        except OSError:
            continue
    return found


def test_mnist_on_two_nodes_and_again(lab: Lab, results: Path) -> None:
    """20 writers, deleters, upserters and the indexer on 2 x 8 ranks; its rows are kept with the server's data, and audited by a later job."""
    job = lab.submit(results, "single", "jobs/crud.yaml", "--keep", *SMALLER, options=["--nodes=2", "--ntasks-per-node=8"])
    saved = results / f"single-{job.number}.h5"
    later = lab.submit(results, "verify_later", saved, options=[f"--dependency=afterok:{job.number}", "--ntasks-per-node=2"])
    assert job.end(240) == GOOD, job.words()
    result = job.result("single-{job}.h5")
    assert (result.attributes["np"], result.attributes["nodes"], result.attributes["server_version"]) == (16, 2, "v2.3.5-lite")
    assert result.attributes["whole"] and result.attributes["audited"] and result.figures["acknowledged_inserts"] == 8000
    assert result.attributes["server_uri"].startswith("http://n1:")  # as the other node calls it
    assert later.end(120) == GOOD, later.words()
    assert later.result("verify-{job}.h5").figures["scanned"] == result.figures["scanned"] > 0
    data = results / f"single-{job.number}.milvus"
    assert data.is_dir() and servers_in(data) == []


def test_scancel_leaves_no_server(lab: Lab, results: Path) -> None:
    """The audit does not fit into Slurm's KillWait, or it does: the server is gone."""
    endless = [word for option in ("stages.crud.writer.rows=1M", "stages.crud.indexer.start_after_rows=0", "calibrate=never") for word in ("--set", option)]
    job = lab.submit(results, "single", "jobs/crud.yaml", "--progress", 1, *endless, options=["--ntasks-per-node=2"])
    job.wait_for_words(r"crud \d s", 120)
    data = results / f"single-{job.number}.milvus"
    assert servers_in(data)
    lab.run("scancel", job.number)
    job.end(60)
    assert servers_in(data) == [], job.words()
    assert list(results.glob(f"single-{job.number}.h5*")), job.words()  # the result, or the journals
