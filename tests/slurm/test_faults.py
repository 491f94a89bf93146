"""Jobs of slurm/ that are stopped from outside: by scancel, by their time limit, by a node that is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ENDLESS, Job, Lab, job_file, ranks_on
from mockserver import Mock
from support import UNUSABLE, named

WriteJob = Callable[[str], Path]
TWO_NODES = ("--nodes=2", "--ntasks-per-node=2")


@pytest.fixture(scope="module", autouse=True)
def soak(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """Begun before the other tests: it waits for most of a minute."""
    folder = tmp_path_factory.mktemp("soak")
    with Mock(folder) as server:
        yield lab.submit(folder, "soak", job_file(folder, ENDLESS), options=["--ntasks-per-node=2", "--time=1", "--signal=B:USR1@52"],
                         MILVUS_URI=server.uri, SOAK_PARTS=2)


def under_load(lab: Lab, server: Mock, results: Path, yaml: Path) -> Job:
    job = lab.submit(results, "single", yaml, "--progress", 1, options=TWO_NODES, MILVUS_URI=server.uri)
    job.wait_for_words(r"load 1 s")
    return job


def test_scancel(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Plain scancel: the ranks get SIGTERM, audit and save within Slurm's KillWait."""
    job = under_load(lab, server, results, write_job(ENDLESS))
    lab.run("scancel", job.number)
    job.end()
    assert job.records()[0]["JobState"] == "CANCELLED"
    result = job.result("single-{job}.h5")
    assert result.attributes["audited"] and "stopped early by a signal" in result.attributes["verdict"], job.words()
    assert lab.processes_of(job) == []


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Lab]:
    """One that may be broken."""
    lab = Lab(tmp_path / "lab", nodes=3)
    yield lab
    lab.close()


def test_lost_nodes(own_lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """Slurmd and all processes of two nodes are gone at once, one of them a soak's only one."""
    yaml = write_job(ENDLESS)
    soak = own_lab.submit(results, "soak", yaml, "--progress", 1, options=["--ntasks-per-node=2"], MILVUS_URI=server.uri, SOAK_PARTS=2)
    soak.wait_for_words(r"load 1 s")
    job = own_lab.submit(results, "single", yaml, "--progress", 1, options=[*TWO_NODES, "--nodelist=n[2-3]"], MILVUS_URI=server.uri)
    job.wait_for_words(r"load 1 s")
    assert soak.records()[0]["NodeList"] == "n1"
    own_lab.lose("n1")
    own_lab.lose("n3")
    assert_merged(job, results)
    soak.wait_for_words(r"part 1 was cut off[^$]*part-1: exit code 3[^$]*part-1 again: exit code 3[^$]*load 1 s", 90)
    own_lab.run("scancel", "--batch", "--signal=USR1", soak.number)
    assert soak.end() == UNUSABLE, soak.words()
    assert (results / f"soak-{soak.number}" / "codes").read_text() == "3 part-1\n3 part-1 again\n0 part-2\n"
    assert soak.result("soak-{job}/part-2.h5").attributes["audited"]


def assert_merged(job: Job, results: Path) -> None:
    """It says so, ends, and makes one result of the journals of all ranks, which tells what is missing."""
    assert job.end() == UNUSABLE, job.words()
    assert "Node failure on n3" in job.words() and "left no result" in job.words()
    result = job.result("single-{job}.h5")
    assert not result.attributes["whole"] and not result.attributes["audited"] and result.attributes["exit_code"] == UNUSABLE
    assert [(row["host"], row["core"], row["missing"]) for row in result.tables["ranks"]] == [("n2", -1, 1), ("n2", -1, 1), ("n3", -1, 1), ("n3", -1, 1)]
    assert result.figures["acknowledged_inserts"] > 0 and "nothing is known of these ranks after their journals' ends: 0, 1, 2, 3" in job.words()
    assert len(list((results / f"single-{job.number}.h5.journals").glob("*.journal"))) == 4


def test_lost_rank(lab: Lab, server: Mock, results: Path, write_job: WriteJob) -> None:
    """One rank is killed: srun -K ends the others at once, and what each did is in the merged result."""
    job = under_load(lab, server, results, write_job(ENDLESS))
    os.kill(ranks_on(lab, "n2")[1], signal.SIGKILL)
    assert job.end(60) == UNUSABLE, job.words()
    result = job.result("single-{job}.h5")
    assert result.tables["ranks"][3]["missing"] == 1 and result.figures["acknowledged_inserts"] > 0
    assert named(result.attributes["verdict"]) == {3}, result.attributes["verdict"]


def test_soak_over_the_limit(soak: Job) -> None:
    """The time limit's signal ends a part in order; requeued, the job audits that part's rows again, then replaces them by the next part's."""
    job = soak
    assert job.end(150) == 0, job.words()
    assert int(job.records()[0]["Restarts"]) == 1
    first, again, second = (job.result(f"soak-{{job}}/{name}.h5") for name in ("part-1", "part-1.again-1", "part-2"))
    assert (job.results / f"soak-{job.number}" / "codes").read_text() == "0 part-1\n0 part-1 again\n0 part-2\n"
    assert again.attributes["parent"] == first.attributes["run_id"] and again.figures["scanned"] == first.figures["scanned"] > 0
    assert second.attributes["audited"] and second.attributes["collection"] == first.attributes["collection"]
    assert second.attributes["collection_id"] != first.attributes["collection_id"]
