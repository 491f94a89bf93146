"""Jobs of slurm/ that start the real Milvus in their own allocation."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Job, Lab, job_file
from support import GOOD

SMALLER = [word for option in ("dataset.rows=10000", "stages.crud.writer.rows=400", "stages.crud.writer.batch=100",
                               "stages.crud.deleter.batch=20", "stages.crud.upserter.batch=20", "stages.crud.indexer.start_after_rows=4000", "verify.recheck=[]", "calibrate=never") for word in ("--set", option)]


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


@pytest.fixture(scope="module")
def kept(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Job]:
    """A run whose rows and server's data are kept, and another audit of them after it."""
    results = tmp_path_factory.mktemp("kept")
    run = lab.submit(results, "single", "jobs/crud.yaml", "--keep", *SMALLER, options=["--nodes=2", "--ntasks-per-node=8"])
    options = [f"--dependency=afterok:{run.number}", "--ntasks-per-node=2"]
    return run, lab.submit(results, "verify_later", results / f"single-{run.number}.h5", options=options)


def test_mnist_on_two_nodes(kept: tuple[Job, Job]) -> None:
    """20 writers, deleters, upserters and the indexer on 2 x 8 ranks: a clean verdict."""
    run, _ = kept
    assert run.end(240) == GOOD, run.words()
    result = run.result("single-{job}.h5")
    assert (result.attributes["np"], result.attributes["nodes"], result.attributes["server_version"]) == (16, 2, "v2.3.5-lite")
    assert result.attributes["whole"] and result.attributes["audited"] and result.figures["acknowledged_inserts"] == 8000
    assert result.attributes["server_uri"].startswith("http://n1:")  # as the other node calls it


BRIEF = """
stages:
  - name: load
    roles:
      - {role: writer, count: 2, rows: 1M, batch: 50, for: 12s, rate: 20/s}
      - {role: deleter, count: 1, batch: 10, share: 10%}
"""


@pytest.fixture(scope="module")
def soak(lab: Lab, kept: tuple[Job, Job], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Its first part is over, and its server with it. The rest is waiting for the most part, beside the next tests."""
    folder = tmp_path_factory.mktemp("soak")
    kept[0].end(240)  # it has all cores of the lab
    job = lab.submit(folder, "soak", job_file(folder, BRIEF), "--progress", 1, options=["--ntasks-per-node=2"])
    job.wait_for_words(r"load \d+ s", 120)
    lab.run("scancel", "--batch", "--signal=USR1", job.number)
    job.wait_for_words("back into the queue", 120)
    job.wait_for(("PENDING",), 60)
    data = folder / f"soak-{job.number}" / "milvus"
    assert data.is_dir() and servers_in(data) == []
    return job


@pytest.mark.usefixtures("soak")
def test_scancel_leaves_no_server(lab: Lab, results: Path) -> None:
    """The audit does not fit into Slurm's KillWait, or it does: the server is gone."""
    endless = [word for option in ("stages.crud.writer.rows=1M", "stages.crud.indexer.start_after_rows=0", "calibrate=never") for word in ("--set", option)]
    job = lab.submit(results, "single", "jobs/crud.yaml", "--progress", 1, *endless, options=["--ntasks-per-node=2"])
    job.wait_for_words(r"crud \d+ s", 120)
    data = results / f"single-{job.number}.milvus"
    assert servers_in(data)
    lab.run("scancel", job.number)
    job.end(60)
    assert servers_in(data) == [], job.words()
    assert list(results.glob(f"single-{job.number}.h5*")), job.words()  # the result, or the journals


def test_kept_rows_are_audited_later(kept: tuple[Job, Job]) -> None:
    """By a job that starts the server again where the first one left its data. Late: a server that was killed takes half a minute to load."""
    run, later = kept
    assert later.end(120) == GOOD, later.words()
    assert later.result("verify-{job}.h5").figures["scanned"] == run.result("single-{job}.h5").figures["scanned"] > 0
    data = run.results / f"single-{run.number}.milvus"
    assert data.is_dir() and servers_in(data) == []


def test_soak_on_a_server_of_its_own(soak: Job) -> None:
    """Started again on the data of its first part, it has all of those rows still, and gets the second part's beside them; at the end all are right, and server and data are gone."""
    assert soak.end(240) == GOOD, soak.words()
    folder = soak.results / f"soak-{soak.number}"
    assert (folder / "codes").read_text() == "0 part-1\n0 part-1 again\n0 part-2\n0 part-2 end\n"
    first, again = soak.result("soak-{job}/part-1.h5"), soak.result("soak-{job}/part-1.again-1.h5")
    assert first.attributes["server_version"] == again.attributes["server_version"] == "v2.3.5-lite"
    assert again.figures["scanned"] == first.figures["scanned"] > 0
    second = soak.result("soak-{job}/part-2.h5")
    assert second.attributes["continues"] == first.attributes["run_id"] and second.figures["earlier_live"] == first.figures["expected_live"]
    assert second.figures["scanned"] == second.figures["expected_live"] > first.figures["scanned"]
    assert not (folder / "milvus").exists() and servers_in(folder / "milvus") == []
