"""Jobs of slurm/ that are stopped from outside: by scancel, by their time limit, by a node that is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest
from conftest import ENDLESS, Job, Lab, job_file, ranks_on
from mockserver import Mock
from pymilvus import MilvusClient
from support import UNUSABLE, VIOLATED, named

WriteJob = Callable[[str], Path]
TWO_NODES = ("--nodes=2", "--ntasks-per-node=2")


class Soaks(NamedTuple):
    good: tuple[Job, Mock]
    loser: tuple[Job, Mock]


@pytest.fixture(scope="module", autouse=True)
def soaks(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaks]:
    """Begun before the other tests: they wait for most of a minute."""
    folders = [tmp_path_factory.mktemp("soak") for _ in range(2)]
    with Mock(folders[0]) as good, Mock(folders[1]) as loses:
        soaks = Soaks(*((lab.submit(folder, "soak", job_file(folder, ENDLESS), options=["--ntasks-per-node=2", "--time=1", "--signal=B:USR1@52"],
                                    MILVUS_URI=server.uri, SOAK_PARTS=2), server) for folder, server in zip(folders, (good, loses), strict=True)))
        loser = Thread(target=lose_a_row, args=soaks.loser)
        loser.start()
        yield soaks
        loser.join()


def lose_a_row(job: Job, server: Mock) -> None:
    """Of the first part, once the second one runs."""
    job.wait_for_words(rf"collection slurm_{job.number}_part_2, ", 120)
    part = job.result("soak-{job}/part-1.h5")
    client = MilvusClient(uri=server.uri)
    try:
        client.delete(part.attributes["collection"], [min(part.live())])
    finally:
        client.close()


def codes(job: Job) -> list[str]:
    return (job.results / f"soak-{job.number}" / "codes").read_text().splitlines()


def collections(server: Mock) -> list[str]:
    client = MilvusClient(uri=server.uri)
    try:
        return sorted(client.list_collections())
    finally:
        client.close()


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
    soak.wait_for_words(r"part-1 cut off: exit code 3[^$]*part 1 was cut off: its rows cannot be audited[^$]*load 1 s", 90)
    own_lab.run("scancel", "--batch", "--signal=USR1", soak.number)
    assert soak.end() == UNUSABLE, soak.words()
    assert codes(soak) == ["3 part-1 cut off", "0 part-2", "0 part-2 end"]
    assert soak.result("soak-{job}/part-1.h5").tables["ranks"][0]["missing"]
    assert collections(server) == [f"slurm_{soak.number}_part_1", f"slurm_{soak.number}_part_2", f"slurm_{job.number}"]
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


def test_soak_over_the_limit(soaks: Soaks) -> None:
    """The time limit's signal ends a part in order; requeued, the job audits that part's rows again, and at its end those of all parts, which it then drops."""
    job, server = soaks.good
    assert job.end(150) == 0, job.words()
    assert int(job.records()[0]["Restarts"]) == 2
    assert codes(job) == ["0 part-1", "0 part-1 again", "0 part-2", "0 part-1 end", "0 part-2 end"]
    parts, again = [[job.result(f"soak-{{job}}/part-{part}{kind}.h5") for part in (1, 2)] for kind in ("", ".end-2")]
    again.append(job.result("soak-{job}/part-1.again-1.h5"))
    assert [part.attributes["collection"] for part in parts] == [f"slurm_{job.number}_part_{part}" for part in (1, 2)]
    for part, later in zip([*parts, parts[0]], again, strict=True):
        assert part.attributes["audited"] and part.figures["scanned"] > 0
        assert later.attributes["parent"] == part.attributes["run_id"] and later.figures["scanned"] == part.figures["scanned"]
    assert collections(server) == []


def test_soak_looks_at_all_its_parts(soaks: Soaks) -> None:
    """The first part is audited again, then loses a row: found at the end; all is kept."""
    job, server = soaks.loser
    assert job.end(150) == VIOLATED, job.words()
    assert codes(job) == ["0 part-1", "0 part-1 again", "0 part-2", "2 part-1 end"]
    assert job.result("soak-{job}/part-1.end-2.h5").figures["lost"] == 1
    assert collections(server) == [f"slurm_{job.number}_part_{part}" for part in (1, 2)]
