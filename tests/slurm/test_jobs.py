"""Jobs of slurm/ in a real Slurm, against the mock: their results, exit codes, and what they do when they are stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import ENDLESS, SHORT, Lab
from mockserver import Mock

WriteJob = Callable[[str], Path]


def test_single(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    job = lab.submit(results, "single", write_job(SHORT), options=["-N2", "--ntasks-per-node=2"], MILVUS_URI=server.uri)
    assert job.end() == 0, job.words()
    result = job.result("single-{job}.h5")
    assert (result.attributes["np"], result.attributes["nodes"], result.attributes["collection"]) == (4, 2, f"slurm_{job.number}")
    print(result.tables["ranks"])


def test_cancelled(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    job = lab.submit(results, "single", write_job(ENDLESS), "--progress", "1", options=["-N2", "--ntasks-per-node=2"], MILVUS_URI=server.uri)
    job.wait_for_words("insert|rows")
    lab.run("scancel", job.number)
    print(job.end(), job.words(), job.records())
    print(sorted(results.iterdir()))
    result = job.result("single-{job}.h5")


def test_limit(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    job = lab.submit(results, "single", write_job(ENDLESS), "--progress", "1", options=["-N2", "--ntasks-per-node=2", "--time=1", "--signal=B:USR1@50"], MILVUS_URI=server.uri)
    print(job.end(), job.words(), job.records())
    result = job.result("single-{job}.h5")


def test_lost_node(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    job = lab.submit(results, "single", write_job(ENDLESS), "--progress", "1", options=["-N2", "--ntasks-per-node=2"], MILVUS_URI=server.uri)
    job.wait_for_words("insert|rows")
    lab.lose("n2")
    print(job.end(), job.words(), job.records())
    result = job.result("single-{job}.h5")
    print(result.attributes, result.tables["ranks"])
